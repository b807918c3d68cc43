"""Hostile heads over real connections: what is said twice, in another place, or not as HTTP has it, lets nobody in."""

import asyncio
import json
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from typing import Any

import httpx
import jwt
import pytest

from tests.gateway.serving import GATEWAY_KEY, gateway
from tests.secret_watch import MARK

pytestmark = pytest.mark.anyio

SECRET = f"{MARK}-of-the-tokens-more-than-32-bytes"
BODY = json.dumps({"type": "chat", "model": "stub", "messages": [{"role": "user", "content": "hi"}]})
GOOD = f"authorization: Bearer {GATEWAY_KEY}"


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def guarded(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[httpx.AsyncClient]:
    folder = tmp_path_factory.mktemp("guarded")
    async with gateway(folder, "--enable-auth", "-k", GATEWAY_KEY, JWT_SECRET=SECRET) as client:
        yield client


async def ask(
    at: httpx.AsyncClient, *lines: str, method: str = "POST", path: str = "/llm"
) -> tuple[int, dict[str, str]]:
    """Send a head as it stands, and give the answer's status and headers."""
    reader, writer = await asyncio.open_connection(at.base_url.host, at.base_url.port)
    length = [f"content-length: {len(BODY)}", "content-type: application/json"] if method == "POST" else []
    head = [f"{method} {path} HTTP/1.1", "host: localhost", "connection: close", *length, *lines]
    writer.write("\r\n".join([*head, "", BODY if method == "POST" else ""]).encode("latin-1"))
    try:
        first, *rest = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    finally:
        writer.close()
    return int(first.split(" ")[1]), {name: value for name, _, value in (line.partition(": ") for line in rest)}


def part(content: dict[str, Any]) -> str:
    return urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


def token(algorithm: str = "HS256", key: str = SECRET, header: dict[str, Any] | None = None, **claims: Any) -> str:
    told = {"sub": "ann", "exp": 2**33, **claims}
    told = {name: value for name, value in told.items() if value is not None}
    return f"authorization: Bearer {jwt.encode(told, key, algorithm, headers=header)}"


HOSTILE = {
    "nothing": [],
    "a list": [f"authorization: Bearer x, Bearer {GATEWAY_KEY}"],
    "two that differ": [GOOD, "authorization: Bearer x"],
    "two that differ, the good one last": ["authorization: Bearer x", GOOD],
    "two keys that differ": [f"x-api-key: {GATEWAY_KEY}", "x-api-key: x"],
    "a bad bearer before a good key": ["authorization: Bearer x", f"x-api-key: {GATEWAY_KEY}"],
    "a tab for the blank": [f"authorization: Bearer\t{GATEWAY_KEY}"],
    "an underscore": [f"x_api_key: {GATEWAY_KEY}"],
    "a header of Gemini's elsewhere": [f"x-goog-api-key: {GATEWAY_KEY}"],
    "the provider's header": [f"x-provider-authorization: Bearer {GATEWAY_KEY}"],
    "a cookie": [f"cookie: authorization=Bearer {GATEWAY_KEY}"],
    "a proxy's word": ["x-forwarded-user: admin", f"proxy-authorization: Bearer {GATEWAY_KEY}"],
    "a letter that is not ASCII": ["authorization: Bearer sk-\xe4"],
    "alg none": [f"authorization: Bearer {part({'alg': 'none'})}.{part({'sub': 'a', 'exp': 2**33})}."],
    "another algorithm": [token("HS384", SECRET * 2)],
    "another secret": [token(key="x" * 32)],
    "a key from elsewhere": [token(key="x" * 32, header={"jku": "http://127.0.0.1:9/", "kid": "../../x"})],
    "expired": [token(exp=1)],
    "not yet valid": [token(nbf=2**33 - 1)],
    "no end": [token(exp=None)],
    "an end in words": [token(exp="2200000000")],
    "nobody": [token(sub=None)],
    "scope as a number": [token(scope=5)],
    "cut": [token()[:-5]],
    "huge": [f"authorization: Bearer {'a' * 15_000}"],
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_head_is_401_and_no_more(guarded: httpx.AsyncClient, name: str) -> None:
    status, headers = await ask(guarded, *HOSTILE[name])
    assert status == 401
    assert headers["www-authenticate"] == "Bearer"
    assert headers["x-request-id"]


@pytest.mark.parametrize(
    "lines",
    [
        [GOOD, "transfer-encoding: chunked"],
        [GOOD, "content-length: 5"],
        ["authorization: Bearer", f" {GATEWAY_KEY}"],
        [f"authorization : Bearer {GATEWAY_KEY}"],
    ],
)
async def test_what_is_not_http_is_400(guarded: httpx.AsyncClient, lines: list[str]) -> None:
    assert (await ask(guarded, *lines))[0] == 400


@pytest.mark.parametrize(
    "lines",
    [
        [GOOD],
        [GOOD, GOOD],
        [GOOD.replace("authorization: Bearer", "AUTHORIZATION:  bEARER")],
        [GOOD, "x-api-key: other"],
        [f"x-api-key: {GATEWAY_KEY}"],
        ["authorization: Basic eDp5", f"x-api-key: {GATEWAY_KEY}"],
        [token()],
    ],
)
async def test_what_clients_really_send_is_let_in(guarded: httpx.AsyncClient, lines: list[str]) -> None:
    assert (await ask(guarded, *lines))[0] == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"/v1/models?key={GATEWAY_KEY}", 401),
        (f"/gemini/v1beta/models?key=x&key={GATEWAY_KEY}", 401),
        (f"/v1/models?x=/gemini/&key={GATEWAY_KEY}", 401),
        (f"/v1/../gemini/v1beta/models?key={GATEWAY_KEY}", 401),
        (f"/gemini/v1beta/models?key={GATEWAY_KEY}", 400),  # let in, and told that the provider has no key
    ],
)
async def test_a_key_in_the_query_counts_on_geminis_paths_only(
    guarded: httpx.AsyncClient, path: str, status: int
) -> None:
    assert (await ask(guarded, method="GET", path=path))[0] == status
