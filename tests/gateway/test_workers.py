"""Serving for real: signals, ports, workers, with a small app in the place of the gateway's."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import free_port
from tests.pacing import PATIENCE

APP = """
import asyncio, os, signal, sys
from pathlib import Path
from gateway.__main__ import serve
from gateway.configuration import load
from gateway.access.quotas import Quotas
from sanic import Request, Sanic, response

class Asked(Request):
    __slots__ = ("findings",)  # the server that is tested here keeps what the guard found there

class StandIn(Sanic):
    def set_serving(self, serving):
        super().set_serving(serving)
        if serving and os.environ.get("STOP_AT") == "first turn":
            os.kill(os.getpid(), signal.SIGTERM)

def create_app(settings):
    app = StandIn("stand-in", request_class=Asked)
    app.config.GRACEFUL_SHUTDOWN_TIMEOUT = 100
    quotas = Quotas(settings.limits)

    @app.get("/pid")
    async def pid(request):
        return response.text(str(os.getpid()))

    @app.get("/stream")
    async def stream(request):
        answer = await request.respond(content_type="text/plain")
        for number in range(10):
            await answer.send(f"{number}\\n")
            while not Path("go-on").exists():
                await asyncio.sleep(0.02)

    @app.get("/limited")
    async def limited(request):
        allowance = await quotas.hit("requests", "alice")
        return response.text("", status=200 if allowance.allowed else 429)

    if os.environ.get("STOP_AT") == "start":
        @app.after_server_start
        async def stop_early(app):
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(0.2)

    return app

sys.exit(serve(load(sys.argv[1:], os.environ, Path(".")), create_app))
"""

# One for all: making a client costs more than what is tested here. It keeps no connection open.
CLIENT = httpx.Client(trust_env=False, limits=httpx.Limits(max_keepalive_connections=0), timeout=PATIENCE)

pytestmark = pytest.mark.timeout(180)

Start = Callable[..., tuple[subprocess.Popen[str], str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start the small app with options; gives the process and its URL once it answers."""
    script = tmp_path / "stand_in.py"
    script.write_text(APP)
    running: list[subprocess.Popen[str]] = []

    def start_one(*options: str, **environ: str) -> tuple[subprocess.Popen[str], str]:
        port = free_port()
        process = subprocess.Popen(
            [sys.executable, str(script), "--port", str(port), *options],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "TMPDIR": str(tmp_path), "PYTHONPATH": str(Path.cwd()), **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: answers(url) or process.poll() is not None)
        return process, url

    yield start_one
    for process in running:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
        process.communicate()


def answers(url: str) -> bool:
    try:
        return CLIENT.get(f"{url}/pid").status_code == 200
    except httpx.HTTPError:
        return False


def refuses(url: str) -> bool:
    """Whether nobody takes connections any more."""
    try:
        CLIENT.get(f"{url}/pid")
    except httpx.ConnectError:
        return True
    except httpx.HTTPError:
        pass
    return False


def wait_for(done: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def pids(url: str, count: int = 40) -> set[int]:
    return {int(CLIENT.get(f"{url}/pid").text) for _ in range(count)}


@pytest.mark.parametrize("workers", ["1", "2"])
def test_sigterm_lets_a_running_stream_finish_takes_nothing_new_and_exits_0(
    start: Start, tmp_path: Path, workers: str
) -> None:
    process, url = start("--workers", workers)
    with CLIENT.stream("GET", f"{url}/stream") as answer:
        lines = answer.iter_lines()
        first = next(lines)
        process.send_signal(signal.SIGTERM)
        wait_for(lambda: refuses(url))
        (tmp_path / "go-on").touch()
        rest = list(lines)
    assert [first, *rest] == [str(number) for number in range(10)]
    assert process.wait(PATIENCE) == 0


def test_a_client_that_keeps_its_connection_open_does_not_hold_up_the_end(start: Start, tmp_path: Path) -> None:
    process, url = start()
    with httpx.Client(trust_env=False) as keeping:
        keeping.get(f"{url}/pid")
        with keeping.stream("GET", f"{url}/stream") as answer:
            lines = answer.iter_lines()
            next(lines)
            process.send_signal(signal.SIGTERM)
            wait_for(lambda: refuses(url))
            (tmp_path / "go-on").touch()
            assert len(list(lines)) == 9
        assert process.wait(PATIENCE) == 0  # it may take as long as GRACEFUL_SHUTDOWN_TIMEOUT for a running request
    assert process.communicate()[1].count("\n") == 7


@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_ends_it_in_order(start: Start, workers: str) -> None:
    process, _ = start("--workers", workers)
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE) == 0
    assert "Traceback" not in process.communicate()[1]


@pytest.mark.parametrize("moment", ["start", "first turn"])
def test_a_signal_that_comes_while_it_starts_is_not_lost(start: Start, moment: str) -> None:
    process, _ = start(STOP_AT=moment)
    assert process.wait(PATIENCE) == 0
    assert "Traceback" not in process.communicate()[1]


@pytest.mark.parametrize(("workers", "number"), [("1", signal.SIGINT), ("1", signal.SIGTERM), ("2", signal.SIGTERM)])
def test_a_second_signal_ends_it_at_once(start: Start, workers: str, number: signal.Signals) -> None:
    process, url = start("--workers", workers)
    with CLIENT.stream("GET", f"{url}/stream") as answer:
        pieces = answer.iter_bytes()
        next(pieces)
        process.send_signal(number)
        wait_for(lambda: refuses(url))
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.2)
        process.send_signal(number)
        assert process.wait(PATIENCE) != 0  # by itself it would wait for the stream, which does not end
        with pytest.raises(httpx.HTTPError):
            list(pieces)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_port_in_use_is_one_line_and_status_1(start: Start, tmp_path: Path, workers: str) -> None:
    _, url = start("--workers", workers)
    port = url.rpartition(":")[2]
    second = subprocess.run(
        [sys.executable, str(tmp_path / "stand_in.py"), "--port", port, "--workers", workers],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(Path.cwd())},
    )
    assert second.returncode == 1
    assert second.stderr.splitlines() == [
        f"sandgate-gateway: port {port} is in use on 127.0.0.1; choose another with --port (GATEWAY_PORT)"
    ]


def test_all_workers_serve_and_one_that_dies_is_replaced(start: Start) -> None:
    _, url = start("--workers", "2")
    wait_for(lambda: len(pids(url)) == 2)
    before = pids(url)
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: len(pids(url) - {victim}) == 2)
    assert len(pids(url) & before) == 1


def test_workers_end_with_a_parent_that_was_killed_and_leave_the_port_free(start: Start) -> None:
    process, url = start("--workers", "2")
    wait_for(lambda: len(pids(url)) == 2)
    workers = pids(url)
    process.kill()
    wait_for(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", int(url.rpartition(":")[2])))


def test_with_four_workers_exactly_the_limit_passes(start: Start) -> None:
    _, url = start("--workers", "4", RATE_LIMIT="60/minute")
    wait_for(lambda: len(pids(url)) == 4)
    statuses = [CLIENT.get(f"{url}/limited").status_code for _ in range(200)]
    assert statuses == [200] * 60 + [429] * 140


def test_nothing_is_left_in_the_temporary_folder(start: Start, tmp_path: Path) -> None:
    process, _ = start("--workers", "2")
    assert list(tmp_path.glob("sandgate-gateway-*"))
    process.send_signal(signal.SIGTERM)
    process.wait(PATIENCE)
    assert not list(tmp_path.glob("sandgate-gateway-*"))


def test_the_start_says_url_and_auth_once(start: Start) -> None:
    process, url = start("--workers", "2")
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=PATIENCE)
    assert said.count(f"Sandgate gateway at {url}") == 1
    assert said.count("auth       off") == 1
