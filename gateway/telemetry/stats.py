"""Figures of the call log over a window, as series for the charts: counts, errors, percentiles, tokens.

The window is cut into steps of equal width on a fixed grid, and calls belong to the step in which they ended. They
are read from what `figures` has added up already, in slots; only steps that fit no slots are counted call by call.
A step that is over never changes, so it is read once and kept; a chart that refreshes reads the newest only.

How exact: counts and tokens are exact wherever a step is a whole number of slots, which holds for each of the
dashboard's windows in 60 steps; of other steps the border may be off by a seventh of a step, and their sum is still
right. Percentiles are right to 1 %, or 0.05 ms. Figures outlive the calls that `Bounds.calls` lets go.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any

from gateway.errors import Detail, InvalidRequest
from gateway.telemetry.database import Database
from gateway.telemetry.figures import KEPT_SECONDS, Group, Tally, find_percentiles, read_slots

MOST_STEPS_KEPT = 512
MOST_BUCKETS = 500
LONGEST_WINDOW = 31 * 24 * 3600.0
# A worker writes its calls this long after they ended, at the latest.
SETTLED_SECONDS = 10.0
# Where no slots fit a step, those are good enough of which it has so many.
ENOUGH_SLOTS = 7

BY_PROVIDER, BY_MODEL = 2, 3

#: the figures of a group as the dashboard shows them
Figures = dict[str, Any]


class Statistics:
    """The figures of one database; belongs to the database's thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._generation = database.generation
        self._settled: OrderedDict[tuple[float, int], tuple[dict[Group, Tally], dict[Group, Figures]]] = OrderedDict()

    def read(self, window_seconds: float, buckets: int, now: float | None = None) -> dict[str, Any]:
        """The figures of the last `window_seconds` in `buckets` equal steps, the last of which is still running.

        `calls` are those to providers, `executions` those that ran code; each has a `total` and `series` (lists of
        one value a step, beside `time`, where each begins). `providers` and `models` have the same, one by one.
        """
        if not 1 <= buckets <= MOST_BUCKETS or not 1 <= window_seconds <= LONGEST_WINDOW:
            raise InvalidRequest.naming([Detail("window", "is not between a second and 31 days")])
        now = time.time() if now is None else now
        width = window_seconds / buckets
        indices = range(math.floor(now / width) - buckets + 1, math.floor(now / width) + 1)
        if (generation := self._database.generation) != self._generation:
            self._settled.clear()
            self._generation = generation
        slot = find_slot(width, window_seconds)
        steps = [self._step(width, index, slot, now) for index in indices]
        totals = _describe(_roll_up(_add_up(tallies for tallies, _ in steps)))
        rows = [figures for _, figures in steps]
        llm = sorted((group for group in totals if group[0] == "llm"), key=str)
        return {
            "window_seconds": window_seconds,
            "bucket_seconds": width,
            "time": [index * width for index in indices],
            "calls": _chart(rows, totals, ("llm",)),
            "executions": _chart(rows, totals, ("execution",)),
            "providers": [
                {"provider": group[1], **_chart(rows, totals, group)} for group in llm if len(group) == BY_PROVIDER
            ],
            "models": [
                {"provider": group[1], "model": group[2], **_chart(rows, totals, group)}
                for group in llm
                if len(group) == BY_MODEL
            ],
        }

    def _step(
        self, width: float, index: int, slot: int | None, now: float
    ) -> tuple[dict[Group, Tally], dict[Group, Figures]]:
        """What the calls of a step come to by model, and its figures by model, by provider and by kind."""
        if (known := self._settled.get((width, index))) is not None:
            self._settled.move_to_end((width, index))
            return known
        begin, end = index * width, (index + 1) * width
        if slot is None:
            tallies = self._database.count_calls(begin, end)
        else:
            tallies = read_slots(self._database.connection, slot, begin, end)
        step = tallies, _describe(_roll_up(tallies))
        if end + (slot or 0) + SETTLED_SECONDS < now:
            self._settled[width, index] = step
            while len(self._settled) > MOST_STEPS_KEPT:
                self._settled.popitem(last=False)
        return step


def find_slot(width: float, window_seconds: float) -> int | None:
    """The width of the slots to read for steps of `width` seconds, the widest that do; None if none of them do."""
    kept = [slot for slot, seconds in KEPT_SECONDS.items() if seconds >= window_seconds + width]
    return max((slot for slot in kept if width % slot == 0 or slot * ENOUGH_SLOTS <= width), default=None)


def _roll_up(models: dict[Group, Tally]) -> dict[Group, Tally]:
    """Tallies by model, to which those by provider and by kind are added; what would be the same is the same."""
    providers = _join(models, BY_PROVIDER)
    return {**models, **providers, **_join(providers, 1)}


def _join(tallies: dict[Group, Tally], names: int) -> dict[Group, Tally]:
    alike: dict[Group, list[Tally]] = {}
    for group, tally in tallies.items():
        alike.setdefault(group[:names], []).append(tally)
    return {group: some[0] if len(some) == 1 else _sum_up(some) for group, some in alike.items()}


def _add_up(steps: Iterable[dict[Group, Tally]]) -> dict[Group, Tally]:
    totals: dict[Group, Tally] = {}
    for step in steps:
        for group, tally in step.items():
            totals.setdefault(group, Tally()).add(tally)
    return totals


def _sum_up(some: Iterable[Tally]) -> Tally:
    total = Tally()
    for tally in some:
        total.add(tally)
    return total


def _describe(tallies: dict[Group, Tally]) -> dict[Group, Figures]:
    made: dict[int, Figures] = {}  # one tally may stand for a model, its provider and its kind
    return {
        group: made.get(id(tally)) or made.setdefault(id(tally), _figures(tally)) for group, tally in tallies.items()
    }


def _figures(tally: Tally) -> Figures:
    """The figures as the dashboard shows them; percentiles in ms, None without calls."""
    latency, ttft = find_percentiles(tally.latency), find_percentiles(tally.ttft)
    return {
        "calls": tally.calls,
        "errors": tally.errors,
        "error_rate": tally.errors / tally.calls if tally.calls else 0.0,
        "cancelled": tally.cancelled,
        "partial": tally.partial,
        "without_usage": tally.without_usage,
        "prompt_tokens": tally.prompt_tokens,
        "completion_tokens": tally.completion_tokens,
        "cached_tokens": tally.cached_tokens,
        "latency_p50_ms": latency[0],
        "latency_p95_ms": latency[1],
        "ttft_p50_ms": ttft[0],
        "ttft_p95_ms": ttft[1],
    }


_NOTHING = _figures(Tally())


def _chart(rows: Sequence[dict[Group, Figures]], totals: dict[Group, Figures], group: Group) -> dict[str, Any]:
    of_steps = [row.get(group, _NOTHING) for row in rows]
    total = totals.get(group, _NOTHING)
    return {"total": total, "series": {name: [row[name] for row in of_steps] for name in total}}
