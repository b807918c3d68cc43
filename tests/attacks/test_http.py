"""Every attack through HTTP, several at a time, and the executor none the worse for it."""

import contextlib
import os
import re
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from docker import APIClient

from executor.sandboxes.docker import THREADS
from tests.attacks.cases import ATTACKS, DICE, LOOK, PLANT, Attack
from tests.executor.conftest import BASE_IMAGE, Executor, boxes, running

pytestmark = pytest.mark.docker

DATA_IMAGE = "sandgate-sandbox:data"
AT_A_TIME = 4
POOL = 3
SOAK_RUNS = int(os.environ.get("SANDGATE_SOAK_RUNS", "150"))
SETTLE_SECONDS = 30.0


@dataclass(frozen=True)
class Came:
    """What came of an attack: its answer, that of an innocent run after it, and whether its box is still there."""

    answer: dict[str, Any]
    after: dict[str, Any]
    left: bool


@dataclass(frozen=True)
class Held:
    """What a process holds."""

    descriptors: int
    threads: int
    memory_mb: float


@pytest.fixture(scope="module")
def executor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Executor]:
    environment = {
        "SANDBOX_IMAGES": f"base={BASE_IMAGE},data={DATA_IMAGE}",
        "POOL_SIZE": f"base={POOL},data=0",
        "MAX_CONCURRENT": str(AT_A_TIME),
        "MAX_QUEUE": str(len(ATTACKS)),
    }
    with running(tmp_path_factory.mktemp("attacked"), **environment) as started:
        # Threads, connections and caches that come with the first runs are not what is looked for afterwards.
        with ThreadPoolExecutor(2 * AT_A_TIME) as threads:
            list(threads.map(lambda _: started.execute("1"), range(4 * AT_A_TIME)))
        yield started


@pytest.fixture(scope="module")
def attacked(executor: Executor) -> Iterator[dict[str, Future[Came]]]:
    """Attack with all at once; the names lead to what came of each."""
    with ThreadPoolExecutor(AT_A_TIME) as threads:
        yield {attack.name: threads.submit(strike, executor, attack) for attack in ATTACKS}


def strike(executor: Executor, attack: Attack) -> Came:
    """Attack, then run something innocent, then look for the box that was attacked from, as long as it may take."""
    answer = executor.execute(attack.code, image=attack.image, **attack.job)
    after = executor.execute("1 + 1")
    box = re.search(rf"{answer['id']} of ann runs in (\S+)", executor.log.read_text())
    assert box is not None
    deadline = time.monotonic() + SETTLE_SECONDS
    with contextlib.closing(APIClient(version="auto")) as engine:
        while engine.containers(all=True, filters={"name": box[1]}):
            if time.monotonic() > deadline:
                return Came(answer, after, left=True)
            time.sleep(0.1)
    return Came(answer, after, left=False)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name.replace(" ", "-"))
def test_an_attack_comes_to_what_it_must_and_the_next_run_works_and_nothing_is_left(
    attacked: dict[str, Future[Came]], attack: Attack
) -> None:
    came = attacked[attack.name].result()
    answer = came.answer
    shown = str({key: repr(value)[:1500] for key, value in answer.items()})
    assert answer["status"] in attack.statuses, shown
    assert attack.holds is None or attack.holds(answer), shown
    assert (came.after["status"], came.after["result"]) == ("ok", 2)
    assert not came.left


def test_two_runs_do_not_throw_the_same_dice(executor: Executor) -> None:
    one, two = (executor.execute(DICE)["result"] for _ in range(2))
    assert all(left != right for left, right in zip(one, two, strict=True))


def test_what_one_run_plants_the_next_does_not_find(executor: Executor) -> None:
    assert executor.execute(PLANT)["status"] == "ok"
    assert executor.execute(LOOK)["result"] == []


def test_after_all_attacks_the_next_run_works_and_nothing_is_left(
    executor: Executor, attacked: dict[str, Future[Came]]
) -> None:
    for came in attacked.values():
        came.result()
    assert executor.execute("1 + 1")["result"] == 2
    owner = executor.owner()
    executor.wait(lambda: sorted(boxes(owner)) == sorted(boxes(owner, state="running")), SETTLE_SECONDS)
    executor.wait(lambda: len(boxes(owner)) <= 2 * POOL, SETTLE_SECONDS)
    assert volumes(owner) == []
    assert list(Path("/dev/shm").glob("*planted*")) == []
    with executor.client() as client:
        assert client.get("/executions").json() == {"executions": []}


@pytest.mark.timeout(60 + SOAK_RUNS)
def test_many_runs_leave_the_executor_as_it_was(executor: Executor) -> None:
    """`SANDGATE_SOAK_RUNS` sets how many (150)."""
    third = max(1, SOAK_RUNS // 3)
    held = []
    for _ in range(3):
        with ThreadPoolExecutor(AT_A_TIME) as threads:
            answers = list(threads.map(lambda number: executor.execute(f"print({number})\n{number}"), range(third)))
        assert [answer["result"] for answer in answers] == list(range(third))
        held.append(settled(executor))
    first, _, last = held
    # The engine's threads come as they are needed, each with a connection of its own.
    assert last.threads <= THREADS + 2, held
    assert last.descriptors <= first.descriptors + 2 * (last.threads - first.threads) + 2, held
    # What grows by a box's frames or an answer for each run would be far above this.
    assert last.memory_mb <= first.memory_mb + 2 + 0.01 * third, held


def settled(executor: Executor) -> Held:
    """Wait until the pool is as it should be, and tell what the executor holds."""
    executor.wait(lambda: is_at_rest(executor), SETTLE_SECONDS)
    time.sleep(0.3)
    process = Path(f"/proc/{executor.process.pid}")
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    return Held(
        descriptors=len(list((process / "fd").iterdir())),
        threads=int(status["Threads"]),
        memory_mb=int(status["VmRSS"].split()[0]) / 1024,
    )


def is_at_rest(executor: Executor) -> bool:
    pool = executor.health()["pool"]["base"]
    return pool["ready"] == pool["target"] == len(boxes(executor.owner()))


def volumes(owner: str) -> list[str]:
    """The volumes that bear an owner's label."""
    listed = subprocess.run(
        ["docker", "volume", "ls", "--quiet", "--filter", f"label={owner}"], check=True, capture_output=True, text=True
    )
    return listed.stdout.split()
