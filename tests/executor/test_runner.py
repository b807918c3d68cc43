"""Runs whose boxes misbehave: killed, stopped, flooding. Real boxes, disturbed from outside by the engine."""

import concurrent.futures
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.executor.conftest import Executor, boxes, running
from tests.executor.test_contract import read_events

pytestmark = pytest.mark.docker

SLEEP = "print('begun', flush=True)\nimport time\ntime.sleep(30)"


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Executor]:
    """An executor without ready boxes: a box that it has is one that runs."""
    with running(tmp_path_factory.mktemp("alone"), POOL_SIZE="base=0") as executor:
        yield executor


def send(executor: Executor, signal: str) -> None:
    """Send a signal to the supervisor of the box that runs."""
    box = boxes(executor.owner(), state="running")
    subprocess.run(["docker", "kill", "--signal", signal, *box], check=True, capture_output=True)


def test_a_box_that_is_ended_from_outside_keeps_what_it_wrote(alone: Executor) -> None:
    with concurrent.futures.ThreadPoolExecutor() as threads:
        [run] = alone.begin(threads, SLEEP, timeout_seconds=40)
        send(alone, "KILL")
        answer = run.result(timeout=20)
    assert (answer["status"], answer["stdout"]) == ("signal", "begun\n")
    assert (answer["error"]["type"], answer["error"]["signal"]) == ("SIGKILL", "SIGKILL")
    alone.wait(lambda: not boxes(alone.owner()))


def test_a_supervisor_that_is_silent_at_the_limit_is_killed_and_the_output_kept(alone: Executor) -> None:
    with concurrent.futures.ThreadPoolExecutor() as threads:
        [run] = alone.begin(threads, SLEEP, timeout_seconds=3)
        send(alone, "STOP")
        answer = run.result(timeout=20)
    assert (answer["status"], answer["stdout"]) == ("timeout", "begun\n")
    assert answer["usage"]["wall_ms"] >= 3000
    assert answer["usage"]["cpu_ms"] is None
    alone.wait(lambda: not boxes(alone.owner()))


def test_a_flood_is_cut_counted_and_stopped(alone: Executor) -> None:
    answer = alone.execute("import os\nwhile True: os.write(1, b'x' * 65536)")
    assert answer["status"] == "output_limit"
    assert len(answer["stdout"]) == 1024 * 1024
    assert answer["truncated"]["stdout"] > 0
    assert "10 MiB" in answer["error"]["message"]


def stream(executor: Executor, user: str) -> list[dict[str, Any]]:
    with executor.client(user) as client:
        answer = client.post("/execute", json={"code": SLEEP, "timeout_seconds": 40, "stream": True})
    return read_events(answer.text)


def test_a_run_that_is_cancelled_before_it_has_a_box_is_cancelled_too(tmp_path: Path) -> None:
    with running(tmp_path, MAX_CONCURRENT="1") as executor, concurrent.futures.ThreadPoolExecutor() as threads:
        first = threads.submit(executor.execute, SLEEP, timeout_seconds=40, user="first")
        with executor.client() as client:
            executor.wait(lambda: client.get("/executions").json()["executions"])
            second = threads.submit(executor.execute, SLEEP, timeout_seconds=40, user="second")
            executor.wait(lambda: len(client.get("/executions").json()["executions"]) == 2)
            third = threads.submit(stream, executor, "third")
            executor.wait(lambda: len(client.get("/executions").json()["executions"]) == 3)
            for entry in reversed(client.get("/executions").json()["executions"]):
                assert client.delete(f"/executions/{entry['id']}").status_code == 202
        assert second.result(timeout=20)["status"] == "cancelled"
        assert second.result()["stdout"] == ""
        start, done = third.result(timeout=20)
        assert (start["event"], done["event"]) == ("start", "done")
        assert (start["data"]["id"], done["data"]["status"]) == (done["data"]["id"], "cancelled")
        assert first.result(timeout=20)["status"] == "cancelled"
