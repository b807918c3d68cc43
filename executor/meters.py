"""What the executor counts, under the names of API.md 4.4. One registry for each app: nothing is global."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

_MILLISECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)


class Meters:
    """The meters; label values come from bounded sets (images of the settings, statuses)."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library has no hint here
        self.registry = registry = CollectorRegistry()
        self.pool_ready = Gauge(
            "sandbox_pool_ready", "Sandboxes that are ready to take a run", ["image"], registry=registry
        )
        self.pool_target = Gauge(
            "sandbox_pool_target", "Sandboxes that the pool means to keep ready", ["image"], registry=registry
        )
        self.start_seconds = Histogram(
            "sandbox_start_seconds",
            "From asking the engine until a sandbox is ready",
            ["image"],
            buckets=(0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0),
            registry=registry,
        )
        self.start_failures = Counter(
            "sandbox_start_failures", "Sandboxes that did not get ready", ["image"], registry=registry
        )
        self.swept = Counter("sandbox_swept", "Sandboxes of dead executors that were removed", registry=registry)
        self.executions = Counter("executions", "Runs by their status", ["status"], registry=registry)
        self.refused = Counter("executions_refused", "Runs that were not admitted", ["reason"], registry=registry)
        self.duration = Histogram(
            "execution_duration_seconds", "Wall clock of the code", buckets=_MILLISECONDS, registry=registry
        )
        self.queue = Histogram(
            "execution_queue_seconds",
            "From the request until its code is handed over",
            buckets=_MILLISECONDS,
            registry=registry,
        )
        self.active = Gauge("executions_active", "Runs that hold a place", registry=registry)
        self.waiting = Gauge("executions_waiting", "Runs that wait for a place", registry=registry)
