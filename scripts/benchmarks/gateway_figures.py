"""Figures of the gateway and of what stands beside it: one system at a time, always in the same order."""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from scripts.benchmarks import costs, load, loads, peers, sandgate, systems
from scripts.benchmarks.answers import check, query_log
from scripts.benchmarks.load import Load
from scripts.benchmarks.plan import CONNECTIONS, RATES, Plan
from scripts.benchmarks.processes import LOAD_CORES, TWO_CORES, pinned, pss_mb, running, wait_for_answer
from scripts.benchmarks.systems import Make, System
from scripts.benchmarks.terminal import CannotMeasure, Unavailable, say, step, warn

Figures = dict[str, Any]
Comparisons = Mapping[str, tuple[Make, Make]]

COMPARISONS: Comparisons = {
    "guard": (sandgate.whole, sandgate.unguarded),
    "logging": (sandgate.two_on_one_core, sandgate.unlogged),
    "metrics": (sandgate.two_on_one_core, sandgate.uncounted),
}


def list_makers(*, with_peers: bool) -> list[Make]:
    """List what is measured, in this order."""
    makers: list[Make] = [
        sandgate.whole, sandgate.unguarded, sandgate.two_workers, systems.nginx, systems.plain_proxy,
    ]  # fmt: skip
    return [*makers, peers.litellm, peers.portkey] if with_peers else makers


def measure(folder: Path, plan: Plan, makers: Sequence[Make], comparisons: Comparisons) -> Figures:
    """Measure everything.

    Gives `systems` (name -> figures, "direct" first), `costs` (name of a comparison -> figures) and `left_out`
    (what could not be measured -> reason).
    """
    found: dict[str, Figures] = {}
    compared: dict[str, Figures] = {}
    left_out: dict[str, str] = {}
    program, generator = load.build(folder)
    with pinned(LOAD_CORES), load.providing(program, folder) as provider:
        say("the mock provider by itself")
        found["direct"] = loads.run_all(systems.direct(provider, folder), generator, plan, None)
        for number, make in enumerate(makers):
            here = folder / str(number)
            here.mkdir()
            try:
                system = make(provider, here)
                say(f"{system.name} {system.version}")
                found[system.name] = {"version": system.version, **_subject(system, generator, plan, here)}
            except (Unavailable, CannotMeasure) as error:
                left_out[make.__name__] = str(error)
                warn(f"{make.__name__} is left out: {error}")
        for name, pair in comparisons.items():
            try:
                say(f"what {name} costs")
                with step(f"{plan.turns.count} turns of {plan.turns.requests:,} requests with and without it"):
                    compared[name] = costs.measure(pair, generator, provider, folder / name, plan.turns)
            except (Unavailable, CannotMeasure) as error:
                left_out[name] = str(error)
                warn(f"what {name} costs is left out: {error}")
    return {
        "systems": found, "costs": compared, "left_out": left_out, "connections": CONNECTIONS, "rates": RATES,
        "shared_core": bool(TWO_CORES & LOAD_CORES),
    }  # fmt: skip


def _subject(system: System, generator: Load, plan: Plan, folder: Path) -> Figures:
    """Start a system, measure it, end it."""
    with ExitStack() as stack:
        seconds = []
        for _ in range(1 if system.only_throughput else plan.starts):
            stack.close()
            with step("start"):
                began = time.monotonic()
                process = stack.enter_context(
                    running(system.command, folder=folder, environment=system.environment, on_cores=system.cores)
                )
                answered = wait_for_answer(
                    process, system.port, system.health, folder=folder, within=system.seconds_to_start
                )
                seconds.append(answered - began)
        time.sleep(plan.settle)
        figures: Figures = {"start_s": sorted(seconds)[len(seconds) // 2], "memory_rest_mb": pss_mb(process.pid)}
        for provider in system.models:
            check(system, provider)
        if system.only_throughput:
            return figures | loads.measure_throughput(system, generator, plan, process.pid)
        figures |= loads.run_all(system, generator, plan, process.pid)
        if system.has_call_log:
            with step("queries of the call log"):
                figures["queries"] = query_log(system)
        if process.poll() is not None:
            raise CannotMeasure(f"{system.name} has ended under load")
    return figures
