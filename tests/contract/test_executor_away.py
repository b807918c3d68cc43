"""API.md 3.7 from outside: an executor that is away, or that takes the connection and says nothing."""

import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.gateway.serving import NOBODY, gateway
from tests.pacing import at_some_pace

pytestmark = pytest.mark.anyio

ASKED = [
    ("GET", "/execute/limits"),
    ("HEAD", "/execute/limits"),
    ("GET", "/executions"),
    ("DELETE", "/executions/exec_1"),
]


@pytest.fixture
async def mute() -> AsyncIterator[str]:
    """The address of a server that takes connections and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize(("method", "path"), [*ASKED, ("POST", "/execute")])
async def test_an_executor_that_is_away_is_503_at_once(method: str, path: str, tmp_path: Path) -> None:
    async with gateway(tmp_path, EXECUTOR_URL=NOBODY) as client:

        async def ask(_pace: float) -> None:
            began = time.monotonic()
            answer = await client.request(method, path, json={"code": "1"} if method == "POST" else None)
            assert time.monotonic() - began < 2
            assert answer.status_code == 503
            if method != "HEAD":
                assert (answer.json()["error"], answer.json()["code"]) == (
                    "Service Unavailable",
                    "executor_unreachable",
                )

        await at_some_pace(ask)


@pytest.mark.parametrize(("method", "path"), ASKED)
async def test_an_executor_that_says_nothing_is_503_soon(method: str, path: str, mute: str, tmp_path: Path) -> None:
    async with gateway(tmp_path, EXECUTOR_URL=mute) as client:
        answer = await client.request(method, path, timeout=8)
    assert answer.status_code == 503
    if method != "HEAD":
        assert answer.json()["code"] == "executor_unreachable"
