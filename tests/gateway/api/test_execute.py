"""`/execute` through the gateway, against a stand-in that speaks the executor's wire over HTTP.

That the real executor speaks it too is the promise of tests/contract, and the pair is tried in tests/end_to_end.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jwt
import pytest
from sanic import Request, Sanic
from sanic.response import HTTPResponse, raw

from gateway import execution
from tests.conftest import serve
from tests.gateway.serving import gateway
from tests.pacing import PATIENCE
from tests.secret_watch import MARK

pytestmark = pytest.mark.anyio

SECRET = f"{MARK} that the two services share, long enough"
TOKEN_SECRET = f"{MARK}, a secret of at least thirty-two bytes"
ANSWER = b'{"id":"exec_1","success":true,  "status":"ok","result":3}'


POOL = {"base": {"ready": 4, "target": 4}, "data": {"ready": 1, "target": 1}}
RUNNING = [{"id": "exec_ann", "user": "ann"}, {"id": "exec_bob", "user": "bob"}]


class StandIn:
    """Remembers what it was asked, and answers as it was told."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, bytes, dict[str, str]]] = []
        self.left = asyncio.Event()
        self.app: Sanic[Any, Any] = Sanic("stand-in-executor")
        self.app.add_route(self.answer, "/<path:path>", methods=["GET", "POST", "DELETE"])

    async def answer(self, request: Request, path: str) -> HTTPResponse | None:
        self.asked.append(
            (request.method, f"/{path}", request.body, {k.lower(): v for k, v in request.headers.items()})
        )
        job = json.loads(request.body) if request.body else {}
        if path == "limits":
            await asyncio.sleep(0.6)
        if path == "health":
            return raw(json.dumps({"pool": POOL}).encode(), content_type="application/json")
        if (request.method, path) == ("GET", "executions"):
            return raw(json.dumps({"executions": RUNNING}).encode(), content_type="application/json")
        if job.get("code") == "wait":
            try:
                await asyncio.sleep(100)
            finally:
                self.left.set()
        if job.get("code") == "quiet":
            await asyncio.sleep(0.6)
        if job.get("code") == "full":
            return raw(
                b'{"error":"x","message":"y","code":"queue_full"}', 429, {"retry-after": "2"}, "application/json"
            )
        if job.get("stream"):
            response = await request.respond(content_type="text/event-stream")
            await response.send(b'event: start\ndata: {"id":"exec_1"}\n\n')
            if job["code"] == "die":
                request.transport.abort()
                return None
            await response.send(b"event: done\ndata: " + ANSWER + b"\n\n")
            await response.eof()
            return None
        return raw(ANSWER, content_type="application/json")


@asynccontextmanager
async def pair(folder: Path, *argv: str, **environ: str) -> AsyncIterator[tuple[Any, StandIn]]:
    stand_in = StandIn()
    async with serve(stand_in.app) as url, gateway(folder, *argv, EXECUTOR_URL=url, **environ) as client:
        yield client, stand_in


def runs(stand_in: StandIn) -> list[tuple[str, str, bytes, dict[str, str]]]:
    return [asked for asked in stand_in.asked if asked[1] != "/health"]


async def test_body_and_answer_go_through_byte_for_byte(tmp_path: Path) -> None:
    body = b'{ "code": "def add(a, b):\\n    return a + b",   "input": {"a": 1, "b": 2} }'
    async with pair(tmp_path) as (client, stand_in):
        answer = await client.post("/execute", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.content) == (200, ANSWER)
    assert runs(stand_in)[0][:3] == ("POST", "/execute", body)


async def test_the_executor_gets_a_service_token_with_the_users_name_and_never_the_callers_own(tmp_path: Path) -> None:
    token = jwt.encode({"sub": "ann", "exp": time.time() + 60}, TOKEN_SECRET, "HS256")
    async with pair(tmp_path, "--enable-auth", JWT_SECRET=TOKEN_SECRET, EXECUTOR_SECRET=SECRET) as (client, stand_in):
        headers = {"authorization": f"Bearer {token}", "x-request-id": "the-id"}
        await client.post("/execute", json={"code": "1"}, headers=headers)
    headers = runs(stand_in)[0][3]
    claims = jwt.decode(headers["authorization"].removeprefix("Bearer "), SECRET, ["HS256"], audience="executor")
    assert claims["sub"] == "ann"
    assert claims["exp"] - time.time() <= 60
    assert headers["x-request-id"] == "the-id"
    assert token not in str(headers)


async def test_a_refusal_of_the_executor_is_passed_on_with_what_belongs_to_it(tmp_path: Path) -> None:
    async with pair(tmp_path) as (client, _):
        answer = await client.post("/execute", json={"code": "full"})
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "2"
    assert answer.json()["code"] == "queue_full"


async def test_a_stream_comes_as_it_is_sent(tmp_path: Path) -> None:
    async with pair(tmp_path) as (client, _):
        answer = await client.post("/execute", json={"code": "1", "stream": True})
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text == 'event: start\ndata: {"id":"exec_1"}\n\nevent: done\ndata: ' + ANSWER.decode() + "\n\n"


async def test_a_stream_whose_executor_dies_ends_with_an_error_and_not_in_silence(tmp_path: Path) -> None:
    async with pair(tmp_path) as (client, _):
        answer = await client.post("/execute", json={"code": "die", "stream": True})
    last = answer.text.split("\n\n")[-2]
    assert last.startswith("event: error\ndata: ")
    told = json.loads(last.partition("data: ")[2])
    assert told["code"]
    assert told["message"].startswith("The executor broke off")
    assert "provider" not in told


async def test_leaving_reaches_the_executor(tmp_path: Path) -> None:
    async with pair(tmp_path) as (client, stand_in):
        asking = asyncio.create_task(client.post("/execute", json={"code": "wait"}))
        while not runs(stand_in):
            await asyncio.sleep(0.01)
        asking.cancel()
        await asyncio.wait_for(stand_in.left.wait(), PATIENCE)


async def test_a_run_may_be_quiet_for_longer_than_any_other_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "LONGEST_SILENCE", 0.2)
    async with pair(tmp_path) as (client, _):
        run, look = await asyncio.gather(client.post("/execute", json={"code": "quiet"}), client.get("/execute/limits"))
    assert (run.status_code, run.content) == (200, ANSWER)
    assert look.status_code >= 500


async def test_a_run_that_no_executor_could_still_allow_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "LONGEST_RUN", 0.2)
    async with pair(tmp_path) as (client, _):
        answer = await client.post("/execute", json={"code": "quiet"})
    assert answer.status_code == 504
    assert answer.json()["message"].startswith("The executor did not answer in time")


async def test_an_executor_that_is_away_is_503_and_says_what_to_do(tmp_path: Path) -> None:
    async with gateway(tmp_path) as client:
        answer = await client.post("/execute", json={"code": "1"})
    assert answer.status_code == 503
    assert answer.json()["error"] == "Service Unavailable"
    assert "EXECUTOR_URL" in answer.json()["message"]
    assert "127.0.0.1" not in answer.text


@pytest.mark.parametrize(
    "body", [b'{"code":"1","code":"2"}', b'{"code":"\\ud800"}'], ids=["a key twice", "half a pair"]
)
async def test_a_body_that_says_two_things_or_no_character_is_refused(tmp_path: Path, body: bytes) -> None:
    async with pair(tmp_path) as (client, stand_in):
        answer = await client.post("/execute", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert "not valid JSON" in answer.text
    assert not runs(stand_in)


async def test_limits_and_executions_are_passed_on(tmp_path: Path) -> None:
    async with pair(tmp_path) as (client, stand_in):
        await client.get("/execute/limits")
        await client.get("/executions")
        await client.delete("/executions/exec_1")
    assert [asked[:2] for asked in runs(stand_in)] == [
        ("GET", "/limits"), ("GET", "/executions"), ("DELETE", "/executions/exec_1"),
    ]  # fmt: skip


async def test_looking_draws_on_the_limit_of_runs_and_cancelling_is_never_refused_over_it(tmp_path: Path) -> None:
    async with pair(tmp_path, RATE_LIMIT_EXECUTE="3/minute", RATE_LIMIT="100/minute") as (client, stand_in):
        looks = [await client.get(path) for path in ("/execute/limits", "/executions", "/executions", "/executions")]
        run = await client.post("/execute", json={"code": "1"})
        cancelled = await client.delete("/executions/exec_ann")
        chats = await client.get("/v1/models")
    assert [answer.status_code for answer in (*looks, run, cancelled)] == [200, 200, 200, 429, 429, 200]
    assert [answer.headers["ratelimit-remaining"] for answer in (*looks, cancelled)] == ["2", "1", "0", "0", "0"]
    assert [asked[:2] for asked in runs(stand_in)][-1] == ("DELETE", "/executions/exec_ann")
    assert chats.headers["ratelimit-remaining"] == "99"


async def test_healthz_knows_the_executor_that_answers(tmp_path: Path) -> None:
    async with pair(tmp_path) as (client, _):
        await client.post("/execute", json={"code": "1"})
        report = (await client.get("/healthz")).json()
    assert report["executor"]["reachable"] is True


async def test_a_caller_sees_and_cancels_their_own_runs_and_admin_all(tmp_path: Path) -> None:
    def bearer(**claims: str) -> dict[str, str]:
        token = jwt.encode({"exp": time.time() + 60, **claims}, TOKEN_SECRET, "HS256")
        return {"authorization": f"Bearer {token}"}

    ann, admin = bearer(sub="ann"), bearer(sub="root", scope="execute admin")
    async with pair(tmp_path, "--enable-auth", JWT_SECRET=TOKEN_SECRET) as (client, stand_in):
        seen = (await client.get("/executions", headers=ann)).json()["executions"]
        all_seen = (await client.get("/executions", headers=admin)).json()["executions"]
        own = await client.delete("/executions/exec_ann", headers=ann)
        foreign = await client.delete("/executions/exec_bob", headers=ann)
        any_one = await client.delete("/executions/exec_bob", headers=admin)
    assert [run["id"] for run in seen] == ["exec_ann"]
    assert [run["id"] for run in all_seen] == ["exec_ann", "exec_bob"]
    assert [own.status_code, foreign.status_code, any_one.status_code] == [200, 404, 200]
    assert [asked[1] for asked in runs(stand_in) if asked[0] == "DELETE"] == [
        "/executions/exec_ann", "/executions/exec_bob",
    ]  # fmt: skip


async def test_the_verdict_of_a_run_is_counted(tmp_path: Path) -> None:
    async with pair(tmp_path) as (client, _):
        await client.post("/execute", json={"code": "1"})
        await client.post("/execute", json={"code": "1", "stream": True})
        await client.post("/execute", json={"code": "full"})
        figures = (await client.get("/metrics")).text
    assert 'executions_total{status="ok"} 2.0' in figures
    assert 'executions_total{status="429"} 1.0' in figures


async def test_healthz_counts_the_sandboxes_that_are_ready(tmp_path: Path) -> None:
    async with pair(tmp_path) as (client, _):
        async with asyncio.timeout(PATIENCE):
            while (report := (await client.get("/healthz")).json())["executor"]["ready_sandboxes"] is None:
                await asyncio.sleep(0.02)
    assert report["executor"] == {"reachable": True, "ready_sandboxes": 5}
