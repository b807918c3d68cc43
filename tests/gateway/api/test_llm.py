"""`POST /llm` end to end over HTTP, answered by the stub; the vendors' wire formats have tests of their own."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.gateway.serving import Town, gateway
from tests.secret_watch import MARK

pytestmark = pytest.mark.anyio

CHAT = {"provider": "stub", "type": "chat", "model": "stub", "messages": [{"role": "user", "content": "Hello there"}]}


def events(text: str) -> list[Any]:
    """The payloads of a text/event-stream; the end mark as it is."""
    payloads = [block.removeprefix("data: ") for block in text.split("\n\n") if block.startswith("data: ")]
    return [payload if payload == "[DONE]" else json.loads(payload) for payload in payloads]


async def test_a_chat_needs_no_key_and_no_model_server(tmp_path: Path) -> None:
    async with gateway(tmp_path) as client:
        answer = await client.post("/llm", json=CHAT)
    body = answer.json()
    assert answer.status_code == 200
    assert (body["provider"], body["model"], body["role"], body["finish_reason"]) == (
        "stub",
        "stub",
        "assistant",
        "stop",
    )
    assert "Hello there" in body["content"]
    assert body["usage"]["total_tokens"] == body["usage"]["prompt_tokens"] + body["usage"]["completion_tokens"]
    assert isinstance(body["created"], int)
    assert body["id"]


async def test_the_model_alone_decides_where_a_provider_is_not_named(tmp_path: Path) -> None:
    async with gateway(tmp_path) as client:
        answer = await client.post("/llm", json={**CHAT, "provider": None, "model": "stub:anything"})
    assert answer.json()["provider"] == "stub"


@pytest.mark.parametrize("wish", [{"stream": True}, {"options": {"stream": True}}])
async def test_a_stream_is_deltas_then_the_end_then_done(tmp_path: Path, wish: dict[str, Any]) -> None:
    async with gateway(tmp_path) as client:
        whole = (await client.post("/llm", json=CHAT)).json()
        answer = await client.post("/llm", json={**CHAT, **wish})
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-accel-buffering"] == "no"
    *deltas, last, done = events(answer.text)
    assert done == "[DONE]"
    assert "".join(delta["content"] for delta in deltas) == whole["content"]
    assert len(deltas) > 1
    assert last["finish_reason"] == "stop"
    assert last["usage"] == whole["usage"]
    assert (last["provider"], last["model"]) == ("stub", "stub")
    assert last["id"]


async def test_embeddings_are_openais_list_with_the_provider(tmp_path: Path) -> None:
    async with gateway(tmp_path) as client:
        one = (await client.post("/llm", json={"type": "embeddings", "model": "stub", "input": "a"})).json()
        two = (await client.post("/llm", json={"type": "embeddings", "model": "stub", "input": ["a", "b"]})).json()
    assert one["object"] == "list"
    assert one["provider"] == "stub"
    assert [entry["index"] for entry in two["data"]] == [0, 1]
    assert two["data"][0]["embedding"] == one["data"][0]["embedding"] != two["data"][1]["embedding"]


async def test_models_are_openais_list_with_the_provider(tmp_path: Path) -> None:
    async with gateway(tmp_path) as client:
        body = (await client.post("/llm", json={"type": "models", "provider": "stub"})).json()
    assert body["object"] == "list"
    assert body["provider"] == "stub"
    assert {"id", "object", "created", "owned_by"} <= set(body["data"][0])
    assert "stub" in [model["id"] for model in body["data"]]


async def test_models_are_those_of_the_provider_that_a_model_leads_to(place: Town) -> None:
    for model, provider in {"fast": "ollama", "compat:some-model": "compat", "steady": "openai"}.items():
        body = (await place.client.post("/llm", json={"type": "models", "model": model})).json()
        assert (body["provider"], bool(body["data"])) == (provider, True)
    named = (await place.client.post("/llm", json={"type": "models", "model": "fast", "provider": "openai"})).json()
    assert named["provider"] == "openai"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"type": "song"}, "type"),
        ({"type": None}, "type"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": ""}]}, "messages[0].content"),
        ({"options": [1]}, "options"),
        ({"options": {"temperature": 3}}, "options.temperature"),
        ({"options": {"max_tokens": 0}}, "options.max_tokens"),
        ({"type": "embeddings", "input": ""}, "input"),
        ({"type": "embeddings", "input": ["a", ""]}, "input[1]"),
    ],
)
async def test_what_is_wrong_is_named_before_any_provider_is_asked(
    tmp_path: Path, change: dict[str, Any], field: str
) -> None:
    async with gateway(tmp_path) as client:
        answer = await client.post("/llm", json={**CHAT, **change})
    assert answer.status_code == 400
    body = answer.json()
    assert field in body["message"]
    assert field in [detail["field"] for detail in body["details"]]


async def test_an_unknown_provider_is_400(tmp_path: Path) -> None:
    async with gateway(tmp_path) as client:
        answer = await client.post("/llm", json={**CHAT, "provider": "nobody"})
    assert answer.status_code == 400
    assert "provider" in answer.json()["message"]


async def test_a_provider_that_needs_a_key_and_has_none_is_400(tmp_path: Path) -> None:
    async with gateway(tmp_path) as client:
        answer = await client.post("/llm", json={**CHAT, "provider": "anthropic", "model": "claude-x"})
    assert answer.status_code == 400
    assert answer.json()["code"] == "provider_not_configured"


async def test_embeddings_of_a_provider_without_them_are_400_and_name_those_that_have(tmp_path: Path) -> None:
    async with gateway(tmp_path, ANTHROPIC_API_KEY=f"sk-ant-{MARK}-test") as client:
        answer = await client.post(
            "/llm", json={"provider": "anthropic", "type": "embeddings", "model": "x", "input": "a"}
        )
    assert answer.status_code == 400
    assert answer.json()["code"] == "unsupported"
    assert "openai" in answer.json()["message"]


async def test_a_provider_that_is_not_there_is_503_and_the_next_request_works(tmp_path: Path) -> None:
    async with gateway(tmp_path, OLLAMA_BASE_URL="http://127.0.0.1:9") as client:
        answer = await client.post("/llm", json={**CHAT, "provider": "ollama", "model": "llama3"})
        streamed = await client.post("/llm", json={**CHAT, "provider": "ollama", "model": "llama3", "stream": True})
        after = await client.post("/llm", json=CHAT)
        health = (await client.get("/healthz")).json()
    for failed in (answer, streamed):
        assert failed.status_code == 503
        assert failed.json()["error"] == "Service Unavailable"
        assert failed.json()["provider"] == "ollama"
        assert "127.0.0.1" not in failed.text
    assert after.status_code == 200
    assert health["providers"]["ollama"]["reachable"] is False
    assert health["status"] == "degraded"


async def test_placeholder_mode_answers_every_model_without_a_provider(tmp_path: Path) -> None:
    async with gateway(tmp_path, USE_PLACEHOLDER_MODE="true", OPENAI_API_KEY=f"sk-{MARK}-test") as client:
        answer = await client.post("/llm", json={**CHAT, "provider": "openai", "model": "gpt-4o"})
    assert answer.status_code == 200
    assert "Hello there" in answer.json()["content"]


async def test_a_stream_that_fails_early_is_an_error_and_late_an_event(tmp_path: Path) -> None:
    async with gateway(tmp_path) as client:
        early: httpx.Response = await client.post("/llm", json={**CHAT, "model": "stub-error-429", "stream": True})
    assert early.status_code == 429
    assert early.json()["error"] == "Rate limit exceeded"
    assert "retry-after" in early.headers
