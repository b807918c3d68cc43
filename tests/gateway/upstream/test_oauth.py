"""OAuth 2.0 client credentials: tokens against a real token endpoint, and through a whole gateway."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.errors import CredentialsRefused, GatewayError, Unavailable
from gateway.settings import OAuthSettings, ProviderSettings
from gateway.upstream import Upstream
from gateway.upstream.oauth import BUFFER_SHARE, Tokens
from tests.conftest import serve
from tests.fakes.oauth import CLIENT_ID, CLIENT_SECRET, FakeOAuth
from tests.gateway.serving import NOBODY, gateway
from tests.pacing import PATIENCE, at_some_pace

pytestmark = pytest.mark.anyio

CHAT = {"type": "chat", "model": "work:guarded-model", "messages": [{"role": "user", "content": "hello"}]}


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def provider_at(url: str, **changes: Any) -> ProviderSettings:
    oauth = {"token_endpoint": f"{url}/token", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, **changes}
    return ProviderSettings(name="work", kind="openai-compatible", base_url=f"{url}/v1", oauth=OAuthSettings(**oauth))


@asynccontextmanager
async def tokens(upstream: Upstream, **options: Any) -> AsyncIterator[Tokens]:
    made = Tokens(upstream, **options)
    try:
        yield made
    finally:
        await made.stop()


async def complaint(coming: Any) -> GatewayError:
    with pytest.raises(GatewayError) as raised:
        await coming
    return raised.value


@asynccontextmanager
async def guarded_gateway(
    folder: Path, fake: FakeOAuth, *argv: str, work: dict[str, Any] | None = None, **environ: str
) -> AsyncIterator[httpx.AsyncClient]:
    """Serve a gateway in front of the fake, whose provider `work` wants tokens."""
    async with serve(fake.app) as url:
        oauth = {"token_endpoint": f"{url}/token", "client_id": CLIENT_ID, "client_secret": "${OAUTH_TEST}"}
        entry = {"kind": "openai-compatible", "base_url": f"{url}/v1", "oauth": oauth, **(work or {})}
        if entry["kind"] != "openai-compatible":
            entry["base_url"] = url
        file = folder / "config.json"
        file.write_text(json.dumps({"providers": {"work": entry}}))
        environ = {"SANDGATE_CONFIG": str(file), "OAUTH_TEST": CLIENT_SECRET, "PROVIDER_REST_SECONDS": "0", **environ}
        async with gateway(folder, *argv, **environ) as client:
            yield client


async def test_many_requests_at_once_cost_one_token_request_per_lifetime(upstream: Upstream) -> None:
    fake, clock = FakeOAuth(lifetime=60), Clock()
    fake.pause_token = 0.05
    async with serve(fake.app) as url, tokens(upstream, clock=clock) as made:
        provider = provider_at(url)
        for lifetime in range(1, 4):
            given = await asyncio.gather(*(made.of(provider) for _ in range(50)))
            assert set(given) == {fake.grants[-1]}
            clock.now += 59
            assert await made.of(provider) == fake.grants[-1]
            assert len(fake.asked) == lifetime
            clock.now += 2


async def test_the_request_is_the_one_of_rfc_6749(upstream: Upstream) -> None:
    fake = FakeOAuth()
    async with serve(fake.app) as url, tokens(upstream) as made:
        await made.of(provider_at(url, scope="read write"))
    assert fake.asked == [
        {
            "grant_type": "client_credentials",
            "scope": "read write",
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
        }
    ]
    assert fake.last.headers["content-type"] == "application/x-www-form-urlencoded"


async def test_an_endpoint_that_wants_basic_authentication_is_found_out_once(upstream: Upstream) -> None:
    fake, clock = FakeOAuth(style="basic"), Clock()
    async with serve(fake.app) as url, tokens(upstream, clock=clock) as made:
        for _ in range(3):
            await made.of(provider_at(url))
            clock.now += 61
    assert ["client_secret" in form for form in fake.asked] == [True, False, False, False]


async def test_a_token_in_use_is_renewed_before_its_end_and_nobody_waits(upstream: Upstream) -> None:
    async def use(pace: float) -> None:
        fake = FakeOAuth(lifetime=pace)
        async with serve(fake.app) as url, tokens(upstream) as made:
            provider = provider_at(url)
            first = await made.of(provider)
            assert await made.of(provider) == first
            await asyncio.sleep(pace * (1 - BUFFER_SHARE + 0.05))
            async with asyncio.timeout(2 * pace):
                while await made.of(provider) == first:
                    await asyncio.sleep(0.01)
            assert len(fake.asked) == 2

    await at_some_pace(use)


async def test_a_token_that_nobody_uses_any_more_is_let_lapse(upstream: Upstream) -> None:
    fake = FakeOAuth(lifetime=0.3)
    async with serve(fake.app) as url, tokens(upstream) as made:
        await made.of(provider_at(url))
        async with asyncio.timeout(PATIENCE):
            while len(fake.asked) < 2:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.7)
        assert len(fake.asked) == 2


@pytest.mark.parametrize(
    ("status", "body", "kind", "says"),
    [
        (500, b"marked secret", Unavailable, "answered with status 500"),
        (302, b"", Unavailable, "answered with status 302"),
        (200, b"<html>marked</html>", Unavailable, "sent no usable token"),
        (200, b'{"access_token": ""}', Unavailable, "sent no usable token"),
        (200, b'{"access_token": "a\\r\\nx: y"}', Unavailable, "sent no usable token"),
        (200, b'{"access_token": 5}', Unavailable, "sent no usable token"),
        (
            200,
            b'{"access_token": "marked", "token_type": "mac"}',
            Unavailable,
            "sent a token of another type than bearer",
        ),
        (400, b'{"error": "invalid_scope", "error_description": "marked"}', CredentialsRefused, "400 (invalid_scope)"),
        (401, b'{"error": "marked"}', CredentialsRefused, "refused the client's credentials with status 401."),
    ],
)
async def test_an_endpoint_that_fails_is_told_of_without_what_it_said(
    upstream: Upstream, status: int, body: bytes, kind: type[GatewayError], says: str
) -> None:
    fake = FakeOAuth()
    fake.troubles.extend([(status, body)] * 2)
    async with serve(fake.app) as url, tokens(upstream) as made:
        error = await complaint(made.of(provider_at(url)))
    assert type(error) is kind
    assert error.message.startswith("There is no token for provider work: its OAuth token endpoint ")
    assert says in error.message
    assert "marked" not in error.message
    assert "127.0.0.1" not in error.message


async def test_an_endpoint_that_is_not_there_is_told_of(upstream: Upstream) -> None:
    async with tokens(upstream) as made:
        error = await complaint(made.of(provider_at(NOBODY)))
    assert type(error) is Unavailable
    assert error.message.endswith("its OAuth token endpoint is not reachable.")
    assert error.provider == "work"


async def test_an_endpoint_in_trouble_is_asked_again_ever_more_seldom_until_it_is_well(upstream: Upstream) -> None:
    fake, clock = FakeOAuth(), Clock()
    fake.troubles.extend([(500, b"")] * 8)
    async with serve(fake.app) as url, tokens(upstream, clock=clock) as made:
        provider = provider_at(url)
        for _ in range(200):
            await asyncio.gather(*(made.of(provider) for _ in range(3)), return_exceptions=True)
            clock.now += 0.1
        assert len(fake.asked) == 8
        clock.now += 30
        assert await made.of(provider) == fake.grants[0]


async def test_each_waiter_gets_an_error_of_its_own(upstream: Upstream) -> None:
    fake = FakeOAuth()
    fake.troubles.append((500, b""))
    async with serve(fake.app) as url, tokens(upstream) as made:
        provider = provider_at(url)
        errors = await asyncio.gather(*(made.of(provider) for _ in range(3)), return_exceptions=True)
    assert len({id(error) for error in errors}) == 3


async def test_a_waiter_that_leaves_does_not_take_the_token_from_the_others(upstream: Upstream) -> None:
    fake = FakeOAuth()
    fake.pause_token = 0.1
    async with serve(fake.app) as url, tokens(upstream) as made:
        provider = provider_at(url)
        leaving, staying = (asyncio.create_task(made.of(provider)) for _ in range(2))
        await asyncio.sleep(0.02)
        leaving.cancel()
        assert await staying == fake.grants[0]
        assert len(fake.asked) == 1


async def test_a_refused_token_is_renewed_once_however_many_were_refused(upstream: Upstream) -> None:
    fake = FakeOAuth()
    async with serve(fake.app) as url, tokens(upstream) as made:
        provider = provider_at(url)
        refused = await made.of(provider)
        renewed = await asyncio.gather(*(made.renew(provider, refused) for _ in range(20)))
        assert set(renewed) == {fake.grants[1]}
        assert len(fake.asked) == 2


async def test_a_provider_that_refuses_every_token_does_not_wear_out_the_endpoint(upstream: Upstream) -> None:
    fake, clock = FakeOAuth(lifetime=3600), Clock()
    async with serve(fake.app) as url, tokens(upstream, clock=clock) as made:
        provider = provider_at(url)
        for _ in range(100):
            token = await made.of(provider)
            await made.renew(provider, token)
            clock.now += 0.1
        assert len(fake.asked) == 2


async def test_news_and_secrets_go_where_they_are_wanted(upstream: Upstream) -> None:
    fake, clock = FakeOAuth(lifetime=60), Clock()
    news: list[tuple[str, float | str]] = []
    secrets: list[str] = []
    fake.troubles.extend([(500, b"")] * 2)
    async with (
        serve(fake.app) as url,
        tokens(upstream, clock=clock, report=lambda *told: news.append(told), keep_secret=secrets.append) as made,
    ):
        provider = provider_at(url)
        for _ in range(3):
            await asyncio.gather(made.of(provider), return_exceptions=True)
            clock.now += 5
    assert news == [("work", "answered with status 500"), ("work", 60.0)]
    assert secrets == fake.grants


async def test_a_gateway_brings_tokens_and_asks_for_one_only(tmp_path: Path) -> None:
    fake = FakeOAuth()
    fake.pause_token = 0.05
    async with guarded_gateway(tmp_path, fake) as client:
        answers = await asyncio.gather(*(client.post("/v1/chat/completions", json=CHAT) for _ in range(20)))
        answers += [
            await client.get("/work/models"),
            await client.post("/llm", json=CHAT),
            await client.post("/api/passthrough", json={"provider": "work", "method": "GET", "path": "/models"}),
        ]
        assert [answer.status_code for answer in answers] == [200] * 23
        events = (await client.get("/api/logs/server-events")).text
    assert len(fake.asked) == 1
    assert '"token_refresh"' in events
    assert fake.grants[0] not in events


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/llm"])
async def test_a_token_that_was_revoked_is_renewed_and_the_call_made_once_more(
    tmp_path: Path, path: str, stream: bool
) -> None:
    fake = FakeOAuth()
    async with guarded_gateway(tmp_path, fake) as client:
        for _ in range(3):
            answer = await client.post(path, json={**CHAT, "stream": stream})
            assert answer.status_code == 200, answer.text
            fake.revoke()
        assert len(fake.grants) == 3


async def test_direct_proxying_hands_the_refusal_over_and_is_right_the_next_time(tmp_path: Path) -> None:
    fake = FakeOAuth()
    async with guarded_gateway(tmp_path, fake) as client:
        await client.post("/v1/chat/completions", json=CHAT)
        fake.revoke()
        assert [(await client.get("/work/models")).status_code for _ in range(3)] == [401, 200, 200]


async def test_a_provider_that_refuses_a_new_token_too_is_502_after_one_more_try(tmp_path: Path) -> None:
    fake = FakeOAuth()
    async with guarded_gateway(tmp_path, fake, LLM_RETRIES="2") as client:
        assert (await client.post("/v1/chat/completions", json=CHAT)).status_code == 200
        fake.closed = True
        fake.received.clear()
        answers = [await client.post("/v1/chat/completions", json=CHAT) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [502] * 3
    assert [answer.json()["error"]["code"] for answer in answers] == ["upstream_credentials_refused"] * 3
    chat, token = "/v1/chat/completions", "/token"
    assert [received.path for received in fake.received] == [chat, token, chat, chat, chat]


@pytest.mark.parametrize("kind", ["anthropic", "gemini", "ollama", "lmstudio", "openai"])
async def test_a_token_goes_out_as_bearer_whatever_the_kind(tmp_path: Path, kind: str) -> None:
    fake = FakeOAuth()
    async with guarded_gateway(tmp_path, fake, work={"kind": kind}) as client:
        await client.post("/llm", json=CHAT)
        asked = [received for received in fake.received if received.method == "POST" and received.path != "/token"]
    assert [received.headers["authorization"] for received in asked] == [f"Bearer {fake.grants[0]}"] * len(asked)
    assert asked
    assert all("x-api-key" not in received.headers for received in asked)
    assert all("x-goog-api-key" not in received.headers for received in asked)


async def test_the_callers_own_key_needs_no_token(tmp_path: Path) -> None:
    fake = FakeOAuth()
    fake.ends["callers-own-key"] = float("inf")
    async with guarded_gateway(tmp_path, fake) as client:
        await client.post("/v1/models/refresh", json={})  # which the start has begun, and asks for a token of its own
        asked = len(fake.asked)
        fake.revoke()
        fake.ends["callers-own-key"] = float("inf")
        answer = await client.post(
            "/v1/chat/completions", json=CHAT, headers={"authorization": "Bearer callers-own-key"}
        )
        assert answer.status_code == 200
        assert len(fake.asked) == asked


async def test_without_a_token_the_client_learns_who_failed_and_nothing_else(tmp_path: Path) -> None:
    fake = FakeOAuth()
    fake.troubles.extend([(500, b"marked")] * 50)
    async with guarded_gateway(tmp_path, fake, LLM_RETRIES="1") as client:
        answer = await client.post("/v1/chat/completions", json=CHAT)
        assert answer.status_code == 503
        error = answer.json()["error"]
        assert error["message"].startswith("There is no token for provider work: its OAuth token endpoint ")
        assert error["code"] == "oauth_token_unavailable"
        for secret in ("marked", CLIENT_SECRET, "127.0.0.1"):
            assert secret not in answer.text
        fake.troubles.clear()
        async with asyncio.timeout(PATIENCE):
            while (await client.post("/v1/chat/completions", json=CHAT)).status_code != 200:
                await asyncio.sleep(0.1)
