"""Same dialect in and out: bytes go through, but for the model's name and the credentials."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import serve
from tests.fakes.anthropic import FakeAnthropic
from tests.fakes.ollama import FakeOllama
from tests.fakes.openai import FakeOpenAI
from tests.gateway.serving import PROVIDER_KEY, gateway

pytestmark = pytest.mark.anyio

JSON = {"content-type": "application/json"}


@asynccontextmanager
async def before(
    fake: Any, folder: Path, variable: str, suffix: str = "", **environ: str
) -> AsyncIterator[httpx.AsyncClient]:
    async with serve(fake.app) as url, gateway(folder, **{variable: url + suffix}, **environ) as client:
        yield client


def sent(fake: Any) -> bytes:
    body: bytes = last_post(fake).raw
    return body


def last_post(fake: Any) -> Any:
    return [request for request in fake.received if request.method == "POST"][-1]


async def test_an_openai_body_goes_through_byte_for_byte_but_for_the_model(tmp_path: Path) -> None:
    fake = FakeOpenAI(key=PROVIDER_KEY)
    body = (
        b'{ "model" : "openai:gpt-4o",\n "messages":[{"role":"user","content":"h\\u00e9"}],'
        b' "made_up" : [1.50, {"x":null}] }'
    )
    async with before(fake, tmp_path, "OPENAI_BASE_URL", "/v1", OPENAI_API_KEY=PROVIDER_KEY) as client:
        answer = await client.post("/v1/chat/completions", content=body, headers=JSON)
    assert answer.status_code == 200
    assert sent(fake) == body.replace(b'"openai:gpt-4o"', b'"gpt-4o"')


async def test_what_is_not_well_formed_is_normalised(tmp_path: Path) -> None:
    fake = FakeOpenAI(key=PROVIDER_KEY)
    async with before(fake, tmp_path, "OPENAI_BASE_URL", "/v1", OPENAI_API_KEY=PROVIDER_KEY) as client:
        while not fake.received:
            await asyncio.sleep(0.01)  # the catalogue asks first, and would take the scripted answer
        fake.fail(200, {"response": "plain"})
        answer = await client.post(
            "/v1/chat/completions",
            json={"model": "openai:gpt-4o", "messages": [{"role": "user", "content": "hi"}]},
        )
    body = answer.json()
    assert body["choices"][0]["message"]["content"] == "plain"
    assert {"id", "object", "created", "model", "usage"} <= set(body)


async def test_usage_is_asked_for_counted_and_stripped_when_it_was_not_wished(tmp_path: Path) -> None:
    fake = FakeOpenAI(key=PROVIDER_KEY)
    chat = {"model": "openai:gpt-4o", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    async with before(fake, tmp_path, "OPENAI_BASE_URL", "/v1", OPENAI_API_KEY=PROVIDER_KEY) as client:
        plain = await client.post("/v1/chat/completions", json=chat)
        asked_plain = json.loads(sent(fake))
        wished = await client.post(
            "/v1/chat/completions",
            json={**chat, "stream_options": {"include_usage": True, "include_obfuscation": False}},
        )
        asked_wished = json.loads(sent(fake))
        figures = (await client.get("/metrics")).text
    assert asked_plain["stream_options"] == {"include_usage": True}
    assert asked_wished["stream_options"] == {"include_usage": True, "include_obfuscation": False}
    assert '"choices":[]' not in plain.text.replace(" ", "")
    assert '"choices":[]' in wished.text.replace(" ", "")
    for text in (plain.text, wished.text):
        assert text.endswith("data: [DONE]\n\n")
    assert "llm_tokens_total" in figures
    assert 'kind="completion"' in figures


async def test_an_anthropic_stream_goes_through_with_its_events(tmp_path: Path) -> None:
    fake = FakeAnthropic(key=PROVIDER_KEY)
    chat = {
        "model": "anthropic:claude-sonnet-4-5",
        "max_tokens": 100,
        "stream": True,
        "metadata": {"user_id": "u"},
        "messages": [{"role": "user", "content": "hi"}],
    }
    async with before(fake, tmp_path, "ANTHROPIC_BASE_URL", ANTHROPIC_API_KEY=PROVIDER_KEY) as client:
        answer = await client.post(
            "/v1/messages", json=chat, headers={"anthropic-beta": "some-beta", "anthropic-version": "2023-06-01"}
        )
    events = [line.removeprefix("event: ") for line in answer.text.splitlines() if line.startswith("event: ")]
    assert events[0] == "message_start"
    assert events[-1] == "message_stop"
    assert json.loads(sent(fake)) == {**chat, "model": "claude-sonnet-4-5"}
    assert last_post(fake).headers["anthropic-beta"] == "some-beta"


async def test_an_ollama_stream_goes_through_line_by_line(tmp_path: Path) -> None:
    fake = FakeOllama()
    chat = {"model": "ollama:llama3:8b", "messages": [{"role": "user", "content": "hi"}], "options": {"num_ctx": 64}}
    async with before(fake, tmp_path, "OLLAMA_BASE_URL") as client:
        answer = await client.post("/api/chat", json=chat)
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert lines[-1]["done"] is True
    assert json.loads(sent(fake)) == {**chat, "model": "llama3:8b"}


async def test_a_name_given_twice_is_refused_before_anybody_is_asked(tmp_path: Path) -> None:
    fake = FakeOpenAI(key=PROVIDER_KEY)
    body = b'{"model": "openai:a", "model": "openai:b", "messages": [{"role": "user", "content": "hi"}]}'
    async with before(fake, tmp_path, "OPENAI_BASE_URL", "/v1", OPENAI_API_KEY=PROVIDER_KEY) as client:
        asked_before = len(fake.received)
        answer = await client.post("/v1/chat/completions", content=body, headers=JSON)
    assert answer.status_code == 400
    assert "model" in answer.json()["error"]["message"]
    assert len([request for request in fake.received[asked_before:] if request.method == "POST"]) == 0


async def test_a_stream_that_is_cut_short_ends_with_an_error(tmp_path: Path) -> None:
    fake = FakeOpenAI(key=PROVIDER_KEY)
    fake.cut_after = 2
    chat = {"model": "openai:gpt-4o", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    async with before(fake, tmp_path, "OPENAI_BASE_URL", "/v1", OPENAI_API_KEY=PROVIDER_KEY) as client:
        answer = await client.post("/v1/chat/completions", json=chat)
    last = answer.text.split("\n\n")[-2]
    assert json.loads(last.removeprefix("data: "))["error"]["message"]
    assert "[DONE]" not in answer.text


@pytest.mark.parametrize("content", ['"h\\u00e9"', '""', "null"])
async def test_a_well_formed_answer_comes_back_byte_for_byte(tmp_path: Path, content: str) -> None:
    calls = ', "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]'
    written = (
        '{ "id":"a", "object":"chat.completion", "created":1, "model":"gpt-4o", "made_up": 1.50, "choices":[{"index":0,'
        f'"message":{{"role":"assistant","content": {content}{calls if content == "null" else ""}}},'
        '"finish_reason":"stop"}], "usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}'
    ).encode()
    fake = FakeOpenAI(key=PROVIDER_KEY)
    async with before(fake, tmp_path, "OPENAI_BASE_URL", "/v1", OPENAI_API_KEY=PROVIDER_KEY) as client:
        while not fake.received:
            await asyncio.sleep(0.01)
        fake.fail(200, written)
        answer = await client.post(
            "/v1/chat/completions", json={"model": "openai:gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
        )
    assert answer.content == written


async def test_an_answer_in_parts_comes_back_as_text(tmp_path: Path) -> None:
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "42"}]
    message = {"role": "assistant", "content": parts}
    written = {
        "id": "a",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o",
        "choices": [{"index": 0, "message": message, "finish_reason": "eos"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    }
    fake = FakeOpenAI(key=PROVIDER_KEY)
    async with before(fake, tmp_path, "OPENAI_BASE_URL", "/v1", OPENAI_API_KEY=PROVIDER_KEY) as client:
        while not fake.received:
            await asyncio.sleep(0.01)
        fake.fail(200, written)
        answer = await client.post(
            "/v1/chat/completions", json={"model": "openai:gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
        )
    (choice,) = answer.json()["choices"]
    assert (choice["message"]["content"], choice["message"]["reasoning_content"]) == ("42", "hm")
    assert choice["finish_reason"] == "stop"


@asynccontextmanager
async def two_providers(folder: Path) -> AsyncIterator[tuple[FakeOpenAI, httpx.AsyncClient]]:
    """A model whose first provider can be told to fail, and whose second answers."""
    first, second = FakeOpenAI(key=PROVIDER_KEY), FakeOpenAI(key=PROVIDER_KEY)
    async with serve(first.app) as one, serve(second.app) as two:
        providers = {
            "openai": {"base_url": f"{one}/v1", "api_key": PROVIDER_KEY},
            "other": {"kind": "openai-compatible", "base_url": f"{two}/v1", "api_key": PROVIDER_KEY},
        }
        models = {"both": {"model": "openai:gpt-4o", "fallbacks": ["other:gpt-4o"]}}
        config = folder / "config.json"
        config.write_text(json.dumps({"providers": providers, "models": models}))
        async with gateway(folder, "--config", str(config)) as client:
            while not first.received:
                await asyncio.sleep(0.01)
            yield first, client


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    "unusable",
    [
        {"choices": []},
        "no JSON at all",
        {"error": {"message": "overloaded", "type": "server_error", "code": None}},
    ],
    ids=["without an answer", "not JSON", "an error with a good status"],
)
async def test_an_answer_that_cannot_be_used_leads_to_the_fallback(
    tmp_path: Path, unusable: Any, *, stream: bool
) -> None:
    chat = {"model": "both", "messages": [{"role": "user", "content": "hi"}], "stream": stream}
    async with two_providers(tmp_path) as (first, client):
        first.fail(200, unusable)
        answer = await client.post("/v1/chat/completions", json=chat)
        again = await client.post("/v1/chat/completions", json=chat)
    assert answer.status_code == 200, answer.text
    assert "error" not in answer.text
    assert '"content"' in answer.text
    assert again.status_code == 200


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/api/chat"])
@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"\xff"}',
        b'{"model":"a","stream":1e400}',
        b'{"model":"stub:stub","max_tokens":5,"messages":[{"role":"user","content":"\xff"}]}',
    ],
    ids=["a model that is no UTF-8", "a number that is too large", "a message that is no UTF-8"],
)
async def test_what_is_not_valid_json_is_refused_before_anybody_is_asked(
    tmp_path: Path, path: str, body: bytes
) -> None:
    async with gateway(tmp_path) as client:
        answer = await client.post(path, content=body, headers=JSON)
    assert answer.status_code == 400
    assert "not valid JSON" in answer.text
