"""Who may do what: every route is decided about, and what is refused is refused before the body is read."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import jwt
import pytest

from gateway.api.guard import Access
from gateway.api.origins import is_local_host
from gateway.app import create_app
from gateway.configuration import load
from tests.gateway.serving import gateway
from tests.pacing import PATIENCE
from tests.secret_watch import MARK

pytestmark = pytest.mark.anyio

KEY = f"sk-the-{MARK}"
SECRET = f"{MARK}, a secret of at least thirty-two bytes"
CHAT = {"type": "chat", "model": "stub", "messages": [{"role": "user", "content": "hi"}]}

#: what everybody may see, whatever the settings (API.md 1.5)
OPEN_TO_EVERYONE = {"/health", "/healthz", "/metrics", "/api/ping"}
#: static files without data
OPEN_TO_EVERYONE |= {"/", "/static/<path:path>", "/docs", "/redoc", "/openapi.json"}


def bearer(**claims: object) -> dict[str, str]:
    return {"authorization": "Bearer " + jwt.encode({"sub": "ann", "exp": time.time() + 60, **claims}, SECRET, "HS256")}


async def test_every_route_is_decided_about_and_few_are_open(tmp_path: Path) -> None:
    routes = create_app(load([], {}, tmp_path)).router.routes
    undecided = {route.path for route in routes if not isinstance(getattr(route.ctx, "access", None), Access)}
    unguarded = {route.path for route in routes if route.handler.__qualname__ != "_guarded.<locals>.handle"}
    open_routes = {"/" + route.path.lstrip("/") for route in routes if route.ctx.access.scope is None}
    assert undecided == unguarded == set()
    assert open_routes == OPEN_TO_EVERYONE


async def test_without_auth_no_credential_is_wanted(tmp_path: Path) -> None:
    async with gateway(tmp_path) as client:
        assert (await client.post("/llm", json=CHAT)).status_code == 200


async def test_a_key_turns_auth_on_and_lets_its_holder_in(tmp_path: Path) -> None:
    async with gateway(tmp_path, "--key", KEY) as client:
        none = await client.post("/llm", json=CHAT)
        wrong = await client.post("/llm", json=CHAT, headers={"authorization": "Bearer sk-another"})
        right = await client.post("/llm", json=CHAT, headers={"authorization": f"bearer {KEY}"})
        other_way = await client.post("/llm", json=CHAT, headers={"x-api-key": KEY})
        admin = await client.post("/v1/models/refresh", json={}, headers={"authorization": f"Bearer {KEY}"})
    assert [none.status_code, wrong.status_code, right.status_code, other_way.status_code] == [401, 401, 200, 200]
    assert admin.status_code != 401
    for refused in (none, wrong):
        assert refused.headers["www-authenticate"] == "Bearer"
        assert refused.json()["error"] == "Unauthorized"
        assert "sk-" not in refused.text


async def test_a_token_ends_on_the_connection_and_with_the_head_that_it_was_good_on(tmp_path: Path) -> None:
    async with gateway(tmp_path, JWT_SECRET=SECRET, ENABLE_AUTH="true") as client:
        short, long = bearer(exp=time.time() + 1.5), bearer()
        async with asyncio.timeout(PATIENCE):
            statuses = [(await client.post("/llm", json=CHAT, headers=short)).status_code]
            while statuses[-1] == 200:
                statuses.append((await client.post("/llm", json=CHAT, headers=short)).status_code)
                await asyncio.sleep(0.05)
        again = await client.post("/llm", json=CHAT, headers=short)
        other = await client.post("/llm", json=CHAT, headers=long)
    assert len(statuses) > 2
    assert [statuses[-1], again.status_code, other.status_code] == [401, 401, 200]


@pytest.mark.parametrize("size", [5_000, 17_000])
async def test_a_token_of_any_size_that_is_none_is_unauthorized(tmp_path: Path, size: int) -> None:
    async with gateway(tmp_path, JWT_SECRET=SECRET, ENABLE_AUTH="true") as client:
        huge = await client.post("/llm", json=CHAT, headers={"authorization": "Bearer " + "a" * size})
        after = await client.post("/llm", json=CHAT, headers=bearer())
    assert (huge.status_code, after.status_code) == (401, 200)


async def test_a_token_lets_in_as_far_as_its_scopes(tmp_path: Path) -> None:
    async with gateway(tmp_path, "--enable-auth", JWT_SECRET=SECRET) as client:
        plain = await client.post("/llm", json=CHAT, headers=bearer())
        narrow = await client.post("/llm", json=CHAT, headers=bearer(scope="execute"))
        listed = await client.post("/llm", json=CHAT, headers=bearer(scope=["llm"]))
        no_admin = await client.post("/v1/models/refresh", json={}, headers=bearer())
        admin = await client.post("/v1/models/refresh", json={}, headers=bearer(scope="admin"))
        admin_chat = await client.post("/llm", json=CHAT, headers=bearer(scope="admin"))
        expired = await client.post("/llm", json=CHAT, headers=bearer(exp=time.time() - 60))
        open_one = await client.get("/healthz")
    assert [plain.status_code, listed.status_code, admin.status_code, open_one.status_code] == [200, 200, 200, 200]
    assert [narrow.status_code, no_admin.status_code, admin_chat.status_code] == [403, 403, 403]
    assert narrow.json()["error"] == "Forbidden"
    assert expired.status_code == 401


async def test_a_credential_with_models_reaches_only_those(tmp_path: Path) -> None:
    async with gateway(tmp_path, "--enable-auth", JWT_SECRET=SECRET) as client:
        inside = await client.post("/llm", json=CHAT, headers=bearer(models=["stub*"]))
        outside = await client.post("/llm", json=CHAT, headers=bearer(models=["gpt-*"]))
    assert [inside.status_code, outside.status_code] == [200, 403]


async def test_what_is_refused_is_refused_before_its_body_is_read(tmp_path: Path) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(100_000):
            sent += 1
            yield b" " * 1024

    async with gateway(tmp_path, "--key", KEY) as client:
        try:
            answer = await client.post("/llm", content=endless(), headers={"content-type": "application/json"})
        except (httpx.WriteError, httpx.ReadError):
            answer = None
    assert answer is None or answer.status_code == 401
    assert sent < 50_000


async def test_over_the_limit_is_429_with_all_that_a_client_needs(tmp_path: Path) -> None:
    async with gateway(tmp_path, RATE_LIMIT="3/minute") as client:
        answers = [await client.post("/llm", json=CHAT) for _ in range(4)]
        free = await client.get("/health")
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["ratelimit-remaining"] for answer in answers] == ["2", "1", "0", "0"]
    assert all(answer.headers["ratelimit-limit"] == "3" for answer in answers)
    assert 0 < int(answers[3].headers["retry-after"]) <= 60
    assert answers[3].json()["error"] == "Rate limit exceeded"
    assert "ratelimit-limit" not in free.headers


async def test_each_user_has_a_limit_of_their_own_and_executions_another(tmp_path: Path) -> None:
    async with gateway(tmp_path, "--enable-auth", JWT_SECRET=SECRET, RATE_LIMIT="1/minute") as client:
        ann = [(await client.post("/llm", json=CHAT, headers=bearer())).status_code for _ in range(2)]
        bob = await client.post("/llm", json=CHAT, headers=bearer(sub="bob"))
        run = await client.post("/execute", json={"code": "1"}, headers=bearer())
    assert ann == [200, 429]
    assert bob.status_code == 200
    assert run.status_code == 503  # nobody listens there; what matters is that it is not 429


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", True), ("127.0.0.1", True), ("[::1]", True), ("gateway", True), ("mac.local", True),
        ("x.localhost", True), ("host.docker.internal", True), ("10.0.0.7", True), ("evil.example.com", False),
        ("127.0.0.1.evil.com", False), ("localhost.evil.com", False), ("evil.com.", False),
    ],
)  # fmt: skip
async def test_a_host_name_that_could_be_rebound_is_known_by_its_dots(host: str, local: bool) -> None:
    assert is_local_host(host) is local


async def test_a_rebound_name_is_refused_with_auth_off_unless_allowed(tmp_path: Path) -> None:
    evil = {"host": "evil.example.com"}
    async with gateway(tmp_path) as client:
        refused = await client.post("/llm", json=CHAT, headers=evil)
    async with gateway(tmp_path, ALLOWED_HOSTS="evil.example.com") as client:
        allowed = await client.post("/llm", json=CHAT, headers=evil)
    async with gateway(tmp_path, "--key", KEY) as client:
        with_auth = await client.post("/llm", json=CHAT, headers={**evil, "x-api-key": KEY})
    assert [refused.status_code, allowed.status_code, with_auth.status_code] == [403, 200, 200]


async def test_a_web_page_from_elsewhere_cannot_use_an_open_gateway(tmp_path: Path) -> None:
    async with gateway(tmp_path) as client:
        elsewhere = await client.post("/llm", json=CHAT, headers={"origin": "https://evil.example"})
        preflight = await client.options("/llm", headers={"origin": "https://evil.example"})
        here = await client.post("/llm", json=CHAT, headers={"origin": "http://localhost:8888"})
        here_first = await client.options(
            "/llm",
            headers={
                "origin": "http://localhost:8888",
                "access-control-request-method": "POST",
                "access-control-request-headers": "content-type",
            },
        )
    assert elsewhere.status_code == 403
    assert "access-control-allow-origin" not in elsewhere.headers
    assert "access-control-allow-origin" not in preflight.headers
    assert here.headers["access-control-allow-origin"] == "http://localhost:8888"
    assert here_first.status_code == 204
    assert "POST" in here_first.headers["access-control-allow-methods"]
    assert here_first.headers["access-control-allow-headers"] == "content-type"


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://127.5.5.5:1", 200), ("http://[::1]:80", 200), ("https://a.localhost", 200),
        ("http://127.evil.example", 403), ("http://128.0.0.1", 403), ("http://[::2]", 403), ("null", 403),
    ],
)  # fmt: skip
async def test_pages_of_this_machine_are_known_by_every_address_it_has_for_itself(
    tmp_path: Path, origin: str, status: int
) -> None:
    async with gateway(tmp_path) as client:
        assert (await client.get("/v1/models", headers={"origin": origin})).status_code == status


async def test_with_auth_on_any_page_may_ask_and_the_credential_decides(tmp_path: Path) -> None:
    async with gateway(tmp_path, "--key", KEY) as client:
        answer = await client.post(
            "/llm", json=CHAT, headers={"origin": "https://app.example", "authorization": f"Bearer {KEY}"}
        )
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"


async def test_allowed_origins_are_those_that_were_set(tmp_path: Path) -> None:
    async with gateway(tmp_path, CORS_ALLOW_ORIGINS="https://app.example") as client:
        allowed = await client.post("/llm", json=CHAT, headers={"origin": "https://app.example"})
        refused = await client.post("/llm", json=CHAT, headers={"origin": "http://localhost:8888"})
    assert allowed.headers["access-control-allow-origin"] == "https://app.example"
    assert refused.status_code == 403


async def test_a_small_limit_of_bodies_is_none_of_heads(tmp_path: Path) -> None:
    async with gateway(tmp_path, MAX_REQUEST_BYTES="100") as client:
        fine = await client.get("/health", headers={"x-long": "a" * 300})
        large = await client.post("/v1/messages", json={"model": "x" * 200})
    assert fine.text == "ok"
    assert large.status_code == 413
    assert large.json()["type"] == "error"


async def test_a_compressed_body_is_refused_and_said_to_be_so(tmp_path: Path) -> None:
    async with gateway(tmp_path) as client:
        answer = await client.post("/llm", json=CHAT, headers={"content-encoding": "gzip"})
        plain = await client.post("/llm", json=CHAT, headers={"content-encoding": "identity"})
    assert answer.status_code == 415
    assert "compressed" in answer.text
    assert plain.status_code == 200


async def test_host_names_are_compared_without_case(tmp_path: Path) -> None:
    async with gateway(tmp_path, ALLOWED_HOSTS="gw.example.com") as client:
        answer = await client.get("/v1/models", headers={"host": "GW.Example.com:3500"})
    assert answer.status_code == 200


@pytest.mark.parametrize("host", ["evil.example#.local", "evil.example/.local", "evil.example?.localhost"])
async def test_what_is_no_host_name_is_not_taken_for_a_local_one(tmp_path: Path, host: str) -> None:
    async with gateway(tmp_path) as client:
        answer = await client.get("/v1/models", headers={"host": host})
    assert answer.status_code == 403


async def test_two_hosts_are_refused(tmp_path: Path) -> None:
    async with gateway(tmp_path) as client:
        answer = await say(client, "GET /v1/models HTTP/1.1", "Host: localhost", "Host: evil.example")
    assert answer.startswith(b"HTTP/1.1 400 ")


async def test_an_origin_with_a_user_is_not_taken_for_a_local_one(tmp_path: Path) -> None:
    async with gateway(tmp_path) as client:
        answer = await client.get("/v1/models", headers={"origin": "http://evil.example@localhost"})
    assert answer.status_code == 403


async def say(client: httpx.AsyncClient, *head: str) -> bytes:
    """Send just this as the head of a request; gives all that comes back until the gateway closes."""
    reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
    writer.write("\r\n".join([*head, "Connection: close", "", ""]).encode())
    answer = await asyncio.wait_for(reader.read(), PATIENCE)
    writer.close()
    return answer


@pytest.mark.parametrize("line", ["CONNECT x:80 HTTP/1.1", "GET x HTTP/1.1", "GET http://[ HTTP/1.1"])
async def test_an_address_that_is_none_is_answered_with_400(tmp_path: Path, line: str) -> None:
    async with gateway(tmp_path) as client:
        assert (await say(client, line, "Host: localhost")).startswith(b"HTTP/1.1 400 ")


async def test_a_method_that_is_none_is_405_where_any_other_goes_through(tmp_path: Path) -> None:
    async with gateway(tmp_path) as client:
        assert (await say(client, "PROP(FIND) /stub/models HTTP/1.1", "Host: localhost")).startswith(b"HTTP/1.1 405 ")
        assert not (await say(client, "PROPFIND /stub/models HTTP/1.1", "Host: localhost")).startswith(b"HTTP/1.1 405 ")


async def test_who_waits_for_leave_to_send_too_much_is_refused_without_it(tmp_path: Path) -> None:
    length = "Content-Length: 99999999999"
    async with gateway(tmp_path) as client:
        answer = await say(
            client, "POST /llm HTTP/1.1", "Host: localhost", "Content-Type: application/json", length,
            "Expect: 100-continue",
        )  # fmt: skip
    assert answer.startswith(b"HTTP/1.1 413 ")


async def test_what_a_page_from_elsewhere_is_refused_with_is_kept_for_no_other_origin(tmp_path: Path) -> None:
    elsewhere = {"origin": "https://evil.example"}
    async with gateway(tmp_path) as client:
        refused = await client.get("/v1/models", headers=elsewhere)
    async with gateway(tmp_path, "--key", KEY, CORS_ALLOW_ORIGINS="https://good.example") as client:
        page = await client.get("/static/page.css", headers=elsewhere)
    assert refused.status_code == 403
    assert refused.headers["vary"] == "Origin"
    assert page.headers["vary"] == "Accept-Encoding, Origin"


async def counted(client: httpx.AsyncClient) -> list[str]:
    """Give what has been counted, as `method path status times`, but for the look at it."""
    page = (await client.get("/metrics")).text
    form = r'^http_requests_total\{method="(.*?)",path="(.*?)",status="(.*?)"\} (\d+)'
    found = re.findall(form, page, flags=re.MULTILINE)
    return sorted(" ".join(line) for line in found if line[1] != "/metrics")


async def test_what_no_endpoint_takes_is_counted_once_under_a_name_that_no_client_chooses(tmp_path: Path) -> None:
    async with gateway(tmp_path) as client:
        await client.get("/no/such/path")
        await client.post("/another")
        await client.get("/llm")
        await client.put("/v1/models/a/b")
        await client.options("/llm")
        await client.options("/nowhere")
        await say(client, "GET / HTTP/7")
        await client.post("/llm", json={})
        lines = await counted(client)
    assert lines == [
        "GET /llm 405 1",
        "GET unmatched 404 1",
        "OPTIONS /llm 204 1",
        "OPTIONS unmatched 204 1",
        "POST /llm 400 1",
        "POST unmatched 404 1",
        "PUT /v1/models/<model_id:path> 405 1",
        "other unmatched 400 1",
    ]


async def test_the_access_log_has_what_no_endpoint_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with gateway(tmp_path, LOG_REQUESTS="true") as client:
        await client.get("/no/such/path")
        await client.delete("/llm")
    lines = [line for line in capsys.readouterr().err.splitlines() if "gateway.access" in line]
    assert [line.count("/no/such/path") for line in lines] == [1, 0]
    assert "status=404" in lines[0]
    assert "DELETE /llm" in lines[1]
    assert "status=405" in lines[1]
