"""The executor as a process: options, signals, exit status, and what is left behind."""

import concurrent.futures
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from executor.settings import VARIABLES
from tests.executor.conftest import ROOT, SECRET, boxes, running
from tests.pacing import PATIENCE

MANY = 20
GONE_SECONDS = 15.0  # it is promised in 5, on a machine that has nothing else to do
SLEEP = "print('begun', flush=True)\nimport time\ntime.sleep({})\n'slept'"


def call(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "executor", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]} | environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_help_tells_every_variable_and_its_default() -> None:
    told = call("--help")
    assert told.returncode == 0
    for variable in VARIABLES:
        assert variable.name in told.stdout
        assert variable.default in told.stdout


@pytest.mark.parametrize(
    ("arguments", "environment", "name"),
    [
        (["--prot", "1"], {}, "--prot"),
        (["--por", "1"], {}, "--por"),
        (["--port", "http"], {}, "--port"),
        ([], {"MAX_QUEUE": "many"}, "MAX_QUEUE"),
        ([], {"EXECUTOR_SECRET": "short-secret"}, "EXECUTOR_SECRET"),
        (["--host", "0.0.0.0"], {}, "EXECUTOR_SECRET"),
    ],
)
def test_a_bad_option_or_value_is_one_clear_line_and_status_2(
    arguments: list[str], environment: dict[str, str], name: str
) -> None:
    refused = call(*arguments, **environment)
    assert refused.returncode == 2
    assert len(refused.stderr.splitlines()) == 1
    assert name in refused.stderr
    assert "short-secret" not in refused.stderr


def test_a_port_in_use_is_one_clear_line_and_status_1() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        refused = call("--port", str(port))
    assert (refused.returncode, len(refused.stderr.splitlines())) == (1, 1)
    assert str(port) in refused.stderr
    assert "--port" in refused.stderr


@pytest.mark.docker
def test_sigterm_lets_a_run_end_takes_no_new_one_and_removes_every_box(tmp_path: Path) -> None:
    with running(tmp_path) as executor, concurrent.futures.ThreadPoolExecutor() as threads:
        owner = executor.owner()
        [run] = executor.begin(threads, SLEEP.format(1.5))
        executor.process.send_signal(signal.SIGTERM)
        assert run.result(timeout=PATIENCE)["result"] == "slept"
        assert executor.process.wait(timeout=PATIENCE) == 0
        assert boxes(owner) == []
        assert SECRET not in executor.log.read_text()


@pytest.mark.docker
def test_a_second_signal_cancels_what_runs(tmp_path: Path) -> None:
    with running(tmp_path) as executor, concurrent.futures.ThreadPoolExecutor() as threads:
        owner = executor.owner()
        whole = threads.submit(executor.execute, SLEEP.format(50), timeout_seconds=50)
        [streamed] = executor.begin(threads, SLEEP.format(50), timeout_seconds=50)
        with executor.client() as client:
            executor.wait(lambda: len(client.get("/executions").json()["executions"]) == 2)
        executor.process.send_signal(signal.SIGINT)
        executor.wait(lambda: "stopping" in executor.log.read_text())
        time.sleep(0.2)
        assert executor.process.poll() is None
        executor.process.send_signal(signal.SIGINT)
        for run in (whole, streamed):
            assert run.result(timeout=PATIENCE)["status"] == "cancelled"
        assert executor.process.wait(timeout=PATIENCE) == 0
        assert boxes(owner) == []


@pytest.mark.docker
@pytest.mark.timeout(180)
def test_what_an_executor_killed_in_the_middle_of_many_runs_leaves_is_gone_soon_after_the_next_start(
    tmp_path: Path,
) -> None:
    with running(tmp_path) as other, running(tmp_path, MAX_CONCURRENT=str(MANY)) as killed:
        mine, foreign = killed.owner(), other.owner()
        assert mine != foreign
        with concurrent.futures.ThreadPoolExecutor(MANY) as threads:
            runs = killed.begin(threads, *[SLEEP.format(60)] * MANY, timeout_seconds=60)
            kept = boxes(foreign)
            killed.process.kill()
            killed.process.wait()
            assert all(run.exception(timeout=PATIENCE) for run in runs)
        left = boxes(mine)
        assert len(left) >= MANY
        other.wait(lambda: not boxes(mine, state="running"), GONE_SECONDS)
        with running(tmp_path, ready=False, EXECUTOR_PORT=killed.url.rpartition(":")[2]) as restarted:
            restarted.wait(lambda: not set(left) & set(boxes(mine)), GONE_SECONDS)
            restarted.wait(lambda: restarted.health()["status"] == "healthy")
            assert restarted.owner() == mine
        assert boxes(mine) == []
        assert set(kept) <= set(boxes(foreign))
