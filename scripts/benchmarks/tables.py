"""Tables for people, in Markdown, from the figures."""

from collections.abc import Iterable, Sequence
from typing import Any

Figures = dict[str, Any]

REFERENCES = ("nginx", "Sanic + httpx", "LiteLLM", "Portkey")
BEHIND = {"openai": "", "anthropic": ", Anthropic behind", "gemini": ", Gemini behind"}
SPARE = 0.8  # of what the mock provider does alone; above that a figure is a floor


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table with its first column to the left and all others to the right."""
    cells = [list(head), *map(list, rows)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(head))]

    def line(row: Sequence[str]) -> str:
        first, *rest = (
            text.ljust(width) if not place else text.rjust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        return "| " + " | ".join([first, *rest]) + " |"

    rule = (
        "| "
        + " | ".join("-" * widths[0] if not place else "-" * (width - 1) + ":" for place, width in enumerate(widths))
        + " |"
    )
    return "\n".join(["", title, "", line(cells[0]), rule, *map(line, cells[1:])])


def number(value: float | None, digits: int = 0) -> str:
    """A figure, or a dash."""
    return "-" if value is None else f"{value:,.{digits}f}"


def ratio(value: float | None, of: float | None) -> str:
    """How many times `of`, with two digits that mean something."""
    if not value or not of:
        return "-"
    times = value / of
    return f"{times:.2f}" if times < 10 else f"{times:,.0f}"


def pick(figures: Figures, *path: str) -> float | None:
    """A figure deep inside, None if it was not measured."""
    value: Any = figures
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, int | float) else None


def pair(figures: Figures, *path: str, less: Figures | None = None, names: Sequence[str] = ("p50", "p99")) -> str:
    """Percentiles as "p50 / p99" in ms; with `less` those of another system are taken off."""
    values = [pick(figures, *path, name) for name in names]
    bases = [pick(less, *path, name) if less else 0.0 for name in names]
    return " / ".join("-" if v is None or b is None else f"{v - b:.2f}" for v, b in zip(values, bases, strict=True))


def gateway_tables(measured: Figures) -> str:
    """Everything about the gateways."""
    found: dict[str, Figures] = measured["systems"]
    direct = found["direct"]
    subjects = {name: figures for name, figures in found.items() if name != "direct"}
    whole = {name: figures for name, figures in subjects.items() if "paced" in figures}
    parts = [_throughput(subjects, measured), _latency(whole, direct), _streams(whole, direct), _memory(whole)]
    parts += [
        _costs(measured["costs"]),
        *(_queries(figures["queries"]) for figures in whole.values() if "queries" in figures),
    ]
    parts += ["", *_remarks(subjects, direct, measured)]
    return "\n".join(parts)


def _throughput(subjects: dict[str, Figures], measured: Figures) -> str:
    references = [name for name in REFERENCES if name in subjects]
    bases = [pick(subjects[name], "throughput_openai", "per_second") for name in references]
    rows = []
    for name, figures in subjects.items():
        for provider, behind in BEHIND.items():
            got = figures.get(f"throughput_{provider}")
            if got:
                times = [ratio(got["per_second"], base) for base in bases]
                rows.append([
                    name + behind, number(got["per_second"]), *times, number(got.get("cpu_us")),
                    pair(got, "latency_ms"), number(got["errors"]),
                ])  # fmt: skip
    head = ["system", "requests/s", *(f"x {name}" for name in references), "CPU us/request", "ms p50 / p99", "errors"]
    return table(
        f"Throughput, {measured['connections']} connections, OpenAI's dialect in, one worker on one core", head, rows
    )


def _latency(subjects: dict[str, Figures], direct: Figures) -> str:
    rates = [name for name in direct if name.startswith("open_")]
    three = ("p50", "p95", "p99")
    rows = [
        [name, *(cell for rate in rates for cell in (
            pair(figures, rate, "latency_ms", less=direct, names=three), number(_missed(figures.get(rate, {}))),
        ))]
        for name, figures in subjects.items()
    ]  # fmt: skip
    told = [f"{rate[5:]}/s: direct " + pair(direct, rate, "latency_ms", names=three) for rate in rates]
    head = ["system", *(cell for rate in rates for cell in (f"{rate[5:]}/s p50 / p95 / p99", "missed"))]
    return table(f"Added latency in ms, open loop, from the planned send times ({'; '.join(told)})", head, rows)


def _missed(figures: Figures) -> float:
    return float(figures.get("errors", 0) + figures.get("unanswered", 0))


def _streams(subjects: dict[str, Figures], direct: Figures) -> str:
    reference = pick(subjects.get("nginx", {}), "flood", "chunks_per_second")
    rows = []
    for name, figures in {"direct": direct, **subjects}.items():
        paced, held, flood = figures["paced"], figures["held"], figures["flood"]
        rows.append([
            name, pair(paced, "delay_ms"), pair(paced, "first_ms", less=None if name == "direct" else direct["paced"]),
            _kept(paced), pair(held, "delay_ms"), _kept(held), number(held.get("memory_per_1000_mb"), 1),
            number(flood["chunks_per_second"]), ratio(flood["chunks_per_second"], reference),
        ])  # fmt: skip
    many, few = direct["held"]["streams"], direct["paced"]["streams"]
    head = [
        "system", "delay p50 / p99", "first + p50 / p99", f"whole of {few}", "held delay p50 / p99", f"whole of {many}",
        "MB per 1000", "flood chunks/s", "x nginx",
    ]  # fmt: skip
    return table("Streams: a chunk every 20 ms; held open, a chunk every 100 ms; without pauses (ms)", head, rows)


def _kept(figures: Figures) -> str:
    """Streams that came whole, and the chunks that were lost in them if any were."""
    lost = f" ({figures['lost']} lost)" if figures["lost"] else ""
    return f"{figures['answers']}{lost}"


def _memory(subjects: dict[str, Figures]) -> str:
    rows = []
    for name, figures in subjects.items():
        repeated = figures.get("repeated", {})
        growth = (
            " / ".join(f"{repeated[name]:.1f}" for name in ("start_mb", "middle_mb", "end_mb")) if repeated else "-"
        )
        rows.append([
            name, number(figures["start_s"], 2), number(figures["memory_rest_mb"], 1),
            number(figures["memory_loaded_mb"], 1), growth,
        ])  # fmt: skip
    times = max((figures.get("repeated", {}).get("requests", 0) for figures in subjects.values()), default=0)
    head = ["system", "start s", "MB at rest", "MB after saturation", f"before / amid / after {times:,} requests"]
    return table("Start to first healthy answer, and memory (PSS of all processes)", head, rows)


def _costs(costs: dict[str, Figures]) -> str:
    rows = [
        [
            name, number(cost["cpu_us_with"], 1), number(cost["cpu_us_without"], 1), number(cost["added_us"], 1),
            number(cost["per_second_with"]), number(cost["per_second_without"]), f"{cost['throughput_lost']:.1%}",
        ]
        for name, cost in costs.items()
    ]  # fmt: skip
    head = ["what", "CPU us/request with", "without", "added", "requests/s with", "without", "lost"]
    turns = max((len(cost["turns"]["cpu_us_with"]) for cost in costs.values()), default=0)
    return table(f"What parts of Sandgate cost: with and without them by turns, medians of {turns}", head, rows)


def _queries(queries: Figures) -> str:
    rows = [[name, number(taken, 1)] for name, taken in queries["ms"].items()]
    return table(f"Queries of the call log, {queries['calls']:,} calls of the last hour in it", ["query", "ms"], rows)


def installation_table(installation: Figures) -> str:
    """What a fresh installation of the gateway brings along."""
    rows = [[name, number(size, 1)] for name, size in installation["largest"].items()]
    title = (
        f"The gateway's packages: {len(installation['packages'])}, {installation['mb']:.1f} MB on disk, of which "
        f"{installation['bytecode_mb']:.1f} MB are bytecode. The largest:"
    )
    return table(title, ["folder", "MB"], rows)


def _remarks(subjects: dict[str, Figures], direct: Figures, measured: Figures) -> list[str]:
    alone = direct["throughput_openai"]["per_second"]
    said = [f"The mock provider alone, on one core together with the load: {alone:,.0f} requests/s."]
    for name, figures in subjects.items():
        share = figures["throughput_openai"]["per_second"] / alone
        if share > SPARE:
            said.append(
                f"{name} reaches {share:.0%} of that: its throughput is a floor, and ratios to it are flattering."
            )
    if "guard" in measured["costs"]:
        said.append(
            "guard: JWT, scope and rate limit. Both sides make the request's id; without guard the host is checked."
        )
    if "logging" in measured["costs"]:
        said.append("logging: the call log, with 2 workers that share the core under test; metrics: likewise.")
    if any(name.endswith("2 workers") for name in subjects) and measured["shared_core"]:
        said.append("The 2 workers' second core is the load's: that row is a floor.")
    said += [f"{name} is left out: {why}" for name, why in measured["left_out"].items()]
    return said


def conditions_line(conditions: Figures) -> str:
    """Machine and versions in two lines."""
    versions = ", ".join(f"{name} {version}" for name, version in conditions["versions"].items() if version)
    return (
        f"{conditions['time']}, {conditions['cpu']}, {conditions['cores']} cores, {conditions['memory_gb']} GB, "
        f"Linux {conditions['kernel']}, {number(conditions.get('busy_cores'), 2)} cores busy at the start\n"
        f"Python {conditions['python']} ({conditions['python_build']['why']}), {versions}"
    )
