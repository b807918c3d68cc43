"""What the calls come to, added up while they are written, so that no chart reads them one by one.

The table `figures` has a row for each kind, provider and model in each slot of a second, of 5 s, of a minute and of
12 minutes; it is written in the transaction of the calls themselves, so it is never ahead of them nor behind.
"""

import math
import sqlite3
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from operator import itemgetter
from typing import Any, TypeAlias

import msgspec

from gateway.telemetry.records import COLUMNS, Row

# The widths of slots in seconds, finest first, and how long each is kept. All windows that the dashboard offers, cut
# into 60 steps, are whole numbers of one of them; the coarsest is kept as long as the calls.
KEPT_SECONDS: dict[int, float] = {1: 2 * 3600.0, 5: 7 * 3600.0, 60: 26 * 3600.0, 720: math.inf}

# Times are counted in buckets that each are 2 % wider than the one before, so a percentile is right to 1 %.
GROWTH = 1.02
SHORTEST_MS = 0.05
LONGEST_MS = 1e7
PERCENTILES = (0.5, 0.95)
MOST_SUMMED = 2**62
FARTHEST = 2.0**40  # in seconds, for a clock that is out of its mind

SCHEMA = """
CREATE TABLE figures (width INTEGER, slot INTEGER, kind TEXT, provider TEXT, model TEXT, calls INTEGER,
errors INTEGER, cancelled INTEGER, partial INTEGER, without_usage INTEGER, prompt_tokens INTEGER,
completion_tokens INTEGER, cached_tokens INTEGER, latency BLOB, ttft BLOB);
CREATE UNIQUE INDEX figures_by_slot ON figures (width, slot, kind, provider, model)
"""
_SUMS = """calls, errors, cancelled, partial, without_usage, prompt_tokens, completion_tokens, cached_tokens,
latency, ttft"""
_FIND = f"SELECT {_SUMS} FROM figures WHERE (width, slot, kind, provider, model) = (?, ?, ?, ?, ?)"  # noqa: S608
_PUT = f"INSERT OR REPLACE INTO figures VALUES ({', '.join('?' * 15)})"  # noqa: S608
_READ = f"SELECT kind, provider, model, {_SUMS} FROM figures WHERE width = ? AND slot >= ? AND slot < ?"  # noqa: S608

_CALL = ("kind", "provider", "model", "status", "duration_ms", "ttft_ms", "prompt_tokens", "completion_tokens",
         "cached_tokens", "partial", "error")  # fmt: skip
_read_row = itemgetter(0, *(1 + COLUMNS.index(name) for name in _CALL))
_READ_CALLS = f"SELECT ended, {', '.join(COLUMNS)} FROM calls WHERE ended >= ? AND ended < ?"  # noqa: S608

#: how many calls fell into each bucket of times
Times: TypeAlias = dict[int, int]
#: (kind, provider, model), or the first one or two of them
Group: TypeAlias = tuple[str | None, ...]

_scale = 1 / math.log(GROWTH)
_decode_times = msgspec.msgpack.Decoder(dict[int, int]).decode
_encode_times = msgspec.msgpack.Encoder().encode


@dataclass(slots=True)
class Tally:
    """Calls counted together; the table's columns. Tokens are None while nobody has reported any."""

    calls: int = 0
    errors: int = 0
    cancelled: int = 0
    partial: int = 0
    without_usage: int = 0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    latency: Times = field(default_factory=dict)
    ttft: Times = field(default_factory=dict)

    def count(self, call: Sequence[Any]) -> None:
        """Count one call, given as its `_CALL` values behind the first three."""
        status, duration, ttft, prompt, completion, cached, partial, error = call
        self.calls += 1
        if status == 499:  # the client left: no failure of ours
            self.cancelled += 1
        elif error is not None or status >= 400:
            self.errors += 1
        if partial:
            self.partial += 1
        if prompt is None and completion is None:
            self.without_usage += 1
        if prompt is not None:
            self.prompt_tokens = min((self.prompt_tokens or 0) + prompt, MOST_SUMMED)
        if completion is not None:
            self.completion_tokens = min((self.completion_tokens or 0) + completion, MOST_SUMMED)
        if cached is not None:
            self.cached_tokens = min((self.cached_tokens or 0) + cached, MOST_SUMMED)
        bucket = find_bucket(duration)
        self.latency[bucket] = self.latency.get(bucket, 0) + 1
        if ttft is not None:
            bucket = find_bucket(ttft)
            self.ttft[bucket] = self.ttft.get(bucket, 0) + 1

    def add(self, other: "Tally") -> None:
        """Count the other's calls too."""
        self.calls += other.calls
        self.errors += other.errors
        self.cancelled += other.cancelled
        self.partial += other.partial
        self.without_usage += other.without_usage
        self.prompt_tokens = _sum(self.prompt_tokens, other.prompt_tokens)
        self.completion_tokens = _sum(self.completion_tokens, other.completion_tokens)
        self.cached_tokens = _sum(self.cached_tokens, other.cached_tokens)
        _merge(self.latency, other.latency)
        _merge(self.ttft, other.ttft)

    def values(self) -> tuple[Any, ...]:
        """The values of the table's columns."""
        return (
            self.calls, self.errors, self.cancelled, self.partial, self.without_usage, self.prompt_tokens,
            self.completion_tokens, self.cached_tokens, _encode_times(self.latency), _encode_times(self.ttft),
        )  # fmt: skip


def _read_tally(values: Sequence[Any]) -> Tally:
    sums, (latency, ttft) = values[:-2], values[-2:]
    tally = Tally(*sums)
    tally.latency, tally.ttft = _decode_times(latency), _decode_times(ttft)
    return tally


def add_calls(connection: sqlite3.Connection, rows: Iterable[Row]) -> None:
    """Add calls, as the values of `ended` and `COLUMNS`, to all their slots; the caller has begun a transaction."""
    seconds: dict[tuple[int, Group], Tally] = {}
    for ended, group, call in _take_apart(rows):
        key = (math.floor(max(-FARTHEST, min(ended, FARTHEST))), group)
        if (tally := seconds.get(key)) is None:
            tally = seconds[key] = Tally()
        tally.count(call)
    for width in KEPT_SECONDS:
        slots: dict[tuple[int, Group], Tally] = {}
        for (second, group), tally in seconds.items():
            slots.setdefault((second - second % width, group), Tally()).add(tally)
        for (slot, (kind, provider, model)), tally in slots.items():
            place = (width, slot, kind, provider or "", model or "")
            if (known := connection.execute(_FIND, place).fetchone()) is not None:
                tally.add(_read_tally(known))
            connection.execute(_PUT, (*place, *tally.values()))


def read_slots(connection: sqlite3.Connection, width: int, begin: float, end: float) -> dict[Group, Tally]:
    """What the calls of the slots that begin between these moments come to, by kind, provider and model."""
    tallies: dict[Group, Tally] = {}
    bounds = (width, math.ceil(begin / width) * width, math.ceil(end / width) * width)
    for kind, provider, model, *values in connection.execute(_READ, bounds):
        group, tally = (kind, provider or None, model or None), _read_tally(values)
        if (known := tallies.get(group)) is None:
            tallies[group] = tally
        else:
            known.add(tally)
    return tallies


def read_calls(connection: sqlite3.Connection, begin: float, end: float) -> dict[Group, Tally]:
    """The same of the calls that ended between these moments, each read by itself."""
    tallies: dict[Group, Tally] = {}
    for _, group, call in _take_apart(connection.execute(_READ_CALLS, (begin, end))):
        tallies.setdefault(group, Tally()).count(call)
    return tallies


def drop_before(connection: sqlite3.Connection, now: float, oldest: float) -> int:
    """Delete the slots that were over before `oldest`, and those that are kept for a shorter time; gives how many."""
    gone = 0
    for width, kept in KEPT_SECONDS.items():
        end = max(oldest, now - kept) - width
        gone += connection.execute("DELETE FROM figures WHERE width = ? AND slot < ?", (width, end)).rowcount
    return gone


def find_bucket(ms: float) -> int:
    """The bucket that a time in ms is counted in."""
    return 0 if ms < SHORTEST_MS else 1 + round(math.log(min(ms, LONGEST_MS) / SHORTEST_MS) * _scale)


def find_percentiles(times: Times) -> tuple[float | None, ...]:
    """The `PERCENTILES` of bucketed times in ms, by nearest rank; None without any."""
    if not times:
        return (None,) * len(PERCENTILES)
    buckets = sorted(times)
    reached = list(accumulate(map(times.__getitem__, buckets)))
    return tuple(_time_of(buckets[bisect_left(reached, math.ceil(reached[-1] * share))]) for share in PERCENTILES)


def _time_of(bucket: int) -> float:
    return round(SHORTEST_MS * GROWTH ** (bucket - 1), 2) if bucket else 0.0


def _take_apart(rows: Iterable[Sequence[Any]]) -> Iterator[tuple[float, Group, Sequence[Any]]]:
    for row in rows:
        ended, kind, provider, model, *call = _read_row(row)
        yield ended, (kind, provider, model), call


def _merge(times: Times, others: Times) -> None:
    if not times:
        times.update(others)
        return
    known = times.get
    for bucket, number in others.items():
        times[bucket] = known(bucket, 0) + number


def _sum(one: int | None, other: int | None) -> int | None:
    """The sum of what is known, no larger than SQLite can keep."""
    if one is None or other is None:
        return one if other is None else other
    return min(one + other, MOST_SUMMED)
