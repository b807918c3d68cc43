"""Prometheus figures of the gateway (API.md 3.1), right over all workers, with label values from bounded sets.

To count is to add to a cell (`cells`); names, texts and labels are put to the numbers when somebody asks for them.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from gateway.telemetry.cells import Cells

CONTENT_TYPE = CONTENT_TYPE_LATEST
OTHER = "other"
MOST_MODELS = 200
MOST_PATHS = 200

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
KINDS = ("prompt", "completion", "cached")
EXECUTION_STATUSES = frozenset(
    {"ok", "error", "syntax_error", "exit", "signal", "timeout", "out_of_memory", "process_limit", "output_limit",
     "cancelled", "bad_input", "failed"}
)  # fmt: skip
SCOPES = frozenset({"requests", "executions"})

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)

_BOUNDS = (*(f"{float(seconds)}" for seconds in _SECONDS), "+Inf")
_TIMES = len(_BOUNDS) + 1  # cells of a histogram: how many within each bound, and their sum

Inc = Callable[[float], None]
#: where a call to a provider is counted: calls, their times, and tokens by `KINDS`, 0 until there are any
CallPlaces = tuple[int, int, list[int]]


class Family(NamedTuple):
    """What one kind of number is called. A gauge counts only of workers that run; `greatest` takes it, not the sum."""

    kind: str
    text: str
    labels: tuple[str, ...] = ()
    greatest: bool = False


_ROUTE, _TARGET = ("method", "path", "status"), ("provider", "model")
FAMILIES = {
    # As many as there are times of them: `http_request_duration_seconds` has the cells of both.
    "http_requests": Family("counter", "Requests answered.", _ROUTE),
    "http_request_duration_seconds": Family("histogram", "Time to answer a request.", _ROUTE),
    "llm_requests": Family("counter", "Calls to providers.", (*_TARGET, "status")),
    "llm_request_duration_seconds": Family("histogram", "Time of a call to a provider.", _TARGET),
    "llm_tokens": Family("counter", "Tokens, as providers report them.", (*_TARGET, "kind")),
    "llm_time_to_first_token_seconds": Family("histogram", "Time to the first token.", _TARGET),
    "rate_limited": Family("counter", "Requests refused over a rate limit.", ("scope",)),
    "executions": Family("counter", "Runs of code.", ("status",)),
    "execution_duration_seconds": Family("histogram", "Time of a run, as the gateway sees it."),
    "rate_limit_storage_errors": Family("counter", "Requests let through: limits not readable."),
    "call_log_dropped": Family("counter", "Calls that the call log had no room for."),
    "llm_streams_active": Family("gauge", "Streams being sent."),
    "llm_provider_resting": Family(
        "gauge", "1 while a provider that keeps failing is left alone by any worker.", ("provider",), greatest=True
    ),
}


class Metrics:
    """The figures of one worker; `expose` gives those of all.

    `folder` is where workers share their figures and is wanted with more than one of them; it must exist before
    they start, and each worker makes its own `Metrics` after it has started. `providers` are the names that may
    become labels; models become labels once `know` has named them, up to `MOST_MODELS` of those really used.
    """

    def __init__(self, *, workers: int = 1, folder: Path | None = None, providers: Iterable[str] = ()) -> None:
        if workers > 1 and folder is None:
            raise ValueError("more than one worker needs a folder to share figures in")
        self._cells = Cells(folder if workers > 1 else None)
        self._providers = frozenset(providers)
        self._models: frozenset[tuple[str, str]] = frozenset()
        self._used_models: set[tuple[str, str]] = set()
        self._used_paths: set[str] = set()
        self._resting: set[str] = set()
        self._places: dict[tuple[str, ...], int] = {}
        #: by family and labels: what adds to their cells
        self._children: dict[tuple[str, ...], Inc] = {}
        # Label combinations seen before lead straight to what is to be called; all of them are bounded sets.
        self._request_children: dict[tuple[str, str, int], Inc] = {}
        self._call_places: dict[tuple[str, str, int], CallPlaces] = {}
        self._token_places: dict[tuple[str, str], list[int]] = {}
        self._first_token_children: dict[tuple[str, str], Inc] = {}
        for name, family in FAMILIES.items():
            if not family.labels:
                self._child(name)

    def _child(self, name: str, *labels: str) -> Inc:
        """Give what adds to a counter or a gauge, or notes a time in a histogram."""
        key = (name, *labels)
        child = self._children.get(key)
        if child is None:
            make = self._histogram if FAMILIES[name].kind == "histogram" else self._counter
            child = self._children[key] = make(name, labels)
        return child

    def _counter(self, name: str, labels: tuple[str, ...]) -> Inc:
        cells = self._cells
        place = self._place(name, *labels)

        def add(number: float) -> None:
            cells.row[place] += number

        return add

    def _histogram(self, name: str, labels: tuple[str, ...]) -> Inc:
        cells = self._cells
        first = self._place(name, *labels)
        total = first + _TIMES - 1

        def observe(seconds: float) -> None:
            row = cells.row
            row[first + bisect_left(_SECONDS, seconds)] += 1
            row[total] += seconds

        return observe

    def _place(self, name: str, *labels: str) -> int:
        """Give the first of a family's cells with these labels; they are taken when somebody asks first."""
        key = (name, *labels)
        place = self._places.get(key)
        if place is None:
            count = _TIMES if FAMILIES[name].kind == "histogram" else 1
            place = self._places[key] = self._cells.add(name, labels, count)
        return place

    def know(self, models: Iterable[tuple[str, str]]) -> None:
        """Say which (provider, model) pairs exist, so that they may become labels; replaces what was said before."""
        self._models = frozenset(models)

    def request(self, method: str, path: str, status: int, seconds: float) -> None:
        """Count one answered request; `path` is the route's template, never what the client typed."""
        child = self._request_children.get((method, path, status))
        if child is None:
            child = self._find_request(method, path, status)
        child(seconds)

    def _find_request(self, method: str, path: str, status: int) -> Inc:
        if path not in self._used_paths and len(self._used_paths) < MOST_PATHS:
            self._used_paths.add(path)
        known = (
            method if method in METHODS else OTHER,
            path if path in self._used_paths else OTHER,
            _status(status),
        )
        child = self._child("http_request_duration_seconds", *known)
        if known == (method, path, str(status)):
            self._request_children[method, path, status] = child
        return child

    def llm(
        self,
        provider: str,
        model: str,
        status: int,
        seconds: float,
        prompt: int | None = None,
        completion: int | None = None,
        cached: int | None = None,
    ) -> None:
        """Count one call to a provider, its time, and its tokens; None is unknown.

        `status` is the HTTP status that the call came to.
        """
        places = self._call_places.get((provider, model, status))
        if places is None:
            places = self._find_call(provider, model, status)
        calls, times, tokens = places
        row = self._cells.row
        row[calls] += 1
        row[times + bisect_left(_SECONDS, seconds)] += 1
        row[times + _TIMES - 1] += seconds
        # The place before the row: to find it may put another row in the place of this one.
        if prompt and prompt > 0:
            place = tokens[0] or self._find_tokens(tokens, 0, provider, model)
            self._cells.row[place] += prompt
        if completion and completion > 0:
            place = tokens[1] or self._find_tokens(tokens, 1, provider, model)
            self._cells.row[place] += completion
        if cached and cached > 0:
            place = tokens[2] or self._find_tokens(tokens, 2, provider, model)
            self._cells.row[place] += cached

    def _find_call(self, provider: str, model: str, status: int) -> CallPlaces:
        target, code = self._target(provider, model), _status(status)
        places = (
            self._place("llm_requests", *target, code),
            self._place("llm_request_duration_seconds", *target),
            self._token_places.setdefault(target, [0] * len(KINDS)),
        )
        if (*target, code) == (provider, model, str(status)):
            self._call_places[provider, model, status] = places
        return places

    def _find_tokens(self, known: list[int], kind: int, provider: str, model: str) -> int:
        known[kind] = self._place("llm_tokens", *self._target(provider, model), KINDS[kind])
        return known[kind]

    def first_token(self, provider: str, model: str, seconds: float) -> None:
        """Note how long the first token of an answer took."""
        child = self._first_token_children.get((provider, model))
        if child is None:
            target = self._target(provider, model)
            child = self._child("llm_time_to_first_token_seconds", *target)
            if target == (provider, model):
                self._first_token_children[provider, model] = child
        child(seconds)

    def stream_opened(self) -> None:
        """A stream to a client has begun; `stream_closed` must follow, however it ends."""
        self._child("llm_streams_active")(1)

    def stream_closed(self) -> None:
        """A stream to a client has ended."""
        self._child("llm_streams_active")(-1)

    def rate_limited(self, scope: str) -> None:
        """Count a request refused over the limit of `scope`, one of `SCOPES`."""
        self._child("rate_limited", scope if scope in SCOPES else OTHER)(1)

    def storage_trouble(self) -> None:
        """Count a request that passed because the rate limits could not be read."""
        self._child("rate_limit_storage_errors")(1)

    def execution(self, status: str, seconds: float) -> None:
        """Count one run of code: its verdict (API.md 4.1), the HTTP status if that is all we know, or `failed`."""
        known = status in EXECUTION_STATUSES or (status.isdecimal() and _status(int(status)) == status)
        self._child("executions", status if known else OTHER)(1)
        self._child("execution_duration_seconds")(seconds)

    def provider_rested(self, provider: str, on: bool) -> None:  # noqa: FBT001 (a state, read aloud at the call)
        """Show whether this worker leaves a failing provider alone for now."""
        name = provider if provider in self._providers else OTHER
        if on is not (name in self._resting):
            self._resting ^= {name}
            self._child("llm_provider_resting", name)(1 if on else -1)

    def calls_dropped(self, n: int) -> None:
        """Count calls that the call log had no room for."""
        self._child("call_log_dropped")(n)

    def expose(self) -> bytes:
        """The figures of all workers in Prometheus' text format (`CONTENT_TYPE`).

        With many workers and models this reads files for some tens of milliseconds: call it in a thread.
        """
        registry = CollectorRegistry()
        registry.register(_Reader(self._cells))
        return generate_latest(registry)

    def _target(self, provider: str, model: str) -> tuple[str, str]:
        if provider not in self._providers:
            return OTHER, OTHER
        pair = (provider, model)
        if pair in self._used_models:
            return pair
        if pair not in self._models or len(self._used_models) >= MOST_MODELS:
            return provider, OTHER
        self._used_models.add(pair)
        return pair


def _status(status: int) -> str:
    return str(status) if 100 <= status <= 599 else OTHER  # RFC 9110, section 15


class _Reader(Collector):
    """Puts names to what the cells hold, for prometheus-client to write."""

    def __init__(self, cells: Cells) -> None:
        self._cells = cells

    def collect(self) -> Iterator[Metric]:
        """Give all families, each with what the workers have counted together."""
        found: dict[str, dict[tuple[str, ...], list[float]]] = {name: {} for name in FAMILIES}
        for name, labels, numbers, living in self._cells.read():
            family = FAMILIES[name]
            if family.kind == "gauge" and not living:
                continue
            known = found[name].get(labels)
            if known is None:
                found[name][labels] = list(numbers)
            else:
                join = max if family.greatest else _add
                found[name][labels] = [join(one, other) for one, other in zip(known, numbers, strict=True)]
        times = found["http_request_duration_seconds"]
        found["http_requests"] = {labels: [sum(numbers[:-1])] for labels, numbers in times.items()}
        for name, family in FAMILIES.items():
            yield _write(name, family, found[name])


def _add(one: float, other: float) -> float:
    return one + other


def _write(name: str, family: Family, counted: dict[tuple[str, ...], list[float]]) -> Metric:
    if family.kind == "histogram":
        times = HistogramMetricFamily(name, family.text, labels=family.labels)
        for labels, numbers in counted.items():
            times.add_metric(labels, _pile_up(numbers[:-1]), numbers[-1])
        return times
    make = GaugeMetricFamily if family.kind == "gauge" else CounterMetricFamily
    plain = make(name, family.text, labels=family.labels)
    for labels, numbers in counted.items():
        plain.add_metric(labels, numbers[0])
    return plain


def _pile_up(counts: Sequence[float]) -> list[tuple[str, float]]:
    """Give how many are within each bound or below, as Prometheus' histograms have it."""
    return list(zip(_BOUNDS, accumulate(counts), strict=True))
