"""One pair through compose, as its users see it: it answers, it runs code, it survives attacks and its own death."""

import gzip
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.end_to_end.pair import ROOT, UP_SECONDS, Pair, wait_until
from tests.pacing import at_any_pace

pytestmark = [pytest.mark.stack, pytest.mark.docker, pytest.mark.timeout(UP_SECONDS + 300)]

ADD = "def add(a, b):\n    return a + b"


def test_the_gateway_says_ok(pair: Pair) -> None:
    answer = httpx.get(f"{pair.url}/health", timeout=60)
    assert (answer.status_code, answer.text) == (200, "ok")


def test_a_chat_needs_neither_key_nor_model_server(pair: Pair) -> None:
    chat = {"provider": "stub", "type": "chat", "model": "stub", "messages": [{"role": "user", "content": "Hello"}]}
    answer = httpx.post(f"{pair.url}/llm", json=chat, timeout=60)
    assert answer.status_code == 200
    assert answer.json()["provider"] == "stub"
    assert answer.json()["content"]


def test_a_function_is_called_with_its_input(pair: Pair) -> None:
    answer = pair.execute(ADD, input={"a": 1, "b": 2})
    assert (answer["status"], answer["result"]) == ("ok", 3)


def test_what_a_script_prints_arrives_while_it_runs(pair: Pair) -> None:
    def hear_a_pause(pace: float) -> None:
        code = f"import time\nprint('first', flush=True)\ntime.sleep({pace})\nprint('second')"
        arrived: dict[str, float] = {}
        with httpx.stream("POST", f"{pair.url}/execute", json={"code": code, "stream": True}, timeout=60) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            for line in answer.iter_lines():
                if line.startswith("event: "):
                    arrived.setdefault(line.removeprefix("event: "), time.monotonic())
        assert list(arrived) == ["start", "stdout", "done"]
        assert arrived["done"] - arrived["stdout"] > 0.5 * pace

    at_any_pace(hear_a_pause)


@pytest.mark.parametrize(
    ("status", "code", "fields"),
    [
        ("timeout", "print('so far', flush=True)\nwhile True: pass", {"timeout_seconds": 1}),
        ("process_limit", "import os\nprint('so far', flush=True)\nwhile True: os.fork()", {}),
        ("out_of_memory", "print('so far', flush=True)\nx = [0] * (10 * 1024**3 // 8)", {}),
    ],
    ids=["endless loop", "fork bomb", "10 GB list"],
)
def test_an_attack_gets_its_verdict_and_the_next_run_is_well(
    pair: Pair, status: str, code: str, fields: dict[str, float]
) -> None:
    answer = pair.execute(code, **fields)
    assert (answer["status"], answer["stdout"]) == (status, "so far\n")
    assert pair.execute(ADD, input=[1, 2])["result"] == 3


@pytest.mark.parametrize(("options", "passes"), [((), 9), (("--broken",), 0)], ids=["as written", "broken"])
def test_humaneval_passes_as_written_and_fails_when_broken(
    pair: Pair, tmp_path: Path, options: tuple[str, ...], passes: int
) -> None:
    problems = gzip.decompress((ROOT / "tests/data/HumanEval.jsonl.gz").read_bytes()).splitlines()
    some = tmp_path / "some.jsonl"
    some.write_bytes(b"\n".join(problems[::20]))
    told = pair.run(sys.executable, "scripts/humaneval", str(some), "--url", pair.url, *options)
    assert told.startswith(f"{passes} of 9 pass")


@pytest.mark.parametrize("service", ["gateway", "executor"])
def test_a_service_runs_confined_and_as_nobody_in_particular(pair: Pair, service: str) -> None:
    known = pair.inspect(service)
    assert known["Config"]["User"].startswith("10001:")
    assert known["HostConfig"]["ReadonlyRootfs"] is True
    assert known["HostConfig"]["CapDrop"] == ["ALL"]
    assert known["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    status = pair.run("docker", "exec", known["Id"], "cat", "/proc/1/status")
    assert "CapEff:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status


def test_an_executor_that_was_told_no_user_gives_up_root_by_itself(pair: Pair) -> None:
    name = f"{pair.project}-plain"
    try:
        pair.run("env", "EXECUTOR_USER=", *pair.compose, "run", "-d", "--no-deps", "--name", name, "executor")
        wait_until(lambda: pair.run("docker", "inspect", "-f", "{{.State.Health.Status}}", name) == "healthy\n", 60)
        status = pair.run("docker", "exec", name, "cat", "/proc/1/status")
    finally:
        pair.run("docker", "stop", "--time", "40", name)
        pair.run("docker", "rm", "--force", name)
    assert "Uid:\t10001\t10001\t10001\t10001" in status
    assert "CapEff:\t0000000000000000" in status
    assert "CapPrm:\t0000000000000000" in status


def test_the_executor_refuses_who_does_not_know_the_secret(pair: Pair) -> None:
    code = (
        "from http.client import HTTPConnection as C; c = C('executor', 3600); "
        "c.request('POST', '/execute', '{}', {'content-type': 'application/json'}); print(c.getresponse().status)"
    )
    assert pair.run("docker", "exec", pair.container("gateway"), "python", "-c", code) == "401\n"


def test_the_secret_is_made_for_this_pair_and_stands_in_no_configuration(pair: Pair) -> None:
    secret = pair.run("docker", "exec", pair.container("gateway"), "cat", "/run/sandgate/executor-secret").strip()
    assert len(secret) >= 32
    for service in ("gateway", "executor"):
        assert secret not in json.dumps(pair.inspect(service))
        assert secret not in pair.run("docker", "logs", pair.container(service))


def test_an_executor_killed_in_the_middle_of_a_run_leaves_no_box_once_it_is_back(pair: Pair) -> None:
    executor = pair.container("executor")
    with ThreadPoolExecutor(1) as threads:
        lost = threads.submit(
            httpx.post, f"{pair.url}/execute", json={"code": "while True: pass", "timeout_seconds": 60}, timeout=90
        )
        wait_until(lambda: httpx.get(f"{pair.url}/executions", timeout=60).json()["executions"] != [], 60)
        pair.run("docker", "kill", "--signal", "KILL", executor)
        assert lost.result().status_code in (502, 503)
    orphans = pair.boxes()
    assert orphans

    pair.run("docker", "start", executor)
    wait_until(lambda: not orphans & pair.boxes(), 60)
    wait_until(lambda: httpx.post(f"{pair.url}/execute", json={"code": "1 + 2"}, timeout=60).status_code == 200, 60)
    assert pair.execute(ADD, input=[1, 2])["result"] == 3


def test_down_leaves_no_container_network_or_box(pair: Pair) -> None:
    assert pair.boxes()
    pair.run("scripts/down")
    assert pair.listed("ps", pair.project_label) == []
    assert pair.listed("network", pair.project_label) == []
    assert pair.boxes() == set()
