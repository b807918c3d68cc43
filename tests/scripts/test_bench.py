import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from scripts.benchmarks import (
    aims,
    answers,
    gateway_figures,
    interpreter,
    load,
    machine,
    processes,
    sandgate,
    systems,
    tables,
)
from scripts.benchmarks.plan import Plan, Turns
from tests.pacing import PATIENCE, at_any_pace

ROOT = Path(__file__).parents[2]
BENCH = [sys.executable, "-P", "-m", "scripts.benchmarks"]
TINY = Plan(
    starts=1, settle=0, warm_up=0.1, saturation=0.1, open_loop=0.2, paced=(5, 1, 4), held=(20, 1, 2), flood=0.1,
    flood_chunks=20, repeated=50, turns=Turns(1, 40, 0.1),
)  # fmt: skip
ASK = load.Request("/v1/chat/completions", {}, {"messages": []})


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, load.Load]:
    return load.build(tmp_path_factory.mktemp("bench"))


@pytest.fixture(scope="module")
def conditions() -> dict[str, Any]:
    return machine.describe()


@contextmanager
def answering(answer: bytes) -> Iterator[int]:
    """A server that sends `answer` to whatever comes first on a connection, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder)}


def working_in(folder: Path) -> list[str]:
    """Command lines of the processes whose working directory is inside `folder`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink().is_relative_to(folder):
                found.append((process / "cmdline").read_text())
        except OSError:
            continue
    return found


def test_sandgate_is_measured_beside_a_plain_proxy(tmp_path: Path) -> None:
    at_any_pace(partial(measure_two, tmp_path))


def measure_two(folder: Path, pace: float) -> None:
    here = folder / str(pace)
    here.mkdir()
    plan = replace(TINY, warm_up=0.1 * pace, saturation=0.1 * pace, flood=0.1 * pace)
    measured = gateway_figures.measure(here, plan, [sandgate.whole, systems.plain_proxy], {})
    assert measured["left_out"] == {}
    assert list(measured["systems"]) == ["direct", "Sandgate", "Sanic + httpx"]
    for figures in measured["systems"].values():
        assert figures["throughput_openai"]["per_second"] > 0
        assert figures["open_100"]["answers"] == 20
        assert (figures["paced"]["answers"], figures["paced"]["chunks"], figures["paced"]["lost"]) == (5, 20, 0)
        assert (figures["held"]["answers"], figures["held"]["lost"]) == (20, 0)
        assert figures["flood"]["chunks_per_second"] > 0
        assert [figures[key]["errors"] for key in ("throughput_openai", "open_300", "paced", "flood")] == [0] * 4
    ours = measured["systems"]["Sandgate"]
    assert ours["throughput_anthropic"]["answers"] > 0
    assert ours["throughput_gemini"]["answers"] > 0
    assert 0 < ours["start_s"] < PATIENCE
    assert ours["memory_rest_mb"] > 10
    printed = tables.gateway_tables(measured)
    assert "x Sanic + httpx" in printed
    assert "Sandgate, Gemini behind" in printed


def test_a_system_that_cannot_start_is_left_out_with_its_reason(tmp_path: Path) -> None:
    def broken(_provider: int, _folder: Path) -> systems.System:
        return systems.System(name="broken", version="", port=1, command=("sh", "-c", "echo no luck; exit 1"))

    measured = gateway_figures.measure(tmp_path, TINY, [broken], {"guard": (broken, broken)})
    assert list(measured["systems"]) == ["direct"]
    assert measured["costs"] == {}
    assert ["no luck" in measured["left_out"][name] for name in ("broken", "guard")] == [True, True]


def test_what_guard_and_logging_cost_is_measured_by_turns(tmp_path: Path) -> None:
    measured = gateway_figures.measure(tmp_path, TINY, [], gateway_figures.COMPARISONS)
    assert measured["left_out"] == {}
    for cost in measured["costs"].values():
        assert {name: len(taken) for name, taken in cost["turns"].items()} == dict.fromkeys(cost["turns"], 1)
        assert cost["cpu_us_with"] > 0 < cost["cpu_us_without"]
        assert cost["per_second_with"] > 0 < cost["per_second_without"]
    assert "what | CPU us/request with" in " ".join(tables.gateway_tables(measured).split())


@pytest.mark.parametrize(
    ("make", "logged", "counted"),
    [(sandgate.two_on_one_core, True, True), (sandgate.unlogged, False, True), (sandgate.uncounted, True, False)],
)
def test_with_a_part_silenced_calls_are_answered_and_only_the_other_part_knows_of_them(
    make: systems.Make, logged: bool, counted: bool, built: tuple[Path, load.Load], tmp_path: Path
) -> None:
    with load.providing(built[0], tmp_path) as provider:
        system = make(provider, tmp_path)
        with processes.running(system.command, folder=tmp_path, environment=system.environment) as process:
            processes.wait_for_answer(process, system.port, system.health, folder=tmp_path, within=PATIENCE)
            answers.check(system, "openai")
            # The other worker may have answered, which writes half a second later.
            calls, end = 0, time.monotonic() + (PATIENCE if logged else 1.5)
            while not calls and time.monotonic() < end:
                calls = answers.query_log(system)["calls"]
            assert calls == int(logged)
            with urlopen(Request(f"http://127.0.0.1:{system.port}/metrics", headers=dict(system.headers))) as shown:
                assert (b"llm_requests_total{" in shown.read()) is counted


def test_what_is_answered_while_warming_up_does_not_count(built: tuple[Path, load.Load], tmp_path: Path) -> None:
    with load.providing(built[0], tmp_path) as provider:
        ask = systems.direct(provider, tmp_path).ask()

        def attempt(pace: float) -> None:
            got = built[1].closed(provider, ask, connections=1, seconds=0.1 * pace, warm_up=0.2 * pace)
            assert got["all"] > got["answers"] == got["latency_ms"]["count"] > 0
            assert got["seconds"] < 0.2 * pace

        at_any_pace(attempt)


def test_answers_that_are_errors_do_not_count_as_throughput(built: tuple[Path, load.Load]) -> None:
    refusal = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"
    with answering(refusal) as port:

        def attempt(pace: float) -> None:
            got = built[1].closed(port, ASK, connections=2, seconds=0.2 * pace)
            assert got["answers"] == 0
            assert got["errors"] > 0

        at_any_pace(attempt)


def test_a_stream_that_is_cut_short_is_an_error(built: tuple[Path, load.Load]) -> None:
    cut = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n12\r\n@0000000000000001@\r\n"
    with answering(cut) as port:

        def attempt(pace: float) -> None:
            got = built[1].streams(port, ASK, connections=1, rounds=1, within=0.2 * pace, chunks=2)
            assert (got["answers"], got["errors"] > 0) == (0, True)

        at_any_pace(attempt)


def test_a_chunk_that_never_came_is_counted_as_lost(built: tuple[Path, load.Load]) -> None:
    short = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        b"9\r\n@00000000\r\n9\r\n00000001@\r\n0\r\n\r\n"  # one stamp, in two pieces
    )
    with answering(short) as port:
        got = built[1].streams(port, ASK, connections=1, rounds=1, within=PATIENCE, chunks=3)
    assert (got["answers"], got["chunks"], got["lost"]) == (1, 1, 2)


def test_an_interrupted_run_leaves_no_process_and_no_file(tmp_path: Path) -> None:
    with subprocess.Popen(
        [*BENCH, "gateway", "--quick"], env=environment(tmp_path), cwd=tmp_path, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stderr is not None
        for line in running.stderr:
            if "start" in line:
                break
        running.send_signal(signal.SIGINT)
        assert "interrupted" in running.stderr.read()
        assert running.wait(PATIENCE) == 130
    assert working_in(tmp_path) == []
    assert [file.name for file in tmp_path.iterdir()] == [f"sandgate-bench-{os.getuid()}.lock"]


def test_two_benchmarks_never_measure_at_once(tmp_path: Path) -> None:
    with (tmp_path / f"sandgate-bench-{os.getuid()}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        told = subprocess.run(
            [*BENCH, "gateway"],
            env=environment(tmp_path), capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
    assert (told.returncode, told.stdout) == (1, "")
    assert "another benchmark is running" in told.stderr


GATEWAY: dict[str, Any] = {
    "systems": {
        "direct": {"held": {"at_once": 1000}, "open_300": {"latency_ms": {"p50": 0.1, "p99": 0.2}}},
        "Sandgate": {
            "version": "1.0",
            "start_s": 0.5,
            "throughput_openai": {"per_second": 3000.0},
            "open_300": {"latency_ms": {"p50": 0.4, "p99": 1.9}},
            "held": {"at_once": 1000, "streams": 1000, "answers": 999, "lost": 0, "delay_ms": {"p50": 1.0, "p99": 2.0}},
            "repeated": {"requests": 200_000, "start_mb": 50.0, "middle_mb": 60.0, "end_mb": 61.0},
            "queries": {"calls": 150_000, "ms": {"one": 5.0, "other": 120.0}},
        },
        "Sandgate, 2 workers": {"version": "1.0", "throughput_openai": {"per_second": 4500.0}},
        "nginx": {"version": "1.2", "throughput_openai": {"per_second": 10_000.0}},
    },
    "costs": {
        "guard": {"added_us": 149.0},
        "logging": {"throughput_lost": 0.04, "added_us": 6.0, "cpu_us_without": 100.0},
    },
    "left_out": {},
    "shared_core": True,
}


def judged(gateway: dict[str, Any], name: str) -> tuple[str, bool | None]:
    (found,) = [aim for aim in aims.judge({"gateway": gateway}) if aim["name"].startswith(name)]
    return found["measured"], found["met"]


@pytest.mark.parametrize(
    ("name", "measured", "met"),
    [
        ("throughput, to nginx", "0.30 x", True),
        ("throughput, to LiteLLM", "-", None),
        ("added latency", "0.30 ms / 1.70 ms", False),
        ("1,000 streams open, p99", "2.0 ms / 1", False),
        ("start", "0.50 s", True),
        ("memory at rest", "-", None),
        ("growth", "1.0 MB", True),
        ("the gateway's packages", "-", None),
        ("guard", "149.0 us", True),
        ("logging", "4.0 % / 6.0 %", False),
        ("slowest query", "120.0 ms", False),
    ],
)
def test_an_aim_is_judged_by_what_was_measured(name: str, measured: str, met: bool | None) -> None:
    assert judged(GATEWAY, name) == (measured, met)


def test_the_size_cannot_be_measured_without_the_packages(tmp_path: Path) -> None:
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_RETRIES": "0", "PIP_NO_CACHE_DIR": "1"}
    told = subprocess.run(
        [*BENCH, "size"], env=environment(tmp_path) | nowhere, capture_output=True, text=True, check=False
    )
    assert (told.returncode, told.stdout) == (1, "")
    assert "error: the gateway's packages could not be installed: " in told.stderr


def test_an_aim_for_many_is_not_judged_by_few() -> None:
    ours = GATEWAY["systems"]["Sandgate"]
    few = {**ours, "held": {**ours["held"], "at_once": 40}, "repeated": {**ours["repeated"], "requests": 500}}
    few["queries"] = {**ours["queries"], "calls": 99_999}
    gateway = {**GATEWAY, "systems": {**GATEWAY["systems"], "Sandgate": few}}
    assert [judged(gateway, name)[1] for name in ("1,000 streams open, p99", "growth", "slowest")] == [None] * 3


def test_the_tables_of_the_readme_come_from_the_json_of_a_run(tmp_path: Path, conditions: dict[str, Any]) -> None:
    measured = {"quick": False, "conditions": conditions, "spoiled": ["too warm"], "gateway": GATEWAY}
    (tmp_path / "figures.json").write_text(json.dumps({**measured, "aims": aims.judge(measured)}))
    told = subprocess.run(
        [*BENCH, "--markdown", "figures.json"],
        env=environment(tmp_path), cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    shown = [[cell.strip() for cell in line.split("|")[1:-1]] for line in told.stdout.splitlines() if "|" in line]
    assert ["", "Sandgate 1.0", "nginx 1.2"] in shown
    assert ["requests/s", "3,000", "10,000"] in shown
    assert ["1,000 streams open: served whole", "999 of 1,000", "- of -"] in shown
    assert ["added at 300 requests/s, ms p50 / p99", "0.30 / 1.70", "- / -"] in shown
    assert ["guard, CPU a request", "149.0 us", "<= 150.0 us", "yes", "5"] in shown
    assert "4,500 requests/s, 1.50 times one worker's" in told.stdout
    assert "Not to be quoted: too warm." in told.stdout


def test_a_file_without_figures_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("[]")
    for name in ("other.json", "none.json"):
        command = [*BENCH, "--markdown", name]
        told = subprocess.run(
            command, env=environment(tmp_path), cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert (told.returncode, told.stdout) == (1, "")
        assert told.stderr.startswith(f"error: {name} holds no figures of scripts/bench")
        assert len(told.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("settings", "packaged_by", "optimized"),
    [
        ({"CONFIG_ARGS": "'--prefix=/usr/local' '--enable-optimizations'"}, None, True),
        ({"CONFIG_ARGS": "'--prefix=/opt'", "PY_CORE_CFLAGS": "-O3 -fprofile-use"}, None, True),
        ({"CONFIG_ARGS": "'--prefix=/usr' '--enable-shared'"}, "the package python3.13-minimal", True),
        ({"CONFIG_ARGS": "'--enable-shared'", "PGO_PROF_USE_FLAG": "-fprofile-use -fprofile-correction"}, None, False),
        ({"CONFIG_ARGS": None}, None, None),
    ],
)
def test_a_python_is_called_slow_only_where_its_build_says_so(
    settings: dict[str, str | None], packaged_by: str | None, optimized: bool | None, conditions: dict[str, Any]
) -> None:
    found, why = interpreter.judge(settings, packaged_by)
    assert found is optimized
    built_so = {**conditions, "python_build": {"optimized": found, "why": why}}
    assert any("Python" in complaint for complaint in machine.complain(built_so)) is (optimized is not True)


def test_work_of_others_is_seen_at_once_and_forgotten_at_once(tmp_path: Path) -> None:
    second = os.sysconf("SC_CLK_TCK")
    stat = tmp_path / "stat"

    def tell(user: int, idle: int, steal: int) -> None:
        stat.write_text(f"cpu  {user} 1 2 {idle} 7 3 4 {steal} 9 9\ncpu0 0 0 0 0 0 0 0 0 0 0\n")

    def attempt(pace: float) -> None:
        seconds = int(pace)
        tell(user=0, idle=0, steal=0)
        then = {"user": seconds * second, "idle": 5 * second, "steal": seconds * second}
        later = threading.Timer(0.2 * pace, tell, kwargs=then)
        later.start()
        try:
            assert machine.busy_cores(seconds, stat) == pytest.approx(2, rel=0.2)
        finally:
            later.join()
        assert machine.busy_cores(0.1, stat) == 0

    at_any_pace(attempt)


def test_a_core_at_work_is_seen_in_the_kernels_own_figures() -> None:
    def attempt(pace: float) -> None:
        assert machine.busy_cores(0.5 * pace) > machine.BUSY

    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as work:
        try:
            at_any_pace(attempt)
        finally:
            work.kill()


@pytest.mark.parametrize(("busy", "quiet"), [(0.0, True), (machine.BUSY, True), (machine.BUSY + 0.1, False)])
def test_a_machine_with_other_work_spoils_the_figures(busy: float, quiet: bool, conditions: dict[str, Any]) -> None:
    complaints = machine.complain({**conditions, "busy_cores": busy})
    assert any("not quiet" in complaint for complaint in complaints) is not quiet


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--bogus"], "unknown option --bogus"),
        (["gateway", "--json"], "--json wants the name of a file"),
        (["--markdown"], "--markdown wants the name of a file"),
    ],
)
def test_a_command_line_that_makes_no_sense_is_one_clear_line(arguments: list[str], complaint: str) -> None:
    told = subprocess.run([ROOT / "scripts" / "bench", *arguments], capture_output=True, text=True, check=False)
    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr == f"error: {complaint} (scripts/bench --help)\n"
