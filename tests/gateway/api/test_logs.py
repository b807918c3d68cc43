"""The call log over HTTP: what was asked stands in it, only `admin` sees it, and the feed tells it as it happens."""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from tests.conftest import free_port, serve
from tests.gateway.api.test_execute import StandIn
from tests.gateway.serving import NOBODY, gateway
from tests.pacing import PATIENCE
from tests.secret_watch import MARK

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[3]
SECRET = f"{MARK}, a secret of at least thirty-two bytes"
CHAT = {"type": "chat", "model": "stub:stub", "messages": [{"role": "user", "content": "hi"}]}
DATA = ["/api/config", "/api/logs", "/api/logs/api-calls", "/api/logs/server-events", "/api/logs/stream", "/api/stats"]


async def ask(client: httpx.AsyncClient, **changes: object) -> str:
    answer = await client.post("/llm", json={**CHAT, **changes})
    return str(answer.headers["x-request-id"])


async def test_a_call_stands_in_the_log_with_what_it_cost(tmp_path: Path) -> None:
    async with gateway(tmp_path) as client:
        request_id = await ask(client)
        (call,) = (await client.get("/api/logs/api-calls")).json()["calls"]
    assert call["request_id"] == request_id
    assert (call["method"], call["path"], call["status"], call["provider"]) == ("POST", "/llm", 200, "stub")
    assert call["prompt_tokens"] > 0
    assert call["completion_tokens"] > 0
    assert call["error"] is None
    assert "request_body" not in call


async def test_both_lists_come_together_and_are_cleared_together(tmp_path: Path) -> None:
    async with gateway(tmp_path) as client:
        await ask(client)
        logs = (await client.get("/api/logs")).json()
        cleared = await client.delete("/api/logs")
        empty = (await client.get("/api/logs")).json()
    assert [call["path"] for call in logs["apiCalls"]] == ["/llm"]
    assert "start" in [event["kind"] for event in logs["serverEvents"]]
    assert cleared.status_code == 200
    assert empty == {"apiCalls": [], "serverEvents": []}


async def test_pages_follow_each_other_without_a_gap(tmp_path: Path) -> None:
    async with gateway(tmp_path) as client:
        asked = [await ask(client) for _ in range(5)]
        seen: list[str] = []
        query = "limit=2"
        while True:
            page = (await client.get(f"/api/logs/api-calls?{query}")).json()
            seen += [call["request_id"] for call in page["calls"]]
            if page["next"] is None:
                break
            query = f"limit=2&before={page['next']}"
    assert seen == asked[::-1]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("status=error", 1), ("status=ok", 2), ("status=4xx", 1), ("status=200", 2), ("provider=stub", 2),
        ("model=nothing", 0), ("q=gpt-4", 1), ("kind=llm", 3), ("kind=execution", 0), ("provider=&q=", 3),
    ],
)  # fmt: skip
async def test_filters_leave_what_matches(tmp_path: Path, query: str, found: int) -> None:
    async with gateway(tmp_path) as client:
        await ask(client)
        await ask(client)
        await ask(client, model="openai:gpt-4o")  # refused: no key
        page = (await client.get(f"/api/logs/api-calls?{query}")).json()
    assert len(page["calls"]) == found


async def test_one_call_is_shown_by_its_id_and_an_unknown_one_is_404(tmp_path: Path) -> None:
    async with gateway(tmp_path) as client:
        request_id = await ask(client)
        (call,) = (await client.get("/api/logs/api-calls")).json()["calls"]
        shown = await client.get(f"/api/logs/api-calls/{call['id']}")
        missing = [await client.get(f"/api/logs/api-calls/{name}") for name in ("0", "x", "9" * 40, "-1")]
    assert shown.json()["request_id"] == request_id
    assert {answer.status_code for answer in missing} == {404}


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/api/logs/api-calls?limit=0", "limit"), ("/api/logs/api-calls?limit=many", "limit"),
        ("/api/logs/api-calls?before=-1", "before"), ("/api/logs/api-calls?status=bad", "status"),
        ("/api/logs/api-calls?limit=1&limit=2", "limit"), ("/api/logs?nonsense=1", "nonsense"),
        ("/api/logs/server-events?limit=1001", "limit"), ("/api/stats?window=soon", "window"),
        ("/api/stats?window=99d", "window"), ("/api/stats?buckets=0", "buckets"),
        ("/api/logs/stream?window=x", "window"),
        (f"/api/logs/api-calls?q={'x' * 201}", "q"), ("/api/logs/stream?window=0s", "window"),
    ],
)  # fmt: skip
async def test_a_bad_query_is_refused_by_its_name(tmp_path: Path, path: str, field: str) -> None:
    async with gateway(tmp_path) as client:
        answer = await client.get(path)
    assert answer.status_code == 400
    assert field in [detail["field"] for detail in answer.json()["details"]]


async def test_the_data_wants_admin_when_auth_is_on(tmp_path: Path) -> None:
    def bearer(scope: str) -> dict[str, str]:
        claims = {"sub": "ann", "exp": time.time() + 60, "scope": scope}
        return {"authorization": f"Bearer {jwt.encode(claims, SECRET, 'HS256')}"}

    async with gateway(tmp_path, "--enable-auth", JWT_SECRET=SECRET) as client:
        for path in DATA:
            assert (await client.get(path)).status_code == 401, path
            assert (await client.get(path, headers=bearer("llm execute"))).status_code == 403, path
        assert (await client.delete("/api/logs", headers=bearer("llm"))).status_code == 403
        assert (await client.get("/api/logs", headers=bearer("admin"))).status_code == 200


async def test_the_data_does_not_follow_the_prefix(tmp_path: Path) -> None:
    async with gateway(tmp_path, API_PREFIX="/elsewhere") as client:
        assert (await client.get("/api/logs")).status_code == 200
        assert (await client.get("/elsewhere/logs")).status_code == 404


async def test_stats_add_up(tmp_path: Path) -> None:
    async with gateway(tmp_path) as client:
        for _ in range(3):
            await ask(client)
        await ask(client, model="openai:gpt-4o")
        stats = (await client.get("/api/stats?window=5m&buckets=5")).json()
    assert stats["window_seconds"] == 300
    assert len(stats["time"]) == 5
    assert (stats["calls"]["total"]["calls"], stats["calls"]["total"]["errors"]) == (4, 1)
    assert {row["provider"]: row["total"]["calls"] for row in stats["providers"]} == {"stub": 3, "openai": 1}


async def follow(client: httpx.AsyncClient, query: str = "") -> AsyncIterator[tuple[str, Any]]:
    async with client.stream("GET", f"/api/logs/stream{query}") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        name = ""
        async for line in answer.aiter_lines():
            if line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: "):
                yield name, json.loads(line[6:])


async def wait_for(told: AsyncIterator[tuple[str, Any]], name: str) -> Any:
    async with asyncio.timeout(PATIENCE):
        async for event, data in told:
            if event == name:
                return data
    raise AssertionError(f"the feed ended without {name}")


async def test_the_feed_tells_a_call_as_it_happens_and_no_body(tmp_path: Path) -> None:
    async with gateway(tmp_path, LOG_BODIES="true") as client:
        told = follow(client)
        first = asyncio.ensure_future(wait_for(told, "call"))
        asked = []
        while not first.done():  # it tells what happens once it has begun
            asked.append(await ask(client))
            await asyncio.sleep(0.2)
        call = await first
        await told.aclose()  # type: ignore[attr-defined]  # an async generator
    assert call["request_id"] in asked
    assert "request_body" not in call


async def test_with_a_window_the_feed_carries_figures_that_move_and_the_executors_state(tmp_path: Path) -> None:
    stand_in = StandIn()
    async with serve(stand_in.app) as url, gateway(tmp_path, EXECUTOR_URL=url) as client:
        told = follow(client, "?window=1m&buckets=4")
        before = await wait_for(told, "stats")
        await ask(client)
        async with asyncio.timeout(PATIENCE):
            while (await wait_for(told, "stats"))["calls"]["total"]["calls"] != 1:
                pass
        await told.aclose()  # type: ignore[attr-defined]  # an async generator
        again = follow(client, "?window=1m")
        async with asyncio.timeout(PATIENCE):
            while not (state := await wait_for(again, "state"))["executor"].get("executions"):
                pass
        await again.aclose()  # type: ignore[attr-defined]  # an async generator
    assert before["calls"]["total"]["calls"] == 0
    assert state["executor"]["reachable"] is True
    assert [run["id"] for run in state["executor"]["executions"]] == ["exec_ann", "exec_bob"]
    assert state["health"]["providers"]["stub"]


async def test_the_feed_ends_when_the_server_stops_so_that_nothing_waits_for_it(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", "--port", url.rpartition(":")[2], "--executor-url", NOBODY,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=tmp_path, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with httpx.AsyncClient(base_url=url, timeout=PATIENCE) as client:
            await wait_until_up(client)
            told = follow(client, "?window=1m")
            await wait_for(told, "stats")
            server.terminate()
            async with asyncio.timeout(20):  # a server that waits for its streams takes 30 s
                async for _ in told:
                    pass
                assert await server.wait() == 0
    finally:
        if server.returncode is None:
            server.kill()
            await server.wait()


async def wait_until_up(client: httpx.AsyncClient) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                await client.get("/health")
            except httpx.TransportError:
                await asyncio.sleep(0.05)
            else:
                return


@pytest.mark.parametrize("stream", [False, True])
async def test_bodies_are_kept_when_that_is_wished_and_only_then(tmp_path: Path, stream: bool) -> None:
    said = [{"role": "user", "content": "a secret word"}]
    chat = {"type": "chat", "model": "stub", "stream": stream, "messages": said}
    for wish, kept in (("true", True), ("false", False)):
        async with gateway(tmp_path, LOG_BODIES=wish) as client:
            await client.post("/llm", json=chat)
            async with asyncio.timeout(PATIENCE):
                while not (calls := (await client.get("/api/logs/api-calls")).json()["calls"]):
                    await asyncio.sleep(0.05)
            assert ("a secret word" in (calls[0].get("request_body") or "")) is kept
            assert bool(calls[0].get("response_body")) is kept
