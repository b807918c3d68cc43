"""Who is let in, judged before a body is read."""

import socket
import time
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt
import pytest

from executor.api.guard import read_token
from executor.errors import Unauthorized
from tests.executor.conftest import SECRET, Executor


def token(key: str = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    given = {"aud": "executor", "sub": "ann", "exp": int(time.time()) + 60} | claims
    return jwt.encode({name: value for name, value in given.items() if value is not None}, key, algorithm)


def test_a_good_token_tells_the_user() -> None:
    assert read_token(token(), SECRET) == "ann"
    assert read_token(token(aud=["executor", "other"]), SECRET) == "ann"


def test_clocks_may_be_a_little_apart() -> None:
    assert read_token(token(exp=int(time.time()) - 2), SECRET) == "ann"
    assert read_token(token(exp=int(time.time()) + 63), SECRET) == "ann"


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "x",
        "a.b.c",
        token(key="another secret that is long enough too"),
        token(key="", algorithm="none"),
        token(key=SECRET * 2, algorithm="HS512"),
        token(aud="gateway"),
        token(aud=None),
        token(sub=None),
        token(sub=""),
        token(exp=None),
        token(exp=int(time.time()) - 60),
        token(exp=int(time.time()) + 3600),
        token(nbf=int(time.time()) + 600),
    ],
)
def test_any_other_token_is_refused(bad: str) -> None:
    with pytest.raises(Unauthorized):
        read_token(bad, SECRET)


@pytest.mark.docker
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/execute"),
        ("GET", "/executions"),
        ("DELETE", "/executions/x"),
        ("GET", "/limits"),
        ("GET", "/nowhere"),
        ("POST", "/health"),
    ],
)
def test_without_a_token_nothing_is_told_but_health_and_metrics(executor: Executor, method: str, path: str) -> None:
    answer = httpx.request(method, f"{executor.url}{path}")
    assert (answer.status_code, answer.json()["error"]) == (401, "Unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert httpx.get(f"{executor.url}/health").status_code == 200
    assert httpx.get(f"{executor.url}/metrics").status_code == 200


@pytest.mark.docker
def test_a_body_is_not_waited_for_before_the_token_is_judged(executor: Executor) -> None:
    address = urlsplit(executor.url)
    with socket.create_connection((address.hostname, address.port), timeout=5) as connection:
        connection.sendall(
            b"POST /execute HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 401 ")
