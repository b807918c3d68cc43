"""All loads on one running system, and what it uses under them."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from scripts.benchmarks.load import Load
from scripts.benchmarks.plan import CONNECTIONS, FLOODS, HELD_MS, PACED_MS, RATES, Plan
from scripts.benchmarks.processes import cpu_clock, cpu_seconds, pss_mb
from scripts.benchmarks.systems import System
from scripts.benchmarks.terminal import step

Figures = dict[str, Any]

SLOW = 1000  # requests a second; below that a system is not asked for hundreds of thousands


def run_all(system: System, generator: Load, plan: Plan, pid: int | None) -> Figures:
    """All loads, one after the other; memory and CPU time only where the system's process is given."""
    figures = measure_throughput(system, generator, plan, pid)
    if pid:
        figures["memory_loaded_mb"] = pss_mb(pid)
    for rate in RATES:
        with step(f"{rate} requests a second"):
            time.sleep(plan.settle)
            figures[f"open_{rate}"] = generator.open(
                system.port, system.ask(), rate=rate, warm_up=plan.settle, seconds=plan.open_loop
            )
    figures |= _stream(system, generator, plan, pid)
    if pid and figures["throughput_openai"]["per_second"] > SLOW:
        figures["repeated"] = _repeat(system, generator, plan, pid)
    return figures


def measure_throughput(system: System, generator: Load, plan: Plan, pid: int | None) -> Figures:
    """As many requests as are answered, with each kind of provider behind; CPU time counts the warm-up's as well."""
    figures: Figures = {}
    for provider in system.models:
        with step("throughput" if provider == "openai" else f"throughput, {provider.title()} behind"):
            before = cpu_clock(pid) if pid else {}
            got = generator.closed(
                system.port,
                system.ask(provider),
                connections=CONNECTIONS,
                seconds=plan.saturation,
                warm_up=plan.warm_up,
            )
            if pid and got["all"]:
                got["cpu_us"] = cpu_seconds(before, cpu_clock(pid)) / got["all"] * 1e6
            figures[f"throughput_{provider}"] = got
    return figures


def _stream(system: System, generator: Load, plan: Plan, pid: int | None) -> Figures:
    def run(count: int, rounds: int, chunks: int, every: int) -> Figures:
        within = rounds * chunks * every / 1000 * 3 + 10
        request = system.ask(stream=(chunks, every))
        return generator.streams(system.port, request, connections=count, rounds=rounds, within=within, chunks=chunks)

    with step(f"{plan.paced[0]} streams, a chunk every {PACED_MS} ms"):
        figures: Figures = {
            "paced": {"at_once": plan.paced[0], "streams": plan.paced[0] * plan.paced[1], **run(*plan.paced, PACED_MS)}
        }
    with step(f"{plan.held[0]} streams, a chunk every {HELD_MS} ms"):
        half_way = plan.held[0] / 1000 + plan.held[2] * HELD_MS / 2000
        held, growth = _watch_memory(lambda: run(*plan.held, HELD_MS), pid, half_way)
        figures["held"] = {"at_once": plan.held[0], "streams": plan.held[0] * plan.held[1], **held}
        if growth is not None:
            figures["held"]["memory_per_1000_mb"] = growth / plan.held[0] * 1000
    with step(f"{FLOODS} streams without pauses"):
        request = system.ask(stream=(plan.flood_chunks, 0))
        got = generator.streams(
            system.port, request, connections=FLOODS, rounds=0, within=plan.flood, chunks=plan.flood_chunks
        )
        figures["flood"] = {"at_once": FLOODS, **got}
    return figures


def _watch_memory(work: Callable[[], Figures], pid: int | None, after: float) -> tuple[Figures, float | None]:
    """Do `work`; gives by how many MB the process has grown `after` so many seconds of it."""
    if pid is None:
        return work(), None
    before = pss_mb(pid)
    with ThreadPoolExecutor(1) as thread:
        working = thread.submit(work)
        time.sleep(after)
        grown = pss_mb(pid) - before
        return working.result(), grown


def _repeat(system: System, generator: Load, plan: Plan, pid: int) -> Figures:
    """Many requests in two halves, with the memory at the start, in the middle and at the end."""
    half = plan.repeated // 2
    memory, errors, answers = [pss_mb(pid)], 0, 0
    with step(f"{plan.repeated:,} requests"):
        for _ in range(2):
            got = generator.repeat(
                system.port, system.ask(), connections=CONNECTIONS, requests=half, within=half / SLOW + 10
            )
            memory.append(pss_mb(pid))
            errors += got["errors"]
            answers += got["answers"]
    return {
        "requests": min(answers, plan.repeated),
        "errors": errors,
        **dict(zip(("start_mb", "middle_mb", "end_mb"), memory, strict=True)),
    }
