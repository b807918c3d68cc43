"""Tables for people, in Markdown, from the figures of the executor."""

from typing import Any

from scripts.benchmarks.tables import number, pair, pick, ratio, table

Figures = dict[str, Any]

BOTH = ("p50", "p95")


def executor_tables(measured: Figures) -> str:
    """Everything about the executor."""
    return "\n".join([_latency(measured), _rates(measured), "", *_remarks(measured)])


def _latency(measured: Figures) -> str:
    ours, docker = measured["executor"], measured["docker_run"]
    plain, data = pick(docker, "base", "p50"), pick(docker, "data", "p50")
    rows = [["docker run --rm", pair(docker, "base", names=BOTH), "-", "1.00", "-"]]
    for name, key, base in (
        ("warm", "warm", plain), ("warm, through the gateway", "gateway", plain), ("empty pool", "empty", plain),
    ):  # fmt: skip
        rows.append(_row(name, ours[key], base))
    rows.append(["docker run --rm, data image", pair(docker, "data", names=BOTH), "-", "1.00", "-"])
    rows.append(_row("warm, data image", ours["data"], data))
    head = ["one run in a fresh container", "ms p50 / p95", "over the code's time", "times faster (p50)", "warm"]
    return table(f"Latency over HTTP, Docker {measured['docker']}, {measured['runtime']}", head, rows)


def _row(name: str, figures: Figures, base: float | None) -> list[str]:
    warm = f"{figures['warm']} of {figures['count'] + 1}"
    return [
        name,
        pair(figures, names=BOTH),
        pair(figures, "added", names=BOTH),
        ratio(base, pick(figures, "p50")),
        warm,
    ]


def _rates(measured: Figures) -> str:
    ours, docker = measured["executor"], measured["docker_run"]
    rows = [
        [
            f"{key.rpartition('_')[2]} at a time",
            number(docker[key], 1),
            number(ours[key], 1),
            ratio(ours[key], docker[key]),
        ]
        for key in docker
        if key.startswith("per_second_")
    ]
    return table(
        "Runs a second, sustained, each in a fresh container", ["", "docker run --rm", "executor", "ratio"], rows
    )


def _remarks(measured: Figures) -> list[str]:
    ours = measured["executor"]
    through = (pick(ours, "gateway", "added", "p50") or 0) - (pick(ours, "warm", "added", "p50") or 0)
    return [
        f"Through the gateway: {through:.1f} ms more (p50).",
        f"Batch: {ours['batch_per_second']:,.0f} inputs/s in one container.",
        *(line for image, idle in ours["idle"].items() for line in _slot(image, idle)),
    ]


def _slot(image: str, idle: Figures) -> list[str]:
    """What an idle slot takes, measured in both ways."""
    what, pss = f"An idle slot of the {image} image ({idle['slots']} of them)", idle["pss"]
    turns = " / ".join(f"{fall:.1f}" for fall in idle["falls"])
    fall = (
        f"{what}: the kernel can give away {idle['fall']:.1f} MiB less for each (MemAvailable falls; turns: {turns})."
        if idle["fall"] is not None
        else f"{what}: /proc/meminfo has no MemAvailable."
    )
    held = (
        f"{what}: its processes hold {pss['box'] + pss['shim']:.1f} MiB, their share of files that the kernel can drop "
        f"included (PSS: box {pss['box']:.1f}, shim {pss['shim']:.1f}); {pss['own']:.1f} MiB are shared with no other."
        if pss
        else f"{what}: /proc does not show its processes."
    )
    return [fall, held]
