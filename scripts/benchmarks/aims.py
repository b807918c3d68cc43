"""What the project set out to reach (issues 3, 5, 6 and 7), and whether the figures of a run reach it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from scripts.benchmarks import executor_figures
from scripts.benchmarks.plan import FULL
from scripts.benchmarks.tables import Figures, number, pick, table

OURS = "Sandgate"
TENSORZERO = 10_300 / 65_000  # requests/s of TensorZero and of nginx, once measured side by side on one core
FLAT_MB = 2.0  # of growth over the second 100,000 requests, which is 20 bytes a request
MANY_CALLS = FULL.repeated // 2
SUSTAINED = {"runc": 11.0, "crun": 14.0}  # runs/s by the engine's runtime; of others nothing was promised
SLOT_MIB = {"base": 12.0, "data": 75.0}


@dataclass(frozen=True, slots=True)
class Part:
    """A figure (None: not measured) and the bound that it is to keep, "<=" or ">=", with how both are shown."""

    figure: float | None
    relation: str
    bound: float
    unit: str = ""
    digits: int = 2

    @property
    def kept(self) -> bool | None:
        """Whether the bound is kept, None if nobody knows."""
        if self.figure is None:
            return None
        return self.figure <= self.bound if self.relation == "<=" else self.figure >= self.bound

    def show(self) -> tuple[str, str]:
        """Give the figure and the bound as they are shown."""
        unit = self.unit if self.figure is not None else ""
        return (
            f"{number(self.figure, self.digits)}{unit}",
            f"{self.relation} {number(self.bound, self.digits)}{self.unit}",
        )


def judge(measured: Mapping[str, Any]) -> list[Figures]:
    """Judge what a run has measured: aims with `issue`, `name`, `measured`, `aim`, `met` (None: not measured)."""
    gateway, executor = measured.get("gateway"), measured.get("executor")
    found: list[Figures] = []
    if executor:
        found += [*_runs(executor["executor"]), *_rates(executor), *_slots(executor["executor"]["idle"])]
    if gateway:
        systems: dict[str, Figures] = gateway["systems"]
        found += [*_throughput(systems), *_latency(systems), *_streams(systems), *_life(systems)]
    if gateway or measured.get("installation"):
        found += _installation(measured.get("installation"))
    if gateway:
        found += [_guard(gateway["costs"]), _logging(gateway["costs"]), _queries(systems)]
    return found


def aims_table(aims: Iterable[Figures], *, quick: bool = False) -> str:
    """Show the aims, and whether they are met."""
    told = {True: "yes", False: "no", None: "not measured"}
    rows = [[aim["name"], aim["measured"], aim["aim"], told[aim["met"]], str(aim["issue"])] for aim in aims]
    title = "Aims, judged by a quick run: not to be quoted" if quick else "Aims"
    return table(title, ["aim", "measured", "aimed at", "met", "issue"], rows)


def _aim(issue: int, name: str, *parts: Part) -> Figures:
    kept = [part.kept for part in parts]
    figures, bounds = zip(*(part.show() for part in parts), strict=True)
    return {
        "issue": issue,
        "name": name,
        "measured": " / ".join(figures),
        "aim": " / ".join(bounds),
        "met": False if False in kept else None if None in kept else True,
    }


def _share(of: Figures | None, base: Figures | None, *path: str) -> float | None:
    figure, whole = pick(of or {}, *path), pick(base or {}, *path)
    return figure / whole if figure is not None and whole else None


def _runs(ours: Figures) -> list[Figures]:
    """Judge the time over the code's own; a run out of an empty pool only if none was served from a waiting box."""
    warm, through = (pick(ours, name, "added", "p50") for name in ("warm", "gateway"))
    more = None if warm is None or through is None else through - warm
    empty = None if pick(ours, "empty", "warm") else pick(ours, "empty", "added", "p50")
    return [
        _aim(3, "a warm run over HTTP, added p50 / p95",
             Part(warm, "<=", 5, " ms", 1), Part(pick(ours, "warm", "added", "p95"), "<=", 15, " ms", 1)),
        _aim(3, "a warm run through the gateway, p50 more", Part(more, "<=", 2, " ms", 1)),
        _aim(3, "a warm run, data image, added p50", Part(pick(ours, "data", "added", "p50"), "<=", 10, " ms", 1)),
        _aim(3, "a run with the pool empty, added p50", Part(empty, "<=", 150, " ms", 1)),
    ]  # fmt: skip


def _rates(measured: Figures) -> list[Figures]:
    ours, runtime = measured["executor"], measured["runtime"]
    rates = {name.rpartition("_")[2]: rate for name, rate in ours.items() if name.startswith("per_second_")}
    bound = SUSTAINED.get(runtime)
    return [
        _aim(3, f"fresh containers, sustained, the best of {' and '.join(rates)} at a time, {runtime}",
             Part(max(rates.values(), default=None) if bound else None, ">=", bound or SUSTAINED["runc"], "/s", 1)),
        _aim(3, "a batch in one container", Part(pick(ours, "batch_per_second"), ">=", 300, " inputs/s", 0)),
    ]  # fmt: skip


def _slots(idle: Mapping[str, Figures]) -> list[Figures]:
    """Judge idle slots by the fall of MemAvailable, as the aims were measured; of few slots it tells nothing."""
    judged = []
    for image, many in executor_figures.FULL.slots:
        figures = idle.get(image, {})
        fall = pick(figures, "fall") if figures.get("slots", 0) >= many else None
        judged.append(_aim(3, f"an idle slot, {image} image, fall of MemAvailable",
                           Part(fall, "<=", SLOT_MIB[image], " MiB", 1)))  # fmt: skip
    return judged


def _throughput(systems: Mapping[str, Figures]) -> list[Figures]:
    ours, nginx = systems.get(OURS), systems.get("nginx")
    passed = ("throughput_openai", "per_second")
    base = pick(nginx or {}, *passed)
    translated = [
        None if base is None or got is None else got / base
        for got in (pick(ours or {}, f"throughput_{behind}", "per_second") for behind in ("anthropic", "gemini"))
    ]
    return [
        _aim(7, "throughput, to nginx", Part(_share(ours, nginx, *passed), ">=", 0.18, " x")),
        _aim(7, "throughput, above TensorZero (its share of nginx)",
             Part(_share(ours, nginx, *passed), ">=", TENSORZERO, " x", 3)),
        _aim(7, "throughput, to LiteLLM", Part(_share(ours, systems.get("LiteLLM"), *passed), ">=", 90, " x", 0)),
        _aim(7, "throughput, to Portkey", Part(_share(ours, systems.get("Portkey"), *passed), ">=", 9, " x", 1)),
        _aim(7, "throughput, translated to Anthropic / Gemini, to nginx",
             *(Part(share, ">=", 0.12, " x") for share in translated)),
    ]  # fmt: skip


def _latency(systems: Mapping[str, Figures]) -> list[Figures]:
    ours, direct = systems.get(OURS, {}), systems.get("direct", {})

    def added(name: str) -> float | None:
        with_us, without = (pick(figures, "open_300", "latency_ms", name) for figures in (ours, direct))
        return None if with_us is None or without is None else with_us - without

    return [
        _aim(7, "added latency at 300 requests/s, p50 / p99",
             Part(added("p50"), "<=", 0.4, " ms"), Part(added("p99"), "<=", 1.5, " ms")),
    ]  # fmt: skip


def _streams(systems: Mapping[str, Figures]) -> list[Figures]:
    ours = systems.get(OURS, {})
    at_once, many = FULL.paced[0], FULL.held[0]
    paced, held = _of_at_least(at_once, ours.get("paced", {})), _of_at_least(many, ours.get("held", {}))
    flood = _share(ours, systems.get("nginx"), "flood", "chunks_per_second")
    return [
        _aim(7, f"{at_once} streams, chunk delay p50 / p99 / lost",
             Part(pick(paced, "delay_ms", "p50"), "<=", 0.2, " ms"),
             Part(pick(paced, "delay_ms", "p99"), "<=", 1.5, " ms"), Part(_unserved(paced), "<=", 0, "", 0)),
        _aim(7, f"{many:,} streams open, p99 / not served whole",
             Part(pick(held, "delay_ms", "p99"), "<=", 20, " ms", 1), Part(_unserved(held), "<=", 0, "", 0)),
        _aim(7, f"{many:,} streams open, memory",
             Part(pick(held, "memory_per_1000_mb"), "<=", 25, " MB", 1)),
        _aim(7, "flood of chunks, to nginx", Part(flood, ">=", 0.5, " x")),
    ]  # fmt: skip


def _of_at_least(streams: int, figures: Figures) -> Figures:
    """Give the figures if they are of so many streams, else none: fewer tell nothing of what was aimed at."""
    return figures if figures.get("at_once", 0) >= streams else {}


def _unserved(streams: Figures) -> float | None:
    """Streams that did not come whole, and chunks lost in those that did."""
    wanted, whole, lost = (pick(streams, name) for name in ("streams", "answers", "lost"))
    return None if wanted is None or whole is None or lost is None else wanted - whole + lost


def _life(systems: Mapping[str, Figures]) -> list[Figures]:
    ours = systems.get(OURS, {})
    middle, end = (pick(ours, "repeated", name) for name in ("middle_mb", "end_mb"))
    enough = (pick(ours, "repeated", "requests") or 0) >= FULL.repeated
    growth = end - middle if enough and middle is not None and end is not None else None
    return [
        _aim(7, "memory at rest, one worker", Part(pick(ours, "memory_rest_mb"), "<=", 65, " MB", 1)),
        _aim(7, "start to first answer", Part(pick(ours, "start_s"), "<=", 0.6, " s")),
        _aim(7, f"growth over the second half of {FULL.repeated:,} requests", Part(growth, "<=", FLAT_MB, " MB", 1)),
    ]


def _installation(installation: Figures | None) -> list[Figures]:
    made = installation or {}
    count = len(made["packages"]) if "packages" in made else None
    return [
        _aim(7, "the gateway's packages", Part(count, "<=", 35, "", 0)),
        _aim(7, "their installed size", Part(pick(made, "mb"), "<=", 80, " MB", 1)),
    ]


def _guard(costs: Mapping[str, Figures]) -> Figures:
    """Judge the credential, scope and quota by what they add; id and host check stay when they are off."""
    return _aim(5, "guard, CPU a request", Part(pick(costs.get("guard", {}), "added_us"), "<=", 150, " us", 1))


def _logging(costs: Mapping[str, Figures]) -> Figures:
    cost = costs.get("logging", {})
    lost, added, without = (pick(cost, name) for name in ("throughput_lost", "added_us", "cpu_us_without"))
    share = None if added is None or not without else added / without
    return _aim(6, "logging with 2 workers, throughput lost / CPU a request more",
                *(Part(None if part is None else part * 100, "<=", 5, " %", 1) for part in (lost, share)))  # fmt: skip


def _queries(systems: Mapping[str, Figures]) -> Figures:
    queries = systems.get(OURS, {}).get("queries", {})
    slowest = max(queries["ms"].values()) if queries.get("calls", 0) >= MANY_CALLS else None
    return _aim(6, f"slowest query of {MANY_CALLS:,} logged calls or more", Part(slowest, "<=", 100, " ms", 1))
