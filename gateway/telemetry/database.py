"""The SQLite file of the call log. Synchronous: `calls.CallLog` keeps it in a thread of its own.

Write-ahead log, so that several workers write and read at once, and what was committed survives a kill. Ids only
ever grow, over all workers and over a cleared log.
"""

import logging
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from gateway.errors import Detail, InvalidRequest
from gateway.telemetry.records import COLUMNS, Call, ServerEvent, make_body, make_event_row, make_row

log = logging.getLogger(__name__)

VERSION = 1
BUSY_SECONDS = 5.0
PRUNED_AT_ONCE = 2000
PRUNED_FOR_SIZE = 200
MOST_PAGE_BYTES = 8 * 1024 * 1024
MOST_SEARCHED = 200

# A call that failed; one whose client left (499) is no failure of ours.
FAILED = "(error IS NOT NULL OR status >= 400) AND status <> 499"
SEARCHED = ("request_id", "path", "provider", "model", "user", "error", "finish_reason")

_SCHEMA = f"""
CREATE TABLE calls (id INTEGER PRIMARY KEY AUTOINCREMENT, ended REAL NOT NULL, {", ".join(COLUMNS)});
CREATE INDEX calls_by_end ON calls (ended);
CREATE TABLE bodies (id INTEGER PRIMARY KEY, request TEXT, response TEXT);
CREATE TABLE events (id INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL, kind TEXT, message TEXT, facts TEXT);
CREATE TABLE generation (number INTEGER NOT NULL);
INSERT INTO generation VALUES (1);
PRAGMA user_version = {VERSION};
"""  # noqa: S608
_INSERT_EVENT = "INSERT INTO events (time, kind, message, facts) VALUES (?, ?, ?, ?)"
_INSERT = f"INSERT INTO calls (ended, {', '.join(COLUMNS)}) VALUES ({', '.join('?' * (len(COLUMNS) + 1))})"  # noqa: S608
_SELECT = f"SELECT calls.id, {', '.join(COLUMNS)} FROM calls"  # noqa: S608
_SELECT_WHOLE = f"""SELECT calls.id, {", ".join(COLUMNS)}, bodies.request, bodies.response
FROM calls LEFT JOIN bodies ON bodies.id = calls.id"""  # noqa: S608
_FIELDS = ("id", *COLUMNS, "request_body", "response_body")


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

    def close(self) -> None:
        """Close the connection; the last one folds the write-ahead log into the file."""
        self.connection.close()

    def write(self, calls: Sequence[Call], events: Sequence[ServerEvent]) -> None:
        """Append a batch in one transaction."""
        rows = [make_row(call) for call in calls]
        bodies = [(make_body(call.request_body), make_body(call.response_body)) for call in calls]
        event_rows = [make_event_row(event) for event in events]
        with self._transaction():
            if any(request is not None or response is not None for request, response in bodies):
                self._write_with_bodies(rows, bodies)
            else:
                self.connection.executemany(_INSERT, rows)
            self.connection.executemany(
                "INSERT INTO events (time, kind, message, facts) VALUES (?, ?, ?, ?)", event_rows
            )

    def _write_with_bodies(self, rows: Sequence[Any], bodies: Sequence[tuple[str | None, str | None]]) -> None:
        for row, (request, response) in zip(rows, bodies, strict=True):
            identity = self.connection.execute(_INSERT, row).lastrowid
            if request is not None or response is not None:
                self.connection.execute("INSERT INTO bodies VALUES (?, ?, ?)", (identity, request, response))

    def read_calls(
        self, limit: int, before: int | None, filters: dict[str, str | None], query: str | None
    ) -> tuple[list[Call], int | None]:
        """A page of calls, newest first, and the `before` of the next one; a page ends early at 8 MB of bodies."""
        conditions, values = _where(before, filters, query)
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
        calls = self.connection.execute(f"{_SELECT} WHERE id > ? ORDER BY id DESC LIMIT ?", (call, most)).fetchall()
        events = self.connection.execute(
            "SELECT id, time, kind, message, facts FROM events WHERE id > ? ORDER BY id DESC LIMIT ?", (event, most)
        ).fetchall()
        return [_make_call(row) for row in reversed(calls)], [_make_event(row) for row in reversed(events)]

    def clear(self) -> None:
        """Delete all calls and events, and give their pages back."""
        with self._transaction():
            for table in ("calls", "bodies", "events"):
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
        oldest = time.time() - bounds.age_seconds
        newest_call, newest_event = self.newest()
        gone = self._drop("id <= ?", newest_call - bounds.calls) + self._drop("ended < ?", oldest)
        while self._size() > bounds.size and (dropped := self._drop_some("TRUE", (), PRUNED_FOR_SIZE)):
            gone += dropped
        with self._transaction():
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
            for statement in filter(str.strip, _SCHEMA.split(";")):
                connection.execute(statement)
        elif version != VERSION:
            raise sqlite3.DatabaseError(f"its layout is version {version}, this is version {VERSION}")
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


def _where(before: int | None, filters: dict[str, str | None], query: str | None) -> tuple[list[str], list[Any]]:
    conditions: list[str] = []
    values: list[Any] = []
    if before is not None:
        conditions.append("calls.id < ?")
        values.append(before)
    for name, value in filters.items():
        if value and name == "status":
            condition, bounds = _status_is(value)
            conditions.append(condition)
            values += bounds
        elif value:
            conditions.append(f"{name} = ?")
            values.append(value)
    if query:
        if len(query) > MOST_SEARCHED:
            raise InvalidRequest.naming([Detail("q", f"is longer than {MOST_SEARCHED} characters")])
        pattern = query.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        conditions.append("(" + " OR ".join(rf"{name} LIKE ? ESCAPE '\'" for name in SEARCHED) + ")")
        values += [f"%{pattern}%"] * len(SEARCHED)
    return conditions, values


def _status_is(value: str) -> tuple[str, list[int]]:
    match value:
        case "error":
            return f"({FAILED})", []
        case "ok":
            return f"NOT ({FAILED})", []
        case _ if len(value) == 3 and value[0] in "12345" and value[1:].lower() == "xx":
            return "status BETWEEN ? AND ?", [int(value[0]) * 100, int(value[0]) * 100 + 99]
        case _ if len(value) == 3 and value.isascii() and value.isdecimal():
            return "status = ?", [int(value)]
    raise InvalidRequest.naming([Detail("status", "is not a status (404), a class (4xx), 'ok' or 'error'")])


def _make_call(row: Sequence[Any]) -> Call:
    call = Call(**dict(zip(_FIELDS, row, strict=False)))
    call.stream, call.partial = bool(call.stream), bool(call.partial)  # SQLite has no booleans
    return call


def _make_event(row: Sequence[Any]) -> ServerEvent:
    identity, moment, kind, message, facts = row
    return ServerEvent(id=identity, time=moment, kind=kind, message=message, facts=msgspec.json.decode(facts))
