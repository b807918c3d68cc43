"""The pool over HTTP and a real engine: ready boxes, healing, bursts, and an engine that goes away."""

import collections
import concurrent.futures
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from tests.executor.conftest import Executor, boxes, running

pytestmark = pytest.mark.docker


def ready(executor: Executor) -> int:
    count: int = executor.health()["pool"]["base"]["ready"]
    return count


def test_a_run_takes_a_ready_box_and_the_pool_is_filled_again(executor: Executor) -> None:
    executor.wait(lambda: ready(executor) >= 2)
    before = set(boxes(executor.owner()))
    answer = executor.execute("1")
    assert answer["sandbox"]["warm"] is True
    executor.wait(lambda: ready(executor) >= 2)
    executor.wait(lambda: len(before & set(boxes(executor.owner()))) < len(before))


def test_boxes_that_die_unused_are_never_handed_out_and_are_replaced(executor: Executor) -> None:
    executor.wait(lambda: ready(executor) >= 2)
    killed = boxes(executor.owner(), state="running")
    subprocess.run(["docker", "kill", *killed], check=False, capture_output=True)  # some may be on their way out
    assert executor.execute("1 + 1")["result"] == 2
    executor.wait(lambda: ready(executor) >= 2 and not set(killed) & set(boxes(executor.owner())))


def test_without_a_pool_every_run_makes_its_own_box(tmp_path: Path) -> None:
    with running(tmp_path, POOL_SIZE="base=0") as executor:
        owner = executor.owner()
        answer = executor.execute("1 + 1")
        assert (answer["result"], answer["sandbox"]["warm"]) == (2, False)
        executor.wait(lambda: not boxes(owner))


def test_a_burst_is_answered_or_refused_and_never_a_pile_of_containers(tmp_path: Path) -> None:
    limits = {"MAX_CONCURRENT": "3", "MAX_QUEUE": "6", "POOL_SIZE": "base=2"}
    with running(tmp_path, **limits) as executor, concurrent.futures.ThreadPoolExecutor(40) as threads:
        owner = executor.owner()
        fields = {"code": "import time; time.sleep(0.6)"}
        with httpx.Client(base_url=executor.url, headers={"authorization": f"Bearer {executor.token()}"}) as client:
            runs = [threads.submit(client.post, "/execute", json=fields, timeout=60) for _ in range(40)]
            most = 0
            while not all(run.done() for run in runs):
                most = max(most, len(boxes(owner)))
        answers = [run.result() for run in runs]
        statuses = collections.Counter(answer.status_code for answer in answers)
        assert statuses[200] >= 9
        assert statuses[200] + statuses[429] == 40
        assert all(answer.json()["status"] == "ok" for answer in answers if answer.status_code == 200)
        refused = [answer for answer in answers if answer.status_code == 429]
        assert refused[0].json()["code"] == "queue_full"
        assert int(refused[0].headers["retry-after"]) > 0
        # Running, being removed, ready, being made: each is bounded.
        assert most <= 3 + 3 + 4 + 2
        executor.wait(lambda: len(boxes(owner)) <= 4)


def test_whoever_waits_too_long_is_told_so(tmp_path: Path) -> None:
    limits = {"MAX_CONCURRENT": "1", "QUEUE_SECONDS": "0.2"}
    with running(tmp_path, **limits) as executor, concurrent.futures.ThreadPoolExecutor() as threads:
        [run] = executor.begin(threads, "print('begun', flush=True)\nimport time; time.sleep(2)")
        with executor.client() as client:
            late = client.post("/execute", json={"code": "1"})
        assert (late.status_code, late.json()["code"]) == (503, "queue_timeout")
        assert run.result()["status"] == "ok"


class Road:
    """The way to the engine: a socket that passes bytes on both ways, and can be closed and opened again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._listener: socket.socket | None = None
        self._open: list[socket.socket] = []

    def open(self) -> None:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self.path))
        listener.listen(100)
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def close(self) -> None:
        assert self._listener is not None
        self.path.unlink()
        for end in (self._listener, *self._open):
            hang_up(end)
        self._open.clear()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            far.connect("/var/run/docker.sock")
            self._open += [near, far]
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=pump, args=(source, target), daemon=True).start()


def pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    hang_up(source)
    hang_up(target)


def hang_up(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()


@contextmanager
def road() -> Iterator[Road]:
    # A socket's path has to be short.
    folder = Path("/tmp") / f"sandgate-road-{time.monotonic_ns()}"
    folder.mkdir()
    way = Road(folder / "engine.sock")
    way.open()
    try:
        yield way
    finally:
        if way.path.exists():
            way.close()
        shutil.rmtree(folder)


def test_an_engine_that_goes_away_and_comes_back_is_served_from_again(tmp_path: Path) -> None:
    with road() as way, running(tmp_path, DOCKER_HOST=f"unix://{way.path}") as executor:
        assert executor.execute("1 + 1")["result"] == 2
        owner = executor.owner()
        before = set(boxes(owner))
        way.close()
        executor.wait(lambda: executor.health()["status"] == "unhealthy")
        with executor.client() as client:
            refused = client.post("/execute", json={"code": "1"})
        assert (refused.status_code, refused.json()["code"]) == (503, "sandbox_unavailable")
        way.open()
        executor.wait(lambda: executor.health()["status"] == "healthy")
        assert executor.execute("2 + 2")["result"] == 4
        executor.wait(lambda: ready(executor) >= 1 and not before & set(boxes(owner)))
