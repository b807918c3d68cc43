"""One token for all workers: whoever needs one first asks, the others take it from the memory they share."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.errors import GatewayError
from gateway.settings import OAuthSettings, ProviderSettings
from gateway.upstream import Upstream
from gateway.upstream.oauth import Tokens
from gateway.upstream.sharing import SharedTokens, make_memory
from tests.conftest import serve
from tests.fakes.oauth import CLIENT_ID, CLIENT_SECRET, FakeOAuth
from tests.gateway.test_life import running
from tests.pacing import at_some_pace

pytestmark = pytest.mark.anyio

CHAT = {"model": "work:guarded-model", "messages": [{"role": "user", "content": "hello"}]}


def provider_at(url: str) -> ProviderSettings:
    oauth = OAuthSettings(token_endpoint=f"{url}/token", client_id=CLIENT_ID, client_secret=CLIENT_SECRET)
    return ProviderSettings(name="work", kind="openai-compatible", base_url=f"{url}/v1", oauth=oauth)


@asynccontextmanager
async def workers(folder: Path, count: int, **options: Any) -> AsyncIterator[Sequence[Tokens]]:
    """The tokens of so many workers, as each has them after the fork."""
    memory = make_memory(folder)
    async with AsyncExitStack() as stack:
        made = []
        for _ in range(count):
            upstream = Upstream()
            tokens = Tokens(upstream, shared=SharedTokens(memory, folder, ["work", "other"]), **options)
            stack.push_async_callback(upstream.aclose)
            stack.push_async_callback(tokens.stop)
            made.append(tokens)
        yield made
    os.close(memory)


async def test_one_worker_asks_for_all_in_every_lifetime(tmp_path: Path) -> None:
    now = 1000.0
    fake = FakeOAuth(lifetime=60)
    fake.pause_token = 0.05
    async with serve(fake.app) as url, workers(tmp_path, 4, clock=lambda: now) as made:
        provider = provider_at(url)
        for lifetime in range(1, 4):
            given = await asyncio.gather(*(tokens.of(provider) for tokens in made for _ in range(10)))
            assert set(given) == {fake.grants[-1]}
            assert len(fake.asked) == lifetime
            now += 61


async def test_a_refused_token_is_replaced_once_for_all(tmp_path: Path) -> None:
    fake = FakeOAuth()
    async with serve(fake.app) as url, workers(tmp_path, 3) as made:
        provider = provider_at(url)
        first = [await tokens.of(provider) for tokens in made]
        second = await asyncio.gather(
            *(tokens.renew(provider, token) for tokens, token in zip(made, first, strict=True))
        )
        assert set(first) == {fake.grants[0]}
        assert set(second) == {fake.grants[1]}
        # It was never good either: nobody asks again for a while.
        assert [await tokens.renew(provider, fake.grants[1]) for tokens in made] == [None] * 3
    assert len(fake.asked) == 2


async def test_renewal_in_the_background_is_one_request_for_all(tmp_path: Path) -> None:
    async def use(pace: float) -> None:
        fake = FakeOAuth(lifetime=1.5 * pace)
        folder = tmp_path / str(pace)
        folder.mkdir()
        async with serve(fake.app) as url, workers(folder, 4) as made:
            provider = provider_at(url)
            await asyncio.gather(*(tokens.of(provider) for tokens in made))
            await asyncio.sleep(1.45 * pace)
            given = {await tokens.of(provider) for tokens in made}
        assert given == {fake.grants[1]}
        assert len(fake.asked) == 2

    await at_some_pace(use)


async def test_what_fails_for_one_does_not_stop_another(tmp_path: Path) -> None:
    fake = FakeOAuth()
    fake.troubles.append((500, b"down"))
    async with serve(fake.app) as url, workers(tmp_path, 2) as (one, two):
        with pytest.raises(GatewayError):
            await one.of(provider_at(url))
        assert await two.of(provider_at(url)) == fake.grants[0]


async def test_a_worker_that_cannot_have_its_turn_goes_on_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeOAuth()
    gone = tmp_path / "gone"
    monkeypatch.setattr("gateway.upstream.sharing.LONGEST_WAIT", 0.1)
    async with serve(fake.app) as url, workers(gone, 2) as (one, two):
        assert await one.of(provider_at(url)) == fake.grants[0]
        gone.mkdir()
        other = SharedTokens(0, gone, ["work", "other"])
        async with other.turn("work"):
            assert await two.of(provider_at(url)) == fake.grants[0]
    assert len(fake.asked) == 1


async def test_nothing_of_a_token_is_on_the_disk(tmp_path: Path) -> None:
    fake = FakeOAuth()
    async with serve(fake.app) as url, workers(tmp_path, 2) as made:
        await made[0].of(provider_at(url))
        shared = SharedTokens(made[0]._shared._memory, tmp_path, ["work", "other"])  # type: ignore[union-attr]
        kept = shared.read("work")
        assert kept is not None
        assert kept.value == fake.grants[0]
        assert fake.grants[0] not in repr(kept)
        assert shared.read("other") is None
        assert b"".join(file.read_bytes() for file in tmp_path.iterdir()) == b""


async def test_four_real_workers_ask_for_one_token(tmp_path: Path) -> None:
    fake = FakeOAuth(lifetime=60)
    async with serve(fake.app) as url:
        oauth = {"token_endpoint": f"{url}/token", "client_id": CLIENT_ID, "client_secret": "${OAUTH_TEST}"}
        entry = {"kind": "openai-compatible", "base_url": f"{url}/v1", "oauth": oauth}
        (tmp_path / "config.json").write_text(json.dumps({"providers": {"work": entry}}))
        environ = {"SANDGATE_CONFIG": "config.json", "OAUTH_TEST": CLIENT_SECRET}
        async with running(tmp_path, "--workers", "4", **environ) as (_, client):
            assert await ask(client) == {200}
            assert len(fake.asked) == 1
            fake.revoke()
            assert await ask(client) == {200}
            assert len(fake.asked) == 2


async def ask(client: httpx.AsyncClient) -> set[int]:
    """Ask on many connections at once, which come to all workers."""
    answers = await asyncio.gather(*(client.post("/v1/chat/completions", json=CHAT) for _ in range(60)))
    return {answer.status_code for answer in answers}
