"""A real executor as a process of its own, on a free port, with real sandboxes."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from tests.conftest import free_port
from tests.pacing import PATIENCE
from tests.secret_watch import MARK, watch

SECRET = f"{MARK} of the two services, long enough"
ROOT = Path(__file__).resolve().parents[2]
BASE_IMAGE = os.environ.get("SANDGATE_TEST_IMAGE", "sandgate-sandbox:base")
READY_SECONDS = 50.0  # the self-test alone takes a box for each of the controls


@dataclass
class Executor:
    """A running executor, as the gateway sees it."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def token(self, user: str = "ann", **claims: Any) -> str:
        return jwt.encode({"aud": "executor", "sub": user, "exp": int(time.time()) + 55} | claims, SECRET, "HS256")

    def client(self, user: str = "ann") -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=60, headers={"authorization": f"Bearer {self.token(user)}"})

    def execute(self, code: str, *, user: str = "ann", **fields: Any) -> dict[str, Any]:
        with self.client(user) as client:
            answer = client.post("/execute", json={"code": code, **fields})
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def begin(self, threads: ThreadPoolExecutor, *codes: str, user: str = "ann", **fields: Any) -> list[Future[Any]]:
        """Run codes that write something at once, side by side; their answers to come, once all have written."""
        begun = [threading.Event() for _ in codes]
        fields = {**fields, "stream": True}
        runs = [
            threads.submit(self._stream, user, {"code": code, **fields}, event)
            for code, event in zip(codes, begun, strict=True)
        ]
        for event, run in zip(begun, runs, strict=True):
            assert event.wait(PATIENCE), run.result() if run.done() else self.log.read_text()
        return runs

    def _stream(self, user: str, job: dict[str, Any], begun: threading.Event) -> dict[str, Any]:
        body: dict[str, Any] = {}
        with self.client(user) as client, client.stream("POST", "/execute", json=job) as answer:
            assert answer.status_code == 200, answer.read()
            for line in answer.iter_lines():
                if line == "event: stdout":
                    begun.set()
                elif line.startswith("data: "):
                    body = json.loads(line.removeprefix("data: "))
        return body

    def wait(self, done: Callable[[], object], seconds: float = READY_SECONDS) -> None:
        """Wait until `done()` is true."""
        deadline = time.monotonic() + seconds
        while not done():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def health(self) -> dict[str, Any]:
        try:
            body: dict[str, Any] = httpx.get(
                f"{self.url}/health", headers={"accept": "application/json"}, timeout=PATIENCE
            ).json()
        except httpx.TransportError:
            return {}
        return body

    def owner(self) -> str:
        """The label that all its boxes bear; it must be healthy."""
        return f"sandgate.owner={self.health()['engine']['owner']}"


def boxes(owner: str, *, state: str | None = None) -> list[str]:
    """The names of all boxes of an owner, or of those in one state."""
    filters = ["--filter", f"label={owner}"] + (["--filter", f"status={state}"] if state else [])
    listed = subprocess.run(
        ["docker", "ps", "--all", "--format", "{{.Names}}", *filters], check=True, capture_output=True, text=True
    )
    return listed.stdout.split()


@contextmanager
def running(folder: Path, *, ready: bool = True, **environment: str) -> Iterator[Executor]:
    """Run `python -m executor` with this environment beside what every test wants."""
    port = int(environment.get("EXECUTOR_PORT", free_port()))
    log = folder / f"executor-{port}.log"
    settings = {
        "EXECUTOR_PORT": str(port),
        "EXECUTOR_SECRET": SECRET,
        "SANDBOX_IMAGES": f"base={BASE_IMAGE}",
        "POOL_SIZE": "base=2",
    }
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "DOCKER_HOST", "TMPDIR") if name in os.environ}
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "executor"], cwd=ROOT, env=kept | settings | environment, stderr=output
        )
    executor = Executor(f"http://127.0.0.1:{port}", process, log)
    try:
        executor.wait(lambda: executor.health().get("status") == "healthy" if ready else executor.health())
        yield executor
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(timeout=45)
        watch.search("the executor's log", log.read_bytes())


@pytest.fixture(scope="session")
def executor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Executor]:
    """An executor that all tests share which do not stop or fill it."""
    with running(tmp_path_factory.mktemp("executor")) as started:
        yield started
