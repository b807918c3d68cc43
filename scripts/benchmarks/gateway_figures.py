"""Figures of the gateway and of what stands beside it: one system at a time, always in the same order."""

import http.client
import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.benchmarks import load, peers, systems
from scripts.benchmarks.load import Load
from scripts.benchmarks.processes import (
    LOAD_CORES,
    SUBJECT_CORES,
    cpu_seconds,
    pinned,
    pss_mb,
    running,
    wait_for_answer,
)
from scripts.benchmarks.systems import Make, System
from scripts.benchmarks.terminal import CannotMeasure, Unavailable, say, step, warn

Figures = dict[str, Any]

CONNECTIONS = 64
RATES = (100, 300)
PACED_MS, HELD_MS = 20, 100
FLOODS = 16
WORD = "Seine"  # of mock_provider.c
SLOW = 1000  # requests a second; below that a system is not asked for hundreds of thousands


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """How long everything is measured; `paced` and `held` are (streams, rounds, chunks)."""

    starts: int = 3
    settle: float = 1
    warm_up: float = 2
    saturation: float = 6
    open_loop: float = 10
    paced: tuple[int, int, int] = (100, 5, 50)
    held: tuple[int, int, int] = (1000, 1, 80)
    flood: float = 3
    flood_chunks: int = 2000
    repeated: int = 200_000


FULL = Plan()
QUICK = Plan(
    starts=1, settle=0.1, warm_up=0.2, saturation=0.3, open_loop=0.5, paced=(10, 1, 5), held=(40, 1, 5), flood=0.2,
    flood_chunks=50, repeated=500,
)  # fmt: skip


def list_makers(*, with_peers: bool) -> list[Make]:
    """List what is measured, in this order."""
    makers: list[Make] = [systems.sandgate, systems.sandgate_bare, systems.nginx, systems.plain_proxy]
    return [*makers, peers.litellm, peers.portkey] if with_peers else makers


def measure(folder: Path, plan: Plan, makers: Sequence[Make]) -> Figures:
    """Measure everything; gives `systems` (name -> figures, "direct" first) and `left_out` (name -> reason)."""
    found: dict[str, Figures] = {}
    left_out: dict[str, str] = {}
    program, generator = load.build(folder)
    with pinned(LOAD_CORES), load.providing(program, folder) as provider:
        say("the mock provider by itself")
        found["direct"] = _loads(systems.direct(provider, folder), generator, plan, None)
        for number, make in enumerate(makers):
            try:
                system = make(provider, _subfolder(folder, number))
                say(f"{system.name} {system.version}")
                found[system.name] = {
                    "version": system.version,
                    **_subject(system, generator, plan, folder / str(number)),
                }
            except (Unavailable, CannotMeasure) as error:
                left_out[make.__name__] = str(error)
                warn(f"{make.__name__} is left out: {error}")
    return {"systems": found, "left_out": left_out, "connections": CONNECTIONS, "rates": RATES}


def _subfolder(folder: Path, number: int) -> Path:
    made = folder / str(number)
    made.mkdir()
    return made


def _subject(system: System, generator: Load, plan: Plan, folder: Path) -> Figures:
    """Start a system, measure it, end it."""
    with ExitStack() as stack:
        seconds = []
        for _ in range(plan.starts):
            stack.close()
            with step("start"):
                began = time.monotonic()
                process = stack.enter_context(
                    running(system.command, folder=folder, environment=system.environment, on_cores=SUBJECT_CORES)
                )
                answered = wait_for_answer(
                    process, system.port, system.health, folder=folder, within=system.seconds_to_start
                )
                seconds.append(answered - began)
        time.sleep(plan.settle)
        figures: Figures = {"start_s": sorted(seconds)[len(seconds) // 2], "memory_rest_mb": pss_mb(process.pid)}
        for provider in system.models:
            _check(system, provider)
        figures |= _loads(system, generator, plan, process.pid)
        if process.poll() is not None:
            raise CannotMeasure(f"{system.name} has ended under load")
    return figures


def _check(system: System, provider: str) -> None:
    """See that an answer is the mock provider's, in OpenAI's shape: an error can be fast, too."""
    request = system.ask(provider)
    connection = http.client.HTTPConnection("127.0.0.1", system.port, timeout=60)
    with closing(connection):
        connection.request(
            "POST", request.path, json.dumps(request.body), {"content-type": "application/json", **request.headers}
        )
        answer = connection.getresponse().read()
    try:
        right = WORD in json.loads(answer)["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError):
        right = False
    if not right:
        raise CannotMeasure(f"{system.name} does not answer as it should: {answer[:300]!r}")


def _loads(system: System, generator: Load, plan: Plan, pid: int | None) -> Figures:
    """All loads on a running system; memory and CPU time only where its process is given."""
    figures: Figures = {}

    def saturate(provider: str) -> Figures:
        request = system.ask(provider)
        generator.closed(system.port, request, connections=CONNECTIONS, seconds=plan.warm_up)
        before = cpu_seconds(pid) if pid else 0.0
        got = generator.closed(system.port, request, connections=CONNECTIONS, seconds=plan.saturation)
        if pid and got["answers"]:
            got["cpu_us"] = (cpu_seconds(pid) - before) / got["answers"] * 1e6
        return got

    for provider in system.models:
        with step("throughput" if provider == "openai" else f"throughput, {provider.title()} behind"):
            figures[f"throughput_{provider}"] = saturate(provider)
    if pid:
        figures["memory_loaded_mb"] = pss_mb(pid)
    for rate in RATES:
        with step(f"{rate} requests a second"):
            time.sleep(plan.settle)
            figures[f"open_{rate}"] = generator.open(
                system.port, system.ask(), rate=rate, warm_up=round(plan.settle), seconds=plan.open_loop
            )
    figures |= _streams(system, generator, plan, pid)
    if pid and figures["throughput_openai"]["per_second"] > SLOW:
        figures["repeated"] = _repeat(system, generator, plan, pid)
    return figures


def _streams(system: System, generator: Load, plan: Plan, pid: int | None) -> Figures:
    def run(count: int, rounds: int, chunks: int, every: int) -> Figures:
        within = rounds * chunks * every / 1000 * 3 + 10
        request = system.ask(stream=(chunks, every))
        return generator.streams(system.port, request, connections=count, rounds=rounds, within=within, chunks=chunks)

    with step(f"{plan.paced[0]} streams, a chunk every {PACED_MS} ms"):
        figures: Figures = {"paced": {"streams": plan.paced[0] * plan.paced[1], **run(*plan.paced, PACED_MS)}}
    with step(f"{plan.held[0]} streams, a chunk every {HELD_MS} ms"):
        half_way = plan.held[0] / 1000 + plan.held[2] * HELD_MS / 2000
        held, growth = _watch_memory(lambda: run(*plan.held, HELD_MS), pid, half_way)
        figures["held"] = {"streams": plan.held[0], **held}
        if growth is not None:
            figures["held"]["memory_per_1000_mb"] = growth / plan.held[0] * 1000
    with step(f"{FLOODS} streams without pauses"):
        request = system.ask(stream=(plan.flood_chunks, 0))
        figures["flood"] = generator.streams(
            system.port, request, connections=FLOODS, rounds=0, within=plan.flood, chunks=plan.flood_chunks
        )
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
    with step(f"{plan.repeated:,} requests"):
        before = pss_mb(pid)
        got = generator.repeat(
            system.port, system.ask(), connections=CONNECTIONS, requests=plan.repeated, within=plan.repeated / SLOW + 10
        )
        return {"requests": plan.repeated, "errors": got["errors"], "before_mb": before, "after_mb": pss_mb(pid)}
