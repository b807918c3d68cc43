"""The SQLite file of the call log. Synchronous: `calls.CallLog` keeps it in a thread of its own.

Write-ahead log, so that several workers write and read at once, and what was committed survives a kill. Ids only
ever grow, over all workers and over a cleared log. What few calls have, a bad status, has an index of its own. A
provider, a model, a user and a search are looked for among the labels (`labels`), then call by call, newest first, as
is a request's id: 100,000 calls take some ms, an index would cost every call a tenth of what writing it costs, and
there are never more of them than `Bounds.calls`.
"""

import logging
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec

from gateway.telemetry import figures, labels
from gateway.telemetry.filters import FAILED, REFUSED, make_where
from gateway.telemetry.labels import Label, Labels
from gateway.telemetry.records import COLUMNS, Call, Row, ServerEvent, make_body, make_event_row, make_row

log = logging.getLogger(__name__)

VERSION = 3
BUSY_SECONDS = 5.0
PRUNED_AT_ONCE = 2000
PRUNED_FOR_SIZE = 200
MOST_PAGE_BYTES = 8 * 1024 * 1024
# Labels that no call has are looked for only where there are many.
MOST_LABELS = 5000

_CALLS = f"""
CREATE TABLE calls (id INTEGER PRIMARY KEY AUTOINCREMENT, {", ".join(COLUMNS)});
CREATE INDEX calls_by_end ON calls (ended);
CREATE INDEX calls_refused ON calls (status) WHERE {REFUSED};
CREATE INDEX calls_failed ON calls (id) WHERE {FAILED};
CREATE TABLE generation (number INTEGER NOT NULL, swept INTEGER NOT NULL);
INSERT INTO generation VALUES (1, 1);
{labels.SCHEMA}
"""  # noqa: S608
_SCHEMA = f"""
CREATE TABLE bodies (id INTEGER PRIMARY KEY, request TEXT, response TEXT);
CREATE TABLE events (id INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL, kind TEXT, message TEXT, facts TEXT);
{figures.SCHEMA};
{_CALLS}
"""
# Calls of the versions before had all that is a label's now; the first one kept no figures either.
_LABELLED = f"""
ALTER TABLE calls RENAME TO calls_before;
{{indexes}};
DROP TABLE generation;
{_CALLS};
INSERT INTO labels ({", ".join(Label._fields)}) SELECT DISTINCT {", ".join(Label._fields)} FROM calls_before;
INSERT INTO calls (id, {", ".join(COLUMNS)})
SELECT old.id, {", ".join("labels.id" if name == "label" else f"old.{name}" for name in COLUMNS)}
FROM calls_before AS old JOIN labels
ON ({", ".join(f"labels.{name}" for name in Label._fields)}) IS ({", ".join(f"old.{name}" for name in Label._fields)});
DROP TABLE calls_before
"""  # noqa: S608
_INSERT_EVENT = "INSERT INTO events (time, kind, message, facts) VALUES (?, ?, ?, ?)"
_VALUES = f"({', '.join('?' * len(COLUMNS))})"
_INSERT = f"INSERT INTO calls ({', '.join(COLUMNS)}) VALUES {_VALUES}"  # noqa: S608
_AT_ONCE = 500
_INSERT_MANY = f"{_INSERT}{f', {_VALUES}' * (_AT_ONCE - 1)}"
_FIELDS = tuple(name for name in Call.__struct_fields__ if name not in {"id", "request_body", "response_body"})
# The calls first, in their order: only those that are shown are put together with their labels.
_FROM = "FROM calls CROSS JOIN labels ON labels.id = calls.label"
_SELECT = f"SELECT calls.id, {', '.join(_FIELDS)} {_FROM}"
_SELECT_WHOLE = f"""SELECT calls.id, {", ".join(_FIELDS)}, bodies.request, bodies.response
{_FROM} LEFT JOIN bodies ON bodies.id = calls.id"""
_ALL_FIELDS = ("id", *_FIELDS, "request_body", "response_body")


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
        found = self._labels
        with self._transaction():
            found.begin()
            rows = [make_row(call, found.find(call)) for call in calls]
            if any(call.request_body is not None or call.response_body is not None for call in calls):
                bodies = [(make_body(call.request_body), make_body(call.response_body)) for call in calls]
                self._write_with_bodies(rows, bodies)
            else:
                self._write_rows(rows)
            figures.add_calls(self.connection, rows, found.known)
            self.connection.executemany(_INSERT_EVENT, event_rows)

    def _write_rows(self, rows: Sequence[Row]) -> None:
        # Each statement gives the interpreter away and has to win it back from the server's thread: so few statements.
        whole = len(rows) - len(rows) % _AT_ONCE
        for start in range(0, whole, _AT_ONCE):
            self.connection.execute(_INSERT_MANY, tuple(chain.from_iterable(rows[start : start + _AT_ONCE])))
        self.connection.executemany(_INSERT, rows[whole:])

    def _write_with_bodies(self, rows: Sequence[Any], bodies: Sequence[tuple[str | None, str | None]]) -> None:
        for row, (request, response) in zip(rows, bodies, strict=True):
            identity = self.connection.execute(_INSERT, row).lastrowid
            if request is not None or response is not None:
                self.connection.execute("INSERT INTO bodies VALUES (?, ?, ?)", (identity, request, response))

    def read_calls(
        self, limit: int, before: int | None, filters: dict[str, str | None], query: str | None
    ) -> tuple[list[Call], int | None]:
        """A page of calls, newest first, and the `before` of the next one; a page ends early at 8 MB of bodies."""
        conditions, values = make_where(before, filters, query)
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        cursor = self.connection.execute(
            f"{_SELECT_WHOLE} {where} ORDER BY calls.id DESC LIMIT ?", (*values, limit + 1)
        )
        page: list[Call] = []
        weight = 0
        for row in cursor:
            weight += len(row[-1] or "") + len(row[-2] or "")
            if len(page) == limit or (page and weight > MOST_PAGE_BYTES):
                return page, page[-1].id
            page.append(_make_call(row))
        return page, None

    def read_call(self, identity: int) -> Call | None:
        """One call with its bodies."""
        row = self.connection.execute(f"{_SELECT_WHOLE} WHERE calls.id = ?", (identity,)).fetchone()
        return None if row is None else _make_call(row)

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
        known = dict(self.connection.execute("SELECT name, seq FROM sqlite_sequence").fetchall())
        return known.get("calls", 0), known.get("events", 0)

    def read_after(self, call: int, event: int, most: int) -> tuple[list[Call], list[ServerEvent]]:
        """The newest calls (without bodies) and events after these ids, at most `most` of each, oldest first."""
        calls = self.connection.execute(
            f"{_SELECT} WHERE calls.id > ? ORDER BY calls.id DESC LIMIT ?", (call, most)
        ).fetchall()
        events = self.connection.execute(
            "SELECT id, time, kind, message, facts FROM events WHERE id > ? ORDER BY id DESC LIMIT ?", (event, most)
        ).fetchall()
        return [_make_call(row) for row in reversed(calls)], [_make_event(row) for row in reversed(events)]

    def clear(self) -> None:
        """Delete all calls and events, and give their pages back."""
        with self._transaction():
            for table in ("calls", "bodies", "events", "figures", "labels"):
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
        gone = self._drop("id <= ?", newest_call - bounds.calls) + self._drop("ended < ?", oldest)
        while self._size() > bounds.size:
            dropped = self._drop_some("TRUE", (), PRUNED_FOR_SIZE)
            gone += dropped
            with self._transaction():
                self._labels.sweep()
                if not figures.drop_before(self.connection, now, self._oldest() or now) and not dropped:
                    break
        with self._transaction():
            figures.drop_before(self.connection, now, oldest)
            if self.connection.execute("SELECT count(*) FROM labels").fetchone()[0] > MOST_LABELS:
                self._labels.sweep()
            self.connection.execute(
                "DELETE FROM events WHERE id <= ? OR time < ?", (newest_event - bounds.events, oldest)
            )
        if gone:
            self._shrink()
        return gone

    def _drop(self, condition: str, *values: float) -> int:
        """Delete the calls that meet the condition, some at a time so that other workers get their turn."""
        gone = 0
        while some := self._drop_some(condition, values, PRUNED_AT_ONCE):
            gone += some
        return gone

    def _drop_some(self, condition: str, values: Sequence[float], most: int) -> int:
        chosen = f"SELECT id FROM calls WHERE {condition} ORDER BY id LIMIT {most}"  # noqa: S608
        with self._transaction():
            self.connection.execute(f"DELETE FROM bodies WHERE id IN ({chosen})", values)  # noqa: S608
            return self.connection.execute(f"DELETE FROM calls WHERE id IN ({chosen})", values).rowcount  # noqa: S608

    def _oldest(self) -> float | None:
        """When the oldest call ended."""
        moment: float | None = self.connection.execute("SELECT min(ended) FROM calls").fetchone()[0]
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
            _run_all(connection, _SCHEMA)
        elif version in (1, 2):
            _upgrade(connection, version)
        elif version != VERSION:
            raise sqlite3.DatabaseError(f"its layout is version {version}, this is version {VERSION}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        connection.close()
        raise
    return connection


def _upgrade(connection: sqlite3.Connection, version: int) -> None:
    """Put the calls of a log of an earlier version into the tables of this one; ids go on where they were."""
    newest = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'calls'").fetchone()
    own = "SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = 'calls' AND sql IS NOT NULL"
    indexes = [name for (name,) in connection.execute(own).fetchall()]
    _run_all(connection, _LABELLED.format(indexes=";".join(f"DROP INDEX {name}" for name in indexes)))
    if newest is not None:
        connection.execute("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = 'calls'", newest)
    if version == 1:
        _run_all(connection, figures.SCHEMA)
        known = {number: Label(*label) for number, *label in connection.execute("SELECT * FROM labels").fetchall()}
        figures.add_calls(connection, connection.execute(f"SELECT {', '.join(COLUMNS)} FROM calls"), known)  # noqa: S608


def _run_all(connection: sqlite3.Connection, statements: str) -> None:
    # Not as a script, which would end the transaction.
    for statement in filter(str.strip, statements.split(";")):
        connection.execute(statement)


def _set_aside(path: Path, reason: str) -> None:
    kept = path.with_name(f"{path.name}.aside-{time.time_ns()}")
    for suffix in ("-wal", "-shm", ""):
        old = path.with_name(path.name + suffix)
        if old.exists():
            old.rename(kept.with_name(kept.name + suffix))
    log.warning("the call log could not be read and was set aside", extra={"kept_as": kept.name, "reason": reason})


def _make_call(row: Sequence[Any]) -> Call:
    call = Call(**dict(zip(_ALL_FIELDS, row, strict=False)))
    call.stream, call.partial = bool(call.stream), bool(call.partial)  # SQLite has no booleans
    call.duration_ms = round(call.duration_ms, 3)
    call.ttft_ms = None if call.ttft_ms is None else round(call.ttft_ms, 3)
    return call


def _make_event(row: Sequence[Any]) -> ServerEvent:
    identity, moment, kind, message, facts = row
    return ServerEvent(id=identity, time=moment, kind=kind, message=message, facts=msgspec.json.decode(facts))
