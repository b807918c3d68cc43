"""What the calls come to, added up while they are written, so that no chart reads them one by one.

The table `figures` has a row for each kind, provider and model in each slot of a second, of 5 s, of a minute and of
12 minutes; it is written in the transaction of the calls themselves, so it is never ahead of them nor behind.
"""

import functools
import math
import sqlite3
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, TypeAlias, TypeVar

import msgspec

from gateway.telemetry import segments
from gateway.telemetry.labels import Label
from gateway.telemetry.segments import Columns

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

T = TypeVar("T")

#: how many calls fell into each bucket of times
Times: TypeAlias = dict[int, int]
#: (kind, provider, model), or the first one or two of them
Group: TypeAlias = tuple[str | None, ...]

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


def count(calls: Columns, *, partial: bool) -> Tally:
    """Count calls, of which there is at least one; all of them came to their end, or none of them did."""
    status, ttft, error = calls.status, calls.ttft_ms, calls.error
    prompt, completion = calls.prompt_tokens, calls.completion_tokens
    number = len(status)
    tally = Tally(number, partial=number if partial else 0)
    if error.count(None) < number or max(status) >= 400:
        tally.cancelled = status.count(499)  # the client left: no failure of ours
        tally.errors = sum(
            code != 499 and (code >= 400 or text is not None) for code, text in zip(status, error, strict=True)
        )
    if None in prompt and None in completion:
        tally.without_usage = sum(one is other is None for one, other in zip(prompt, completion, strict=True))
    tally.prompt_tokens, tally.completion_tokens = _total(prompt), _total(completion)
    tally.cached_tokens = _total(calls.cached_tokens)
    tally.latency = dict(Counter(map(find_bucket, calls.duration_ms)))
    if ttft.count(None) < number:
        tally.ttft = dict(Counter(find_bucket(time) for time in ttft if time is not None))
    return tally


def _total(tokens: Sequence[int | None]) -> int | None:
    """The sum of what is known, no larger than SQLite can keep; None if nothing is."""
    numbers = segments.known(tokens)
    return min(sum(numbers), MOST_SUMMED) if numbers else None


def _read_tally(values: Sequence[Any]) -> Tally:
    sums, (latency, ttft) = values[:-2], values[-2:]
    tally = Tally(*sums)
    tally.latency, tally.ttft = _decode_times(latency), _decode_times(ttft)
    return tally


def add_calls(connection: sqlite3.Connection, calls: Columns, find_label: Callable[[int], Label]) -> None:
    """Add calls to all their slots; the caller has begun a transaction."""
    places = list(zip(_whole_seconds(calls.ended()), calls.label, strict=True))
    seconds: dict[tuple[int, Group], Tally] = {}
    for (second, number), some in _group(calls, places):
        label = find_label(number)
        place = (second, (label.kind, label.provider, label.model))
        seconds.setdefault(place, Tally()).add(count(some, partial=label.partial))
    for width in KEPT_SECONDS:
        slots: dict[tuple[int, Group], Tally] = {}
        for (second, group), tally in seconds.items():
            slots.setdefault((second - second % width, group), Tally()).add(tally)
        for (slot, (kind, provider, model)), tally in slots.items():
            row = (width, slot, kind, provider or "", model or "")
            if (known := connection.execute(_FIND, row).fetchone()) is not None:
                tally.add(_read_tally(known))
            connection.execute(_PUT, (*row, *tally.values()))


def _whole_seconds(moments: list[float]) -> list[int]:
    if min(moments) < -FARTHEST or max(moments) > FARTHEST:
        moments = [max(-FARTHEST, min(moment, FARTHEST)) for moment in moments]
    return list(map(math.floor, moments))


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


def read_calls(
    connection: sqlite3.Connection, begin: float, end: float, find_label: Callable[[int], Label]
) -> dict[Group, Tally]:
    """The same of the calls that ended between these moments, each read by itself."""
    tallies: dict[Group, Tally] = {}
    for calls in segments.ended_between(connection, begin, end):
        for number, some in _group(calls, calls.label):
            label = find_label(number)
            group = (label.kind, label.provider, label.model)
            tallies.setdefault(group, Tally()).add(count(some, partial=label.partial))
    return tallies


def _group(calls: Columns, keys: Sequence[T]) -> Iterator[tuple[T, Columns]]:
    """Give the calls apart by the keys that they have."""
    if len(different := set(keys)) == 1:
        yield different.pop(), calls
        return
    places: dict[T, list[int]] = {key: [] for key in different}
    for place, key in enumerate(keys):
        places[key].append(place)
    for key, some in places.items():
        yield key, calls.select(some)


def drop_before(connection: sqlite3.Connection, now: float, oldest: float) -> int:
    """Delete the slots that were over before `oldest`, and those that are kept for a shorter time; gives how many."""
    gone = 0
    for width, kept in KEPT_SECONDS.items():
        end = max(oldest, now - kept) - width
        gone += connection.execute("DELETE FROM figures WHERE width = ? AND slot < ?", (width, end)).rowcount
    return gone


# Where a bucket begins: the first is for times too short to tell apart, the last for those too long.
_EDGES = (
    SHORTEST_MS,
    *(
        SHORTEST_MS * GROWTH ** (bucket - 1.5)
        for bucket in range(2, 2 + round(math.log(LONGEST_MS / SHORTEST_MS, GROWTH)))
    ),
)
#: the bucket that a time in ms is counted in
find_bucket = functools.partial(bisect_right, _EDGES)


def find_percentiles(times: Times) -> tuple[float | None, ...]:
    """The `PERCENTILES` of bucketed times in ms, by nearest rank; None without any."""
    if not times:
        return (None,) * len(PERCENTILES)
    buckets = sorted(times)
    reached = list(accumulate(map(times.__getitem__, buckets)))
    return tuple(_time_of(buckets[bisect_left(reached, math.ceil(reached[-1] * share))]) for share in PERCENTILES)


def _time_of(bucket: int) -> float:
    return round(SHORTEST_MS * GROWTH ** (bucket - 1), 2) if bucket else 0.0


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
