"""What a part of the gateway costs: the gateway with it and without it, turn by turn, in CPU time and throughput."""

import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from scripts.benchmarks.answers import check
from scripts.benchmarks.load import Load
from scripts.benchmarks.plan import Turns
from scripts.benchmarks.processes import cpu_clock, cpu_seconds, running, wait_for_answer
from scripts.benchmarks.systems import Make, System
from scripts.benchmarks.terminal import CannotMeasure

CONNECTIONS = 16
SLOWEST = 100  # requests a second
FLUSHED_SECONDS = 0.8  # after the last request the call log still writes for half a second: that is its cost, too


@dataclass(frozen=True, slots=True)
class _Side:
    system: System
    pid: int
    cpu_us: list[float]
    per_second: list[float]


def measure(pair: tuple[Make, Make], generator: Load, provider: int, folder: Path, turns: Turns) -> dict[str, Any]:
    """Measure what two systems differ in, the one with it and the one without it; all figures are medians.

    Gives `cpu_us_with`, `cpu_us_without`, `added_us`, `per_second_with`, `per_second_without`, `throughput_lost` (a
    share; like `added_us` the median of what each turn shows) and the figures of all `turns`. Both systems run all
    the time, each idle while the other is measured.
    """
    with ExitStack() as stack:
        sides = []
        for number, make in enumerate(pair):
            here = folder / str(number)
            here.mkdir(parents=True)
            sides.append(_start(make(provider, here), here, stack))
        for side in sides:
            generator.closed(side.system.port, side.system.ask(), connections=CONNECTIONS, seconds=turns.warm_up)
        for number in range(turns.count):
            for side in sides if number % 2 else reversed(sides):
                _take_turn(side, generator, turns.requests)
    return _compare(*sides, requests=turns.requests)


def _start(system: System, folder: Path, stack: ExitStack) -> _Side:
    process = stack.enter_context(
        running(system.command, folder=folder, environment=system.environment, on_cores=system.cores)
    )
    wait_for_answer(process, system.port, system.health, folder=folder, within=system.seconds_to_start)
    check(system, "openai")
    return _Side(system, process.pid, [], [])


def _take_turn(side: _Side, generator: Load, requests: int) -> None:
    before = cpu_clock(side.pid)
    got = generator.repeat(
        side.system.port, side.system.ask(), connections=CONNECTIONS, requests=requests, within=requests / SLOWEST + 5
    )
    if got["errors"] or got["answers"] < requests:
        raise CannotMeasure(f"{side.system.name} answered {got['answers']} of {requests} with {got['errors']} errors")
    time.sleep(FLUSHED_SECONDS)
    side.cpu_us.append(cpu_seconds(before, cpu_clock(side.pid)) / got["all"] * 1e6)
    side.per_second.append(got["per_second"])


def _compare(with_it: _Side, without_it: _Side, *, requests: int) -> dict[str, Any]:
    pairs = zip(with_it.cpu_us, without_it.cpu_us, strict=True)
    rates = zip(with_it.per_second, without_it.per_second, strict=True)
    return {
        "with": with_it.system.name,
        "without": without_it.system.name,
        "requests": requests,
        "cpu_us_with": median(with_it.cpu_us),
        "cpu_us_without": median(without_it.cpu_us),
        "added_us": median(on - off for on, off in pairs),
        "per_second_with": median(with_it.per_second),
        "per_second_without": median(without_it.per_second),
        "throughput_lost": 1 - median(on / off for on, off in rates),
        "turns": {
            "cpu_us_with": with_it.cpu_us, "cpu_us_without": without_it.cpu_us,
            "per_second_with": with_it.per_second, "per_second_without": without_it.per_second,
        },
    }  # fmt: skip
