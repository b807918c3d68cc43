"""The SQLite file of the call log. Synchronous: `calls.CallLog` keeps it in a thread of its own.

Write-ahead log, so that several workers write and read at once, and what was committed survives a kill. Calls are kept
in `segments`, as many to a row as were written at once. Ids only ever grow, over all workers and over a cleared log. A
query goes through the segments from the newest on; those that cannot have what is looked for are passed over unread.
100,000 calls take some ms, and there are never more of them than `Bounds.calls`.
"""

import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from gateway.telemetry import figures, labels, segments
from gateway.telemetry.filters import Selection
from gateway.telemetry.labels import Labels
from gateway.telemetry.records import Call, ServerEvent, make_body, make_columns, make_event_row
from gateway.telemetry.segments import Segment
from gateway.telemetry.upgrades import run_all, upgrade

log = logging.getLogger(__name__)

T = TypeVar("T")

VERSION = 4
BUSY_SECONDS = 5.0
PRUNED_FOR_SIZE = 200
MOST_PAGE_BYTES = 8 * 1024 * 1024
# Labels that no call has are looked for only where there are many.
MOST_LABELS = 5000

_GENERATION = """
CREATE TABLE generation (number INTEGER NOT NULL, swept INTEGER NOT NULL, newest INTEGER NOT NULL);
INSERT INTO generation VALUES (1, 1, 0)
"""
_SCHEMA = f"""
{segments.SCHEMA};
CREATE TABLE bodies (id INTEGER PRIMARY KEY, request TEXT, response TEXT);
CREATE TABLE events (id INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL, kind TEXT, message TEXT, facts TEXT);
{_GENERATION};
{labels.SCHEMA};
{figures.SCHEMA}
"""
_INSERT_EVENT = "INSERT INTO events (time, kind, message, facts) VALUES (?, ?, ?, ?)"


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """How much the log keeps; whichever is reached first."""

    age_seconds: float = 7 * 24 * 3600.0
    calls: int = 200_000
    events: int = 10_000
    size: int = 512 * 1024 * 1024


class Database:
    """One connection to the file at `path`, which is made if it is not there.

    A file that is damaged, or written by a later version, is set aside under another name and a new one begun.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            self.connection = _open_patiently(path)
        except sqlite3.OperationalError as error:
            raise OSError(f"the call log cannot be kept in {path}: {error}") from error
        except sqlite3.DatabaseError as error:
            _set_aside(path, str(error))
            self.connection = _open_patiently(path)
        self._labels = Labels(self.connection)

    def close(self) -> None:
        """Close the connection; the last one folds the write-ahead log into the file."""
        self.connection.close()

    def write(self, calls: Sequence[Call], events: Sequence[ServerEvent]) -> None:
        """Append a batch in one transaction."""
        event_rows = [make_event_row(event) for event in events]
        with self._transaction():
            if calls:
                self._write_calls(calls)
            self.connection.executemany(_INSERT_EVENT, event_rows)

    def _write_calls(self, calls: Sequence[Call]) -> None:
        self._labels.begin()
        columns = make_columns(calls, list(map(self._labels.find, calls)))
        first = self.connection.execute("SELECT newest FROM generation").fetchone()[0] + 1
        self.connection.execute("UPDATE generation SET newest = newest + ?", (len(calls),))
        segments.put(self.connection, Segment(first, columns))
        figures.add_calls(self.connection, columns, self._labels.known.__getitem__)
        for identity, call in enumerate(calls, first):
            if call.request_body is not None or call.response_body is not None:
                body = identity, make_body(call.request_body), make_body(call.response_body)
                self.connection.execute("INSERT INTO bodies VALUES (?, ?, ?)", body)

    def read_calls(
        self, limit: int, before: int | None, filters: dict[str, str | None], query: str | None
    ) -> tuple[list[Call], int | None]:
        """A page of calls, newest first, and the `before` of the next one; a page ends early at 8 MB of bodies."""
        page: list[Call] = []
        weight = 0
        with self._reading():
            selection = Selection(self.connection, filters, query)
            found = segments.newest_first(
                self.connection, before=before, refused=selection.refused, labels=selection.labels
            )
            for segment in found:
                for place in selection.choose(segment, before):
                    call = self._make_call(segment, place, with_bodies=True)
                    weight += len(call.request_body or "") + len(call.response_body or "")
                    if len(page) == limit or (page and weight > MOST_PAGE_BYTES):
                        return page, page[-1].id
                    page.append(call)
        return page, None

    def read_call(self, identity: int) -> Call | None:
        """One call with its bodies."""
        with self._reading():
            for segment in segments.newest_first(self.connection, before=identity + 1, after=identity - 1):
                return self._make_call(segment, identity - segment.first, with_bodies=True)
        return None

    def read_events(self, limit: int, before: int | None) -> tuple[list[ServerEvent], int | None]:
        """A page of events, newest first, and the `before` of the next one."""
        rows = self.connection.execute(
            "SELECT id, time, kind, message, facts FROM events WHERE id < ? ORDER BY id DESC LIMIT ?",
            (before if before is not None else 2**63 - 1, limit + 1),
        ).fetchall()
        page = [_make_event(row) for row in rows[:limit]]
        return page, page[-1].id if len(rows) > limit else None

    def newest(self) -> tuple[int, int]:
        """The ids of the newest call and event that there have ever been; 0 if none."""
        call = self.connection.execute("SELECT newest FROM generation").fetchone()[0]
        event = self.connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'").fetchone()
        return call, event[0] if event else 0

    def read_after(self, call: int, event: int, most: int) -> tuple[list[Call], list[ServerEvent]]:
        """The newest calls (without bodies) and events after these ids, at most `most` of each, oldest first."""
        calls: list[Call] = []
        with self._reading():
            for segment in segments.newest_first(self.connection, after=call):
                for place in range(segment.last - segment.first, max(call - segment.first, -1), -1):
                    if len(calls) < most:
                        calls.append(self._make_call(segment, place))
                if len(calls) == most:
                    break
        events = self.connection.execute(
            "SELECT id, time, kind, message, facts FROM events WHERE id > ? ORDER BY id DESC LIMIT ?", (event, most)
        ).fetchall()
        return calls[::-1], [_make_event(row) for row in reversed(events)]

    def count_calls(self, begin: float, end: float) -> dict[figures.Group, figures.Tally]:
        """What the calls come to that ended between these moments, by kind, provider and model; each read by itself."""
        with self._reading():
            return figures.read_calls(self.connection, begin, end, self._labels.read)

    def clear(self) -> None:
        """Delete all calls and events, and give their pages back."""
        with self._transaction():
            for table in ("segments", "bodies", "events", "figures", "labels"):
                self.connection.execute(f"DELETE FROM {table}")  # noqa: S608
            self.connection.execute("UPDATE generation SET number = number + 1")
        self._shrink()
        self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    @property
    def generation(self) -> int:
        """Changes whenever any worker clears the log."""
        number: int = self.connection.execute("SELECT number FROM generation").fetchone()[0]
        return number

    def prune(self, bounds: Bounds) -> int:
        """Delete the oldest until the log is within its bounds; gives how many calls went."""
        now = time.time()
        oldest = now - bounds.age_seconds
        newest_call, newest_event = self.newest()
        gone = self._drop(segments.drop_through, newest_call - bounds.calls)
        gone += self._drop(segments.drop_ended_before, oldest)
        while self._size() > bounds.size:
            dropped = self._drop_oldest(PRUNED_FOR_SIZE)
            gone += dropped
            with self._transaction():
                self._labels.sweep()
                if not figures.drop_before(self.connection, now, self._oldest() or now) and not dropped:
                    break
        with self._transaction():
            segments.merge(self.connection)
            figures.drop_before(self.connection, now, oldest)
            if self.connection.execute("SELECT count(*) FROM labels").fetchone()[0] > MOST_LABELS:
                self._labels.sweep()
            self.connection.execute(
                "DELETE FROM events WHERE id <= ? OR time < ?", (newest_event - bounds.events, oldest)
            )
        if gone:
            self._shrink()
        return gone

    def _drop(self, drop: Callable[[sqlite3.Connection, T], list[range]], until: T) -> int:
        """Delete calls, some at a time so that other workers get their turn; gives how many went."""
        gone = 0
        while some := self._drop_some(drop, until):
            gone += some
        return gone

    def _drop_some(self, drop: Callable[[sqlite3.Connection, T], list[range]], until: T) -> int:
        with self._transaction():
            dropped = drop(self.connection, until)
            for ids in dropped:
                self.connection.execute("DELETE FROM bodies WHERE id BETWEEN ? AND ?", (ids[0], ids[-1]))
        return sum(map(len, dropped))

    def _drop_oldest(self, count: int) -> int:
        oldest = self.connection.execute("SELECT min(first) FROM segments").fetchone()[0]
        return 0 if oldest is None else self._drop_some(segments.drop_through, oldest + count - 1)

    def _oldest(self) -> float | None:
        """When the oldest call ended."""
        moment: float | None = self.connection.execute("SELECT min(ended_first) FROM segments").fetchone()[0]
        return moment

    def _size(self) -> int:
        pages, free, size = (
            self.connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)

    def _shrink(self) -> None:
        # As a script, since a single statement is stepped once only and gives back one page.
        self.connection.executescript("PRAGMA incremental_vacuum")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.connection.execute("ROLLBACK")
            self._labels.forget()
            raise
        self.connection.execute("COMMIT")

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """All that is read within is of one moment, whatever other workers write or delete meanwhile."""
        self.connection.execute("BEGIN")
        try:
            yield
        finally:
            self.connection.execute("COMMIT")

    def _make_call(self, segment: Segment, place: int, *, with_bodies: bool = False) -> Call:
        columns, identity = segment.columns, segment.first + place
        label = self._labels.read(columns.label[place])
        first = columns.ttft_ms[place]
        call = Call(
            request_id=columns.request_id[place],
            path=label.path,
            status=columns.status[place],
            duration_ms=round(columns.duration_ms[place], 3),
            id=identity,
            time=columns.time[place],
            kind=label.kind,
            method=label.method,
            ttft_ms=None if first is None else round(first, 3),
            provider=label.provider,
            model=label.model,
            stream=bool(label.stream),  # SQLite has no booleans
            user=label.user,
            prompt_tokens=columns.prompt_tokens[place],
            completion_tokens=columns.completion_tokens[place],
            cached_tokens=columns.cached_tokens[place],
            finish_reason=label.finish_reason,
            partial=bool(label.partial),
            error=columns.error[place],
        )
        if with_bodies:
            found = self.connection.execute("SELECT request, response FROM bodies WHERE id = ?", (identity,)).fetchone()
            call.request_body, call.response_body = found or (None, None)
        return call


def _open_patiently(path: Path) -> sqlite3.Connection:
    """Open the file; while another worker is making it, SQLite says "locked" without waiting."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return _open(path)
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _open(path: Path) -> sqlite3.Connection:
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA journal_size_limit = 16777216")
        connection.execute("BEGIN IMMEDIATE")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            run_all(connection, _SCHEMA)
        elif 0 < version < VERSION:
            upgrade(connection, version, _GENERATION)
        elif version != VERSION:
            raise sqlite3.DatabaseError(f"its layout is version {version}, this is version {VERSION}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        connection.close()
        raise
    return connection


def _set_aside(path: Path, reason: str) -> None:
    kept = path.with_name(f"{path.name}.aside-{time.time_ns()}")
    for suffix in ("-wal", "-shm", ""):
        old = path.with_name(path.name + suffix)
        if old.exists():
            old.rename(kept.with_name(kept.name + suffix))
    log.warning("the call log could not be read and was set aside", extra={"kept_as": kept.name, "reason": reason})


def _make_event(row: Sequence[Any]) -> ServerEvent:
    identity, moment, kind, message, facts = row
    return ServerEvent(id=identity, time=moment, kind=kind, message=message, facts=msgspec.json.decode(facts))
