"""Figures of the call log over a window, as series for the charts: counts, errors, percentiles, tokens.

The window is cut into steps of equal width on a fixed grid, and calls belong to the step in which they ended.
A step that is over never changes, so it is counted once and kept; a chart that refreshes reads the newest only.
"""

import math
import time
from bisect import bisect_left
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from gateway.errors import Detail, InvalidRequest
from gateway.telemetry.database import FAILED, Database

MOST_STEPS_KEPT = 512
MOST_BUCKETS = 500
LONGEST_WINDOW = 31 * 24 * 3600.0
PERCENTILES = (0.5, 0.95)
# A worker writes its calls this long after they ended, at the latest.
SETTLED_SECONDS = 10.0
# The codes of one decade of times, from 100 to 999, after the first thousand.
DECADE = 900
# Sorting is quicker than counting up to about here.
SORTED_AT_ONCE = 2000


def _coded(column: str) -> str:
    """SQL for all the times of a group as one text, a character each: tenths of a ms to three significant digits.

    A text is the smallest thing that SQLite can hand over a thousand times in one piece, and texts add up by being
    joined. Codes 0 to 999 stand for themselves; each further decade has 900. `_decode` is the way back.
    """
    tenths = f"CAST(min({column}, 9999999) * 10 AS INTEGER)"
    whens = " ".join(
        f"WHEN {column} < {10 ** (decade + 2)} THEN {DECADE * decade} + {tenths} / {10**decade}" for decade in range(5)
    )
    code = f"CASE {whens} ELSE {DECADE * 5} + {tenths} / {10**5} END"
    return f"group_concat(char(1 + {code}), '') FILTER (WHERE {column} IS NOT NULL)"


_TALLY = f"""
SELECT kind, provider, model, count(*), sum({FAILED}), sum(status = 499), sum(partial),
       sum(prompt_tokens IS NULL AND completion_tokens IS NULL),
       sum(prompt_tokens), sum(completion_tokens), sum(cached_tokens), {_coded("duration_ms")}, {_coded("ttft_ms")}
FROM calls WHERE ended >= ? AND ended < ? GROUP BY kind, provider, model
"""  # noqa: S608 (names of our own)

# (kind, provider, model), or the first one or two of them.
Group = tuple[str | None, ...]
BY_PROVIDER, BY_MODEL = 2, 3


@dataclass(slots=True)
class Tally:
    """Calls counted together. Tokens are None while nobody has reported any; `latency` and `ttft` are coded times."""

    calls: int = 0
    errors: int = 0
    cancelled: int = 0
    partial: int = 0
    without_usage: int = 0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    latency: str = ""
    ttft: str = ""
    _figures: dict[str, Any] | None = None

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
        self.latency += other.latency or ""
        self.ttft += other.ttft or ""

    def figures(self) -> dict[str, Any]:
        """The figures as the dashboard shows them; percentiles in ms, None without calls. Made once."""
        if self._figures is None:
            latency, ttft = _percentiles(self.latency), _percentiles(self.ttft)
            self._figures = {
                "calls": self.calls,
                "errors": self.errors,
                "error_rate": self.errors / self.calls if self.calls else 0.0,
                "cancelled": self.cancelled,
                "partial": self.partial,
                "without_usage": self.without_usage,
                "prompt_tokens": self.prompt_tokens,
                "completion_tokens": self.completion_tokens,
                "cached_tokens": self.cached_tokens,
                "latency_p50_ms": latency[0],
                "latency_p95_ms": latency[1],
                "ttft_p50_ms": ttft[0],
                "ttft_p95_ms": ttft[1],
            }
        return self._figures


NOTHING = Tally()


class Statistics:
    """The figures of one database; belongs to the database's thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._generation = database.generation
        self._settled: OrderedDict[tuple[float, int], dict[Group, Tally]] = OrderedDict()

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
        steps = [self._step(width, index, now) for index in indices]
        totals = _total(steps)
        llm = sorted((group for group in totals if group[0] == "llm"), key=str)
        return {
            "window_seconds": window_seconds,
            "bucket_seconds": width,
            "time": [index * width for index in indices],
            "calls": _chart(steps, totals, ("llm",)),
            "executions": _chart(steps, totals, ("execution",)),
            "providers": [
                {"provider": group[1], **_chart(steps, totals, group)} for group in llm if len(group) == BY_PROVIDER
            ],
            "models": [
                {"provider": group[1], "model": group[2], **_chart(steps, totals, group)}
                for group in llm
                if len(group) == BY_MODEL
            ],
        }

    def _step(self, width: float, index: int, now: float) -> dict[Group, Tally]:
        if (known := self._settled.get((width, index))) is not None:
            self._settled.move_to_end((width, index))
            return known
        rows = self._database.connection.execute(_TALLY, (index * width, (index + 1) * width))
        tallies = _roll_up({(kind, provider, model): Tally(*figures) for kind, provider, model, *figures in rows})
        if (index + 1) * width + SETTLED_SECONDS < now:
            self._settled[width, index] = tallies
            while len(self._settled) > MOST_STEPS_KEPT:
                self._settled.popitem(last=False)
        return tallies


def _roll_up(models: dict[Group, Tally]) -> dict[Group, Tally]:
    """Tallies by model, to which those by provider and by kind are added: the sums of sums, each made once."""
    providers: dict[Group, Tally] = {}
    kinds: dict[Group, Tally] = {}
    for group, tally in models.items():
        providers.setdefault(group[:BY_PROVIDER], Tally()).add(tally)
    for group, tally in providers.items():
        kinds.setdefault(group[:1], Tally()).add(tally)
    return {**models, **providers, **kinds}


def _total(steps: Sequence[dict[Group, Tally]]) -> dict[Group, Tally]:
    models: dict[Group, Tally] = {}
    for step in steps:
        for group, tally in step.items():
            if len(group) == BY_MODEL:
                models.setdefault(group, Tally()).add(tally)
    return _roll_up(models)


def _chart(steps: Sequence[dict[Group, Tally]], totals: dict[Group, Tally], group: Group) -> dict[str, Any]:
    rows = [step.get(group, NOTHING).figures() for step in steps]
    total = totals.get(group, NOTHING).figures()
    return {"total": total, "series": {name: [row[name] for row in rows] for name in total}}


def _percentiles(times: str | None) -> tuple[float | None, float | None]:
    """The 50th and 95th percentile of coded times in ms, by nearest rank."""
    if not times:
        return None, None
    ranks = [math.ceil(len(times) * share) for share in PERCENTILES]
    if len(times) <= SORTED_AT_ONCE:
        ordered = sorted(times)
        median, late = (ordered[rank - 1] for rank in ranks)
    else:
        counted = sorted(Counter(times).items())
        reached = list(accumulate(count for _, count in counted))
        median, late = (counted[bisect_left(reached, rank)][0] for rank in ranks)
    return _decode(ord(median) - 1), _decode(ord(late) - 1)


def _decode(code: int) -> float:
    """The time in ms that a code of `_coded` stands for."""
    decade = max(0, (code - 100) // DECADE)
    return float((code - DECADE * decade) * 10**decade) / 10


def _sum(one: int | None, other: int | None) -> int | None:
    """The sum of what is known."""
    if one is None or other is None:
        return one if other is None else other
    return one + other
