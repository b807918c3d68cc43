"""Prometheus figures of the gateway (API.md 3.1), right over all workers, with label values from bounded sets.

With one worker the figures live in a registry of their own. With more, each worker writes them through to a file
of its own in a shared folder and whoever is asked adds them up (prometheus-client's multiprocess mode).
"""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, values
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

CONTENT_TYPE = CONTENT_TYPE_LATEST
OTHER = "other"
MOST_MODELS = 200
MOST_PATHS = 200

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
KINDS = frozenset({"prompt", "completion", "cached"})
EXECUTION_STATUSES = frozenset(
    {"ok", "error", "syntax_error", "exit", "signal", "timeout", "out_of_memory", "process_limit", "output_limit",
     "cancelled", "bad_input", "failed"}
)  # fmt: skip
SCOPES = frozenset({"requests", "executions"})

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)

Inc = Callable[[float], None]


class Metrics:
    """The figures of one worker; `expose` gives those of all.

    `folder` is where workers share their figures and is wanted with more than one of them; it must exist before
    they start, and each worker makes its own `Metrics` after it has started. `providers` are the names that may
    become labels; models become labels once `know` has named them, up to `MOST_MODELS` of those really used.
    """

    def __init__(self, *, workers: int = 1, folder: Path | None = None, providers: Iterable[str] = ()) -> None:
        if workers > 1 and folder is None:
            raise ValueError("more than one worker needs a folder to share figures in")
        self._folder = folder if workers > 1 else None
        self._registry = CollectorRegistry()
        self._providers = frozenset(providers)
        self._models: frozenset[tuple[str, str]] = frozenset()
        self._used_models: set[tuple[str, str]] = set()
        self._used_paths: set[str] = set()
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library has no hint here
        if self._folder is not None:
            _share_values(self._folder)
        self._make_families(self._registry if self._folder is None else None)

    def _make_families(self, registry: CollectorRegistry | None) -> None:
        def counter(name: str, text: str, labels: tuple[str, ...] = ()) -> Counter:
            return Counter(name, text, labels, registry=registry)

        def histogram(name: str, text: str, labels: tuple[str, ...] = ()) -> Histogram:
            return Histogram(name, text, labels, buckets=_SECONDS, registry=registry)

        route, target = ("method", "path", "status"), ("provider", "model")
        self._requests = counter("http_requests_total", "Requests answered.", route)
        self._request_seconds = histogram("http_request_duration_seconds", "Time to answer a request.", route)
        self._llm = counter("llm_requests_total", "Calls to providers.", (*target, "status"))
        self._llm_seconds = histogram("llm_request_duration_seconds", "Time of a call to a provider.", target)
        self._tokens = counter("llm_tokens_total", "Tokens, as providers report them.", (*target, "kind"))
        self._first_token = histogram("llm_time_to_first_token_seconds", "Time to the first token.", target)
        self._limited = counter("rate_limited_total", "Requests refused over a rate limit.", ("scope",))
        self._executions = counter("executions_total", "Runs of code.", ("status",))
        self._execution_seconds = histogram("execution_duration_seconds", "Time of a run, as the gateway sees it.")
        self._storage = counter("rate_limit_storage_errors_total", "Requests let through: limits not readable.")
        self._unlogged = counter("call_log_dropped_total", "Calls that the call log had no room for.")
        self._streams = Gauge(
            "llm_streams_active", "Streams being sent.", registry=registry, multiprocess_mode="livesum"
        )
        self._resting = Gauge(
            "llm_provider_resting",
            "1 while a provider that keeps failing is left alone by any worker.",
            ("provider",),
            registry=registry,
            multiprocess_mode="livemax",
        )
        # Label combinations seen before lead straight to what is to be called; all of them are bounded sets.
        self._request_children: dict[tuple[str, str, int], tuple[Inc, Inc]] = {}
        self._llm_children: dict[tuple[str, str, int], tuple[Inc, Inc]] = {}
        self._token_children: dict[tuple[str, str, str], Inc] = {}
        self._first_token_children: dict[tuple[str, str], Inc] = {}

    def know(self, models: Iterable[tuple[str, str]]) -> None:
        """Say which (provider, model) pairs exist, so that they may become labels; replaces what was said before."""
        self._models = frozenset(models)

    def request(self, method: str, path: str, status: int, seconds: float) -> None:
        """Count one answered request; `path` is the route's template, never what the client typed."""
        children = self._request_children.get((method, path, status))
        if children is None:
            children = self._request_pair(method, path, status)
        children[0](1)
        children[1](seconds)

    def _request_pair(self, method: str, path: str, status: int) -> tuple[Inc, Inc]:
        if path not in self._used_paths and len(self._used_paths) < MOST_PATHS:
            self._used_paths.add(path)
        known = (
            method if method in METHODS else OTHER,
            path if path in self._used_paths else OTHER,
            _status(status),
        )
        pair = (self._requests.labels(*known).inc, self._request_seconds.labels(*known).observe)
        if known == (method, path, str(status)):
            self._request_children[method, path, status] = pair
        return pair

    def llm(self, provider: str, model: str, status: int, seconds: float) -> None:
        """Count one call to a provider and its time; `status` is the HTTP status that the call came to."""
        children = self._llm_children.get((provider, model, status))
        if children is None:
            target, code = self._target(provider, model), _status(status)
            children = (self._llm.labels(*target, code).inc, self._llm_seconds.labels(*target).observe)
            if (*target, code) == (provider, model, str(status)):
                self._llm_children[provider, model, status] = children
        children[0](1)
        children[1](seconds)

    def tokens(self, provider: str, model: str, kind: str, n: int | None) -> None:
        """Count tokens of a kind (prompt, completion, cached); None is unknown and counts nothing."""
        if not n or n < 0:
            return
        child = self._token_children.get((provider, model, kind))
        if child is None:
            known = (*self._target(provider, model), kind if kind in KINDS else OTHER)
            child = self._tokens.labels(*known).inc
            if known == (provider, model, kind):
                self._token_children[provider, model, kind] = child
        child(n)

    def first_token(self, provider: str, model: str, seconds: float) -> None:
        """Note how long the first token of an answer took."""
        child = self._first_token_children.get((provider, model))
        if child is None:
            target = self._target(provider, model)
            child = self._first_token.labels(*target).observe
            if target == (provider, model):
                self._first_token_children[provider, model] = child
        child(seconds)

    def stream_opened(self) -> None:
        """A stream to a client has begun; `stream_closed` must follow, however it ends."""
        self._streams.inc()

    def stream_closed(self) -> None:
        """A stream to a client has ended."""
        self._streams.dec()

    def rate_limited(self, scope: str) -> None:
        """Count a request refused over the limit of `scope`, one of `SCOPES`."""
        self._limited.labels(scope if scope in SCOPES else OTHER).inc()

    def storage_trouble(self) -> None:
        """Count a request that passed because the rate limits could not be read."""
        self._storage.inc()

    def execution(self, status: str, seconds: float) -> None:
        """Count one run of code: its verdict (API.md 4.1), the HTTP status if that is all we know, or `failed`."""
        known = status in EXECUTION_STATUSES or (status.isdecimal() and _status(int(status)) == status)
        self._executions.labels(status if known else OTHER).inc()
        self._execution_seconds.observe(seconds)

    def provider_rested(self, provider: str, on: bool) -> None:  # noqa: FBT001 (a state, read aloud at the call)
        """Show whether this worker leaves a failing provider alone for now."""
        self._resting.labels(provider if provider in self._providers else OTHER).set(1 if on else 0)

    def calls_dropped(self, n: int) -> None:
        """Count calls that the call log had no room for."""
        self._unlogged.inc(n)

    def expose(self) -> bytes:
        """The figures of all workers in Prometheus' text format (`CONTENT_TYPE`).

        With many workers and models this reads files for some tens of milliseconds: call it in a thread.
        """
        if self._folder is None:
            return generate_latest(self._registry)
        _forget_dead(self._folder)
        registry = CollectorRegistry()
        MultiProcessCollector(registry, path=str(self._folder))  # type: ignore[no-untyped-call]  # the library has no hint here
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


def _share_values(folder: Path) -> None:
    """Make prometheus-client keep this process's values in `folder`.

    It chooses where values live when it is imported, by environment; in a forked worker that is too late.
    """
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    # A worker that died may have had this process's id; what it had open is not ours.
    mark_process_dead(os.getpid(), str(folder))  # type: ignore[no-untyped-call]  # the library has no hint here
    values.ValueClass = values.MultiProcessValue()  # type: ignore[no-untyped-call]  # the library has no hint here


def _forget_dead(folder: Path) -> None:
    """Take the streams of workers that were killed out of the gauges; what they counted stays."""
    for file in folder.glob("gauge_live*_*.db"):
        pid = int(file.stem.rpartition("_")[2])
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]  # the library has no hint here
        except PermissionError:
            continue
