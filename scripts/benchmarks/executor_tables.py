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
        *(_slot(image, ours[f"slot_{image}"]) for image in ("base", "data")),
    ]


def _slot(image: str, parts: Figures | None) -> str:
    if parts is None:
        return f"An idle slot of the {image} image: /proc does not show it."
    whole = parts["box"] + parts["shim"]
    return (
        f"An idle slot of the {image} image: {whole:.1f} MiB (PSS, {parts['slots']} slots: box {parts['box']:.1f}, "
        f"shim {parts['shim']:.1f}); {parts['own']:.1f} MiB of it are shared with no other slot."
    )
