"""The table that README shows, from the JSON of a run: the gateway's figures, a system each column."""

from collections.abc import Callable, Mapping
from typing import Any

from scripts.benchmarks.aims import aims_table
from scripts.benchmarks.tables import Figures, conditions_line, number, pair, pick, table

COLUMNS = ("Sandgate", "nginx", "Sanic + httpx", "LiteLLM", "Portkey")
Show = Callable[[Figures, Figures], str]
"""Takes a system's figures and those of the mock provider by itself; gives the cell."""


def summarise(measured: Mapping[str, Any]) -> str:
    """Write the summary of a run in Markdown: conditions, figures of all systems, aims."""
    gateway = measured.get("gateway")
    spoiled = [*measured["spoiled"], *(["this was a quick run"] if measured["quick"] else [])]
    parts = [conditions_line(measured["conditions"]), *(f"Not to be quoted: {why}." for why in spoiled)]
    if gateway:
        parts.append(_figures(gateway["systems"]))
        parts += ["", *_workers(gateway)]
    parts.append(aims_table(measured["aims"], quick=measured["quick"]))
    return "\n".join(parts)


def _figures(systems: Mapping[str, Figures]) -> str:
    shown = [name for name in COLUMNS if name in systems]
    direct = systems["direct"]
    counts = {load: number(pick(direct, load, "at_once")) for load in ("paced", "held", "flood")}
    rows = [[what.format(**counts), *(show(systems[name], direct) for name in shown)] for what, show in ROWS.items()]
    head = ["", *(f"{name} {systems[name]['version']}".strip() for name in shown)]
    return table("One worker on one core, OpenAI's dialect in; the load and the provider on another core.", head, rows)


def _workers(gateway: Figures) -> list[str]:
    one, two = (
        pick(gateway["systems"], name, "throughput_openai", "per_second")
        for name in ("Sandgate", "Sandgate, 2 workers")
    )
    where = "where the second core is the load's as well" if gateway["shared_core"] else "on a core each"
    return [f"Two workers, {where}: {two:,.0f} requests/s, {two / one:.2f} times one worker's."] if one and two else []


def _plain(*path: str, digits: int = 0) -> Show:
    return lambda figures, _direct: number(pick(figures, *path), digits)


def _percentiles(*path: str, added: bool = False) -> Show:
    return lambda figures, direct: pair(figures, *path, less=direct if added else None)


def _served(figures: Figures, _direct: Figures) -> str:
    served, streams = (pick(figures, "held", name) for name in ("answers", "streams"))
    return f"{number(served)} of {number(streams)}"


ROWS: dict[str, Show] = {
    "requests/s": _plain("throughput_openai", "per_second"),
    "requests/s, Anthropic behind": _plain("throughput_anthropic", "per_second"),
    "requests/s, Gemini behind": _plain("throughput_gemini", "per_second"),
    "CPU a request, us": _plain("throughput_openai", "cpu_us"),
    "added at 300 requests/s, ms p50 / p99": _percentiles("open_300", "latency_ms", added=True),
    "{paced} streams: delay of a chunk, ms p50 / p99": _percentiles("paced", "delay_ms"),
    "{held} streams open: delay of a chunk, ms p50 / p99": _percentiles("held", "delay_ms"),
    "{held} streams open: served whole": _served,
    "memory of 1,000 open streams, MB": _plain("held", "memory_per_1000_mb", digits=1),
    "{flood} streams without pauses, chunks/s": _plain("flood", "chunks_per_second"),
    "memory at rest, MB": _plain("memory_rest_mb", digits=1),
    "start to first answer, s": _plain("start_s", digits=2),
}
