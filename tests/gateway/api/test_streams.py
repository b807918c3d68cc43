"""Streams of every dialect over HTTP: pieces at once, keep-alives, errors on the way, and clients that leave."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.api import streams
from tests.gateway.api.asking import BEARER, FAMILIES, Family, read_events
from tests.gateway.serving import Town
from tests.grammar import check_anthropic, check_ollama, check_openai_chat, check_openai_responses
from tests.pacing import PATIENCE, at_some_pace

pytestmark = pytest.mark.anyio

NO_STREAM = ("embeddings", "ollama embed", "two completions", "chat without /v1", "proxy")
STREAMS = {
    **{name: family for name, family in FAMILIES.items() if name not in NO_STREAM},
    "proxy stream": Family("/proxy/stream", FAMILIES["proxy"].write, FAMILIES["proxy"].read_error),
}
NDJSON = ("ollama chat", "ollama generate", "conversation")
every_stream = pytest.mark.parametrize("name", STREAMS)
#: one that speaks the dialect itself, so that bytes pass through, and one that does not
WAYS = {"chat": ("openai", "anthropic"), "messages": ("anthropic", "openai"), "ollama chat": ("ollama", "openai")}
MODELS = {"openai": "openai:gpt-4o-mini", "anthropic": "anthropic:claude-sonnet-4-5", "ollama": "ollama:llama3:8b"}
PAIRS = [(name, provider) for name in STREAMS for provider in WAYS.get(name, ("openai",))]
every_pair = pytest.mark.parametrize(("name", "provider"), PAIRS)

LEFT_WITHIN = 0.3  # seconds: API.md allows 0.1, the rest is for the way there


def body_of(name: str, model: str, said: str = "one two three four five six") -> dict[str, Any]:
    body = {**STREAMS[name].write(model)}
    if name != "proxy stream":
        body["stream"] = True
    text = json.dumps(body).replace('"hello"', json.dumps(said))
    written: dict[str, Any] = json.loads(text)
    return written


def last_word(name: str, text: str) -> Any:
    """The last frame of a stream, parsed."""
    return json.loads(text.rstrip().split("\n")[-1].removeprefix("data: "))


@asynccontextmanager
async def raw_request(place: Town, path: str, body: dict[str, Any]) -> AsyncIterator[asyncio.StreamReader]:
    """Send a request by hand, so that it can be left by closing the socket; the connection is dropped at the end."""
    host, port = place.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    content = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: {host}:{port}\r\nauthorization: nobody\r\ncontent-type: application/json\r\n"
    writer.write(f"{head}content-length: {len(content)}\r\n\r\n".encode() + content)
    await writer.drain()
    try:
        yield reader
    finally:
        writer.transport.abort()


@every_stream
async def test_a_stream_has_the_headers_that_keep_it_from_being_held_back(place: Town, name: str) -> None:
    headers = {**BEARER, "accept-encoding": "gzip, br"}
    answer = await place.client.post(STREAMS[name].path, json=body_of(name, MODELS["openai"]), headers=headers)
    assert answer.status_code == 200
    wanted = "application/x-ndjson" if name in NDJSON else "text/event-stream"
    assert answer.headers["content-type"].split(";")[0] == wanted
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-accel-buffering"] == "no"
    assert "content-encoding" not in answer.headers
    assert "\nid:" not in answer.text


@every_pair
async def test_each_event_is_passed_on_as_soon_as_it_comes(place: Town, name: str, provider: str) -> None:
    place.fakes[provider].pause = 0.05
    body = body_of(name, MODELS[provider])
    async with place.client.stream("POST", STREAMS[name].path, json=body, headers=BEARER) as answer:
        seen = [time.monotonic() async for _ in answer.aiter_raw()]
    assert len(seen) >= 6
    assert seen[-1] - seen[0] > 0.2  # they did not come all at once


@every_pair
async def test_silence_is_filled_with_keep_alives_of_the_dialect(
    place: Town, monkeypatch: pytest.MonkeyPatch, name: str, provider: str
) -> None:
    monkeypatch.setattr(streams, "KEEP_ALIVE_SECONDS", 0.03)
    place.fakes[provider].pause = 0.07
    body = body_of(name, MODELS[provider], "one two")
    text = (await place.client.post(STREAMS[name].path, json=body, headers=BEARER)).text
    if name in NDJSON:
        assert "keep-alive" not in text
        assert all(json.loads(line) for line in text.splitlines())
    elif name == "messages":
        assert text.count("event: ping") > 1
        assert ": keep-alive" not in text
        assert check_anthropic(text.encode()) == []
    else:
        assert ": keep-alive\n\n" in text
        assert all(frame.startswith((": keep-alive", "data: ", "event: ")) for frame in text.split("\n\n") if frame)


@every_pair
async def test_a_provider_that_thinks_long_before_it_answers_does_not_let_the_line_fall_silent(
    place: Town, monkeypatch: pytest.MonkeyPatch, name: str, provider: str
) -> None:
    monkeypatch.setattr(streams, "KEEP_ALIVE_SECONDS", 0.05)
    place.fakes[provider].pause_before = 0.2
    answer = await place.client.post(STREAMS[name].path, json=body_of(name, MODELS[provider]), headers=BEARER)
    first = answer.text.split("\n")[0]
    assert first == ("event: ping" if name == "messages" else ": keep-alive") or name in NDJSON
    assert "six" in answer.text


@every_pair
async def test_what_fails_after_a_keep_alive_is_an_error_in_the_stream(
    place: Town, monkeypatch: pytest.MonkeyPatch, name: str, provider: str
) -> None:
    monkeypatch.setattr(streams, "KEEP_ALIVE_SECONDS", 0.05)
    fake = place.fakes[provider]
    fake.pause_before, fake.cut_after, fake.abort = 0.2, 0, True
    answer = await place.client.post(STREAMS[name].path, json=body_of(name, MODELS[provider]), headers=BEARER)
    if name in NDJSON:
        assert answer.status_code in (502, 503)  # nothing had gone out, so that a plain error is possible
        return
    assert answer.status_code == 200
    assert "error" in last_word(name, answer.text)
    assert "[DONE]" not in answer.text


@every_pair
async def test_what_fails_before_the_first_token_has_a_status_of_its_own(place: Town, name: str, provider: str) -> None:
    place.fakes[provider].fail(429, {"error": {"message": "Slow down.", "type": "t"}}, {"retry-after": "7"})
    answer = await place.client.post(STREAMS[name].path, json=body_of(name, MODELS[provider]), headers=BEARER)
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "7"
    assert STREAMS[name].read_error(answer)[0] == "Slow down."


@every_pair
async def test_a_stream_cut_short_ends_with_an_error_in_the_dialects_form(
    place: Town, name: str, provider: str
) -> None:
    place.fakes[provider].cut_after = 4
    answer = await place.client.post(STREAMS[name].path, json=body_of(name, MODELS[provider]), headers=BEARER)
    assert answer.status_code == 200
    last = last_word(name, answer.text)
    assert "[DONE]" not in answer.text
    request_id = answer.headers["x-request-id"]
    if name == "messages":
        assert "event: error\ndata: " in answer.text
        assert last["type"] == "error"
        assert last["error"]["type"] == "api_error"
        assert check_anthropic(answer.content) == []
    elif name == "responses":
        assert "event: error\ndata: " in answer.text
        assert last["type"] == "error"
        assert check_openai_responses(answer.content) == []
    elif name in NDJSON:
        assert isinstance(last["error"], str)
        assert name == "conversation" or check_ollama(answer.content, generate=name == "ollama generate") == []
    elif name in ("llm", "proxy stream"):
        assert (last["error"], last["code"]) == ("Bad Gateway", "invalid_upstream_response")
        assert last["request_id"] == request_id
    else:
        assert last["error"]["request_id"] == request_id
        assert last["error"]["code"] == "invalid_upstream_response"
        assert name == "completions" or check_openai_chat(answer.content) == []


async def test_an_error_event_of_the_provider_is_passed_on_and_ends_the_stream(place: Town) -> None:
    said = b'data: {"id":"x","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,'
    said += b'"delta":{"role":"assistant","content":"Hi"},"finish_reason":null}]}\n\n'
    said += b'data: {"error":{"message":"Overloaded.","type":"server_error","code":"overloaded"}}\n\ndata: [DONE]\n\n'
    for name, family in STREAMS.items():
        place.openai.fail(200, said, content_type="text/event-stream")
        answer = await place.client.post(family.path, json=body_of(name, MODELS["openai"]), headers=BEARER)
        assert answer.status_code in (200, 502), name  # 502 when it comes together with the first event
        assert "Overloaded." in answer.text, name
        assert "[DONE]" not in answer.text, name


async def test_the_stubs_error_in_mid_stream_looks_like_any_other(place: Town) -> None:
    for name, family in STREAMS.items():
        body = body_of(name, "stub:stub-error-midstream")
        answer = await place.client.post(family.path, json=body, headers=BEARER)
        assert answer.status_code == 200, name
        assert "error" in last_word(name, answer.text), name


@every_pair
async def test_a_client_that_leaves_a_stream_ends_it_at_the_provider(place: Town, name: str, provider: str) -> None:
    async def leave(_pace: float) -> None:
        place.clear()
        fake = place.fakes[provider]
        fake.pause = 0.05
        long = " ".join(["word"] * 400)
        async with raw_request(place, STREAMS[name].path, body_of(name, MODELS[provider], long)) as reader:
            await asyncio.wait_for(reader.readuntil(b"word"), PATIENCE)
        await asyncio.wait_for(fake.left.wait(), LEFT_WITHIN)

    await at_some_pace(leave)


@every_pair
async def test_a_client_that_leaves_before_the_first_token_ends_the_call(place: Town, name: str, provider: str) -> None:
    async def leave(_pace: float) -> None:
        place.clear()
        fake = place.fakes[provider]
        fake.pause_before = 30
        async with raw_request(place, STREAMS[name].path, body_of(name, MODELS[provider])):
            await arrived(fake)
        await asyncio.wait_for(fake.left.wait(), LEFT_WITHIN)

    await at_some_pace(leave)


@pytest.mark.parametrize("name", [*FAMILIES, "passthrough", "direct"])
async def test_a_client_that_leaves_while_it_waits_for_a_whole_answer_ends_the_call(place: Town, name: str) -> None:
    chat = FAMILIES["chat"].write("gpt-4o-mini")
    further = {
        "passthrough": ("/api/passthrough", {"provider": "openai", "path": "/chat/completions", "body": chat}),
        "direct": ("/openai/chat/completions", chat),
    }
    path, body = further.get(name) or (FAMILIES[name].path, FAMILIES[name].write(MODELS["openai"]))

    async def leave(_pace: float) -> None:
        place.clear()
        place.openai.pause_before = 30
        async with raw_request(place, path, body):
            await arrived(place.openai)
        await asyncio.wait_for(place.openai.left.wait(), LEFT_WITHIN)

    await at_some_pace(leave)


async def arrived(fake: Any) -> None:
    async with asyncio.timeout(PATIENCE):
        while not fake.received:
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("model", ["openai:gpt-4o-mini", "anthropic:claude-sonnet-4-5"])
async def test_a_stream_that_its_client_left_is_recorded_as_partial(place: Town, model: str) -> None:
    place.fakes[model.split(":", maxsplit=1)[0]].pause = 0.05
    async with raw_request(place, "/v1/chat/completions", body_of("chat", model)) as reader:
        await asyncio.wait_for(reader.readuntil(b"two"), PATIENCE)
    async with asyncio.timeout(PATIENCE):
        calls: list[Any] = []
        while not calls:
            await asyncio.sleep(0.02)
            listed = (await place.client.get("/api/logs/api-calls?limit=3&status=499")).json()["calls"]
            calls = [call for call in listed if call["model"] == model.split(":")[1] and call["partial"]]
    assert calls[0]["ttft_ms"] > 0
    assert "llm_streams_active 0.0" in (await place.client.get("/metrics")).text


async def test_usage_is_sent_only_to_those_who_ask_and_asked_for_always(place: Town) -> None:
    body = body_of("chat", MODELS["openai"])
    without = await place.client.post("/v1/chat/completions", json=body)
    assert place.openai.last.body["stream_options"] == {"include_usage": True}
    wanted = {**body, "stream_options": {"include_usage": True}}
    with_usage = await place.client.post("/v1/chat/completions", json=wanted)
    assert not any(event != "[DONE]" and event.get("usage") for event in read_events(without.text))
    assert read_events(with_usage.text)[-2]["usage"]["total_tokens"] == 18
    assert check_openai_chat(without.content) == []
    assert check_openai_chat(with_usage.content, include_usage=True) == []
