import argparse
import re
import statistics
import subprocess
from pathlib import Path
from typing import Any

import pytest

from scripts.benchmarks import __main__ as bench
from scripts.benchmarks import aims, executor_figures, executor_tables, machine

TINY = executor_figures.Plan(slots=(("base", 2),), idle_turns=1, idle=0)


def latency(p50: float, p95: float, *, warm: int) -> dict[str, Any]:
    added = {"count": 100, "p50": p50, "p95": p95, "max": p95}
    return {"count": 100, "p50": p50 + 2, "p95": p95 + 2, "max": p95 + 2, "added": added, "warm": warm}


def measured(**changes: Any) -> dict[str, Any]:
    """Figures as `executor_figures.measure` gives them; `changes` are of the executor's own."""
    docker = {"count": 20, "p50": 300.0, "p95": 400.0, "max": 400.0}
    ours = {
        "warm": latency(3.0, 14.0, warm=101),
        "data": latency(11.0, 20.0, warm=101),
        "gateway": latency(4.5, 30.0, warm=101),
        "empty": latency(140.0, 200.0, warm=0),
        "per_second_4": 13.0,
        "per_second_8": 10.9,
        "batch_per_second": 450.0,
        "idle": {
            "base": {
                "slots": 20,
                "falls": [7.0, 9.0, 30.0],
                "fall": 9.0,
                "pss": {"box": 10.0, "shim": 4.0, "own": 8.5},
            },
            "data": {"slots": 6, "falls": [80.0], "fall": 80.0, "pss": None},
        },
    }
    return {
        "docker": "29.0",
        "runtime": "runc",
        "docker_run": {"base": docker, "data": docker, "per_second_4": 5.0, "per_second_8": 6.0},
        "executor": {**ours, **changes},
    }


def list_boxes(image: str) -> list[str]:
    shown = ["docker", "ps", "-aq", "--filter", f"label=sandgate.image={image}"]
    return subprocess.run(shown, capture_output=True, text=True, check=True).stdout.split()


def judged(figures: dict[str, Any], name: str) -> tuple[str, str, bool | None]:
    (found,) = [aim for aim in aims.judge({"executor": figures}) if aim["name"].startswith(name)]
    assert found["issue"] == 3
    return found["measured"], found["aim"], found["met"]


@pytest.mark.parametrize(
    ("name", "figure", "bound", "met"),
    [
        ("a warm run over HTTP", "3.0 ms / 14.0 ms", "<= 5.0 ms / <= 15.0 ms", True),
        ("a warm run through the gateway", "1.5 ms", "<= 2.0 ms", True),
        ("a warm run, data image", "11.0 ms", "<= 10.0 ms", False),
        ("a run with the pool empty", "140.0 ms", "<= 150.0 ms", True),
        ("fresh containers, sustained, the best of 4 and 8 at a time, runc", "13.0/s", ">= 11.0/s", True),
        ("a batch", "450 inputs/s", ">= 300 inputs/s", True),
        ("an idle slot, base image", "9.0 MiB", "<= 12.0 MiB", True),
        ("an idle slot, data image", "80.0 MiB", "<= 75.0 MiB", False),
    ],
)
def test_an_aim_of_the_executor_is_judged_by_what_was_measured(name: str, figure: str, bound: str, met: bool) -> None:
    assert judged(measured(), name) == (figure, bound, met)


def test_an_empty_pool_that_had_a_box_ready_is_not_judged() -> None:
    assert judged(measured(empty=latency(3.0, 4.0, warm=1)), "a run with the pool empty")[2] is None


@pytest.mark.parametrize(("runtime", "bound", "met"), [("crun", 14.0, False), ("runsc", 11.0, None)])
def test_more_is_wanted_of_a_faster_runtime_and_nothing_of_an_unknown_one(
    runtime: str, bound: float, met: bool | None
) -> None:
    figures = {**measured(), "runtime": runtime}
    assert judged(figures, "fresh containers")[1:] == (f">= {bound}/s", met)


def test_the_memory_of_a_slot_is_not_judged_by_few_slots_or_unknown_memory() -> None:
    few = {"slots": 4, "falls": [5.0], "fall": 5.0, "pss": None}
    unknown = {"slots": 6, "falls": [], "fall": None, "pss": {"box": 60.0, "shim": 4.0, "own": 62.0}}
    figures = measured(idle={"base": few, "data": unknown})
    assert [judged(figures, f"an idle slot, {image}")[2] for image in ("base", "data")] == [None, None]


def test_a_slot_is_told_by_the_kernels_memory_and_by_its_processes() -> None:
    unknown = {"slots": 6, "falls": [], "fall": None, "pss": None}
    idle = {"base": measured()["executor"]["idle"]["base"], "data": unknown}
    told = executor_tables.executor_tables(measured(idle=idle)).splitlines()
    base, data = ([line for line in told if f"slot of the {image} image" in line] for image in ("base", "data"))
    assert "(20 of them): the kernel can give away 9.0 MiB less for each" in base[0]
    assert "turns: 7.0 / 9.0 / 30.0" in base[0]
    assert "processes hold 14.0 MiB" in base[1]
    assert "8.5 MiB are shared with no other" in base[1]
    assert ["no MemAvailable" in data[0], "does not show its processes" in data[1], len(data)] == [True, True, 2]


def test_the_executors_aims_stand_under_its_tables(capsys: pytest.CaptureFixture[str]) -> None:
    figures: dict[str, Any] = {"quick": False, "conditions": machine.describe(), "spoiled": [], "executor": measured()}
    figures["aims"] = aims.judge(figures)
    bench.report(figures, argparse.Namespace(json=None))
    shown = [[cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    assert ["an idle slot, base image, fall of MemAvailable", "9.0 MiB", "<= 12.0 MiB", "yes", "3"] in shown


def test_the_kernels_available_memory_is_read_where_it_is_told(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:       16384 kB\nMemFree:         1024 kB\nMemAvailable:    3072 kB\n")
    assert executor_figures.available_mib(meminfo) == 3.0
    meminfo.write_text("MemTotal:       16384 kB\nMemFree:         1024 kB\n")
    assert executor_figures.available_mib(meminfo) is None


@pytest.mark.docker
def test_idle_slots_are_measured_beside_empty_pools_and_leave_nothing(tmp_path: Path) -> None:
    idle = executor_figures.measure_idle(tmp_path, TINY)
    (figures,) = idle.values()
    assert list(idle) == ["base"]
    assert figures["slots"] == 2
    assert len(figures["falls"]) == 1
    assert figures["fall"] == statistics.median(figures["falls"])
    assert 1 < figures["pss"]["own"] < figures["pss"]["box"] + figures["pss"]["shim"] < 100
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["0-base", "0-none"]
    logs = [(folder / "program.log").read_text() for folder in tmp_path.iterdir()]
    images = re.findall(r"ready to run in (\S+)", "".join(logs))  # each executor has names of its own for them
    assert len(set(images)) == 4
    assert [box for image in images for box in list_boxes(image)] == []
