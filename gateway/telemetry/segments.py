"""Calls as the log keeps them: those that were written at once in one row of the file, column by column.

A row for each call would be the most of what logging costs; like this it is a fiftieth of that, and to let old calls
go is as cheap. A column whose values are all the same is kept as that one value. What tells whether a segment need be
read at all stands beside it: the ids in it, when its calls ended, which labels they have, and whether one was refused.
Small segments that stand side by side are put together later (`merge`), so that few calls a second do not become many
segments.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec

SCHEMA = """
CREATE TABLE segments (first INTEGER PRIMARY KEY, last INTEGER NOT NULL, ended_first REAL NOT NULL,
ended_last REAL NOT NULL, refused INTEGER NOT NULL, labels BLOB NOT NULL, calls BLOB NOT NULL)
"""
_PUT = "INSERT INTO segments VALUES (?, ?, ?, ?, ?, ?, ?)"
_READ = "SELECT first, calls FROM segments WHERE"
_FIND = "SELECT first, last FROM segments WHERE"

# So many calls a merged segment has at most; what has more than half of them stays as it is.
MERGED_CALLS = 1000
MERGED_AT_LEAST = 2
# Other workers get their turn in between.
DROPPED_AT_ONCE = 20

Column = Sequence[Any]

_encode = msgspec.msgpack.Encoder().encode
_decode_columns = msgspec.msgpack.Decoder(tuple[int, list[Any]]).decode
_decode_labels = msgspec.msgpack.Decoder(list[int]).decode


class Columns(NamedTuple):
    """Some calls, column by column, all of the same length; `label` is the number of a `labels.Label`."""

    time: Column
    request_id: Column
    label: Column
    status: Column
    duration_ms: Column
    ttft_ms: Column
    prompt_tokens: Column
    completion_tokens: Column
    cached_tokens: Column
    error: Column

    def ended(self) -> list[float]:
        """When each call was over, in Unix seconds."""
        return [began + took / 1000 for began, took in zip(self.time, self.duration_ms, strict=True)]

    def select(self, places: Sequence[int]) -> "Columns":
        """Give the calls that stand at these places, of which there is at least one."""
        if len(places) == 1:
            return Columns(*([column[places[0]]] for column in self))
        take = itemgetter(*places)
        return Columns(*map(take, self))


def known(column: Column) -> Column:
    """The values of a column that are known, without any None."""
    return [value for value in column if value is not None] if None in column else column


class Segment(NamedTuple):
    """Calls of consecutive ids from `first` on."""

    first: int
    columns: Columns

    @property
    def last(self) -> int:
        """The id of its newest call."""
        return self.first + len(self.columns.time) - 1


def put(connection: sqlite3.Connection, segment: Segment) -> None:
    """Write a segment, which must not be empty; the caller has begun a transaction."""
    columns = segment.columns
    ended = columns.ended()
    refused = max(columns.status) >= 400 or columns.error.count(None) < len(ended)
    about = min(ended), max(ended), refused, _encode(sorted(set(columns.label)))
    packed = _encode((len(ended), [_pack(column) for column in columns]))
    connection.execute(_PUT, (segment.first, segment.last, *about, packed))


def _pack(column: Column) -> Any:
    return column[0] if column.count(column[0]) == len(column) else column


def _unpack(first: int, packed: bytes) -> Segment:
    count, columns = _decode_columns(packed)
    return Segment(first, Columns(*(column if isinstance(column, list) else [column] * count for column in columns)))


def newest_first(
    connection: sqlite3.Connection,
    *,
    before: int | None = None,
    after: int = 0,
    refused: bool = False,
    labels: frozenset[int] | None = None,
) -> Iterator[Segment]:
    """Read the segments that have calls with ids below `before` and above `after`, from the newest on.

    `refused` wants only those in which a status is 400 or more or an error is told, `labels` those with one of them.
    """
    condition = f"WHERE first < ? AND last > ?{' AND refused' if refused else ''} ORDER BY first DESC"
    values = (2**63 - 1 if before is None else before, after)
    for first, own, packed in connection.execute(f"SELECT first, labels, calls FROM segments {condition}", values):  # noqa: S608
        if labels is None or not labels.isdisjoint(_decode_labels(own)):
            yield _unpack(first, packed)


def ended_between(connection: sqlite3.Connection, begin: float, end: float) -> Iterator[Columns]:
    """Read the calls that ended from `begin` on and before `end`, in Unix seconds."""
    for first, packed in connection.execute(f"{_READ} ended_last >= ? AND ended_first < ?", (begin, end)):
        columns = _unpack(first, packed).columns
        if places := [place for place, moment in enumerate(columns.ended()) if begin <= moment < end]:
            yield columns.select(places)


def used_labels(connection: sqlite3.Connection) -> set[int]:
    """Give the numbers of all labels that a call has."""
    return {number for (own,) in connection.execute("SELECT labels FROM segments") for number in _decode_labels(own)}


def drop_through(connection: sqlite3.Connection, identity: int) -> list[range]:
    """Delete calls up to this id, those of some segments, and give their ids; the caller has begun a transaction."""
    found = connection.execute(f"{_FIND} first <= ? ORDER BY first LIMIT {DROPPED_AT_ONCE}", (identity,)).fetchall()
    return [_cut(connection, first, min(last, identity)) for first, last in found]


def drop_ended_before(connection: sqlite3.Connection, moment: float) -> list[range]:
    """Delete calls that ended before `moment`, those of some segments; else like `drop_through`.

    A segment in which some are old enough goes from its front on, up to the first that is not.
    """
    old = connection.execute(f"{_FIND} ended_last < ? LIMIT {DROPPED_AT_ONCE}", (moment,)).fetchall()
    if not old:
        for first, packed in connection.execute(f"{_READ} ended_first < ? AND ended_last >= ?", (moment, moment)):
            ended = _unpack(first, packed).columns.ended()
            old.append((first, first - 1 + next(place for place, when in enumerate(ended) if when >= moment)))
    return [_cut(connection, first, last) for first, last in old if last >= first]


def _cut(connection: sqlite3.Connection, first: int, through: int) -> range:
    """Delete the calls of one segment up to an id; gives their ids."""
    ((_, packed),) = connection.execute(f"{_READ} first = ?", (first,)).fetchall()
    connection.execute("DELETE FROM segments WHERE first = ?", (first,))
    segment = _unpack(first, packed)
    if through < segment.last:
        gone = through + 1 - first
        put(connection, Segment(through + 1, Columns(*(column[gone:] for column in segment.columns))))
    return range(first, through + 1)


def merge(connection: sqlite3.Connection) -> None:
    """Put small segments together with their neighbours; the caller has begun a transaction."""
    run: list[tuple[int, int]] = []
    small = connection.execute(f"{_FIND} last - first < {MERGED_CALLS // 2} ORDER BY first").fetchall()
    for first, last in small:
        if run and (run[-1][1] + 1 != first or last - run[0][0] >= MERGED_CALLS):
            _join(connection, run)
            run = []
        run.append((first, last))
    _join(connection, run)


def _join(connection: sqlite3.Connection, run: Sequence[tuple[int, int]]) -> None:
    if len(run) < MERGED_AT_LEAST:
        return
    bounds = run[0][0], run[-1][0]
    packed = connection.execute(f"{_READ} first BETWEEN ? AND ? ORDER BY first", bounds).fetchall()
    connection.execute("DELETE FROM segments WHERE first BETWEEN ? AND ?", bounds)
    parts = [_unpack(first, calls).columns for first, calls in packed]
    put(
        connection,
        Segment(bounds[0], Columns(*(list(chain.from_iterable(column)) for column in zip(*parts, strict=True)))),
    )
