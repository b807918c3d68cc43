"""What calls have in common, kept once: there are few combinations of it, which come again and again.

A call of the log holds the number of its label, so that it takes less than half the room, and a filter or a search
looks through the labels first. Labels that no call has any more are deleted with the calls, by any worker; what others
know of them by heart is worth nothing then (`Labels.begin`).
"""

import sqlite3
from typing import NamedTuple

from gateway.telemetry import segments
from gateway.telemetry.records import Call, Kind, clean_label

MOST_KNOWN = 10_000


class Label(NamedTuple):
    """All of a call that many others have as well."""

    kind: Kind
    method: str
    path: str
    provider: str | None
    model: str | None
    stream: bool
    user: str | None
    finish_reason: str | None
    partial: bool


SCHEMA = f"""
CREATE TABLE labels (id INTEGER PRIMARY KEY AUTOINCREMENT, {", ".join(Label._fields)});
CREATE INDEX labels_by_model ON labels (model, path, user)
"""
_FIND = f"SELECT id FROM labels WHERE ({', '.join(Label._fields)}) IS ({', '.join('?' * len(Label._fields))})"  # noqa: S608
_ADD = f"INSERT INTO labels ({', '.join(Label._fields)}) VALUES ({', '.join('?' * len(Label._fields))})"  # noqa: S608

_READ = f"SELECT {', '.join(Label._fields)} FROM labels WHERE id = ?"  # noqa: S608


class Labels:
    """The labels of one connection, the newest known by heart."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._numbers: dict[tuple[object, ...], int] = {}
        self._state: object = None
        # Numbers are never given twice, so what has been read once stays true.
        self._read: dict[int, Label] = {}
        #: by number, those that have been found since `begin`
        self.known: dict[int, Label] = {}

    def begin(self) -> None:
        """Begin to find labels in a transaction: from here on none of them is deleted."""
        state = self._connection.execute("SELECT number, swept FROM generation").fetchone()
        if state != self._state or len(self._numbers) > MOST_KNOWN:
            self.forget()
            self._state = state

    def forget(self) -> None:
        """Know nothing by heart any more, for what was added has been taken back."""
        self._numbers.clear()
        self.known.clear()
        self._state = None

    def find(self, call: Call) -> int:
        """Give the number of a call's label, a new one where there is none."""
        # Not the label itself, which is clean: to clean it is what takes time.
        key = (
            call.path, call.model, call.user, call.finish_reason, call.stream, call.provider, call.partial, call.kind,
            call.method,
        )  # fmt: skip
        number = self._numbers.get(key)
        return self._learn(key, call) if number is None else number

    def sweep(self) -> int:
        """Delete the labels that no call has; the caller has begun a transaction. Gives how many went."""
        used = segments.used_labels(self._connection)
        unused = [row for row in self._connection.execute("SELECT id FROM labels") if row[0] not in used]
        if unused:
            self._connection.executemany("DELETE FROM labels WHERE id = ?", unused)
            self._connection.execute("UPDATE generation SET swept = swept + 1")
        return len(unused)

    def read(self, number: int) -> Label:
        """Give the label of this number, which some call must have."""
        if (label := self._read.get(number)) is None:
            if len(self._read) >= MOST_KNOWN:
                self._read.clear()
            found = self._connection.execute(_READ, (number,)).fetchone()
            label = self._read[number] = Label(*found)
        return label

    def _learn(self, key: tuple[object, ...], call: Call) -> int:
        label = Label(
            call.kind,
            clean_label(call.method),
            clean_label(call.path),
            call.provider and clean_label(call.provider),
            call.model and clean_label(call.model),
            call.stream,
            call.user and clean_label(call.user),
            call.finish_reason and clean_label(call.finish_reason),
            call.partial,
        )
        found = self._connection.execute(_FIND, label).fetchone()
        if found is None:
            self._connection.execute(_ADD, label)
            found = self._connection.execute("SELECT last_insert_rowid()").fetchone()
        number: int = found[0]
        self._numbers[key] = number
        self.known[number] = label
        return number
