"""Every dialect writes every stream of events so that its grammar holds and nothing of the answer is lost."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings

from gateway.dialects import (
    anthropic,
    completions,
    conversation,
    ollama,
    ollama_generate,
    openai_chat,
    openai_responses,
    unified,
)
from gateway.dialects.base import Dialect, Head
from gateway.dialects.errors import Failure
from gateway.errors import TimedOut
from gateway.messages.chat import Finished, RefusalDelta, StreamEvent, TextDelta, ToolCallDelta, UsageReport
from tests.gateway.dialects.generated import streams
from tests.grammar import check_anthropic, check_ollama, check_openai_chat, check_openai_responses

HEAD = Head(id="0123", created=1_700_000_000, model="m", provider="p", warnings=("top_k: left out",))
FAILURE = Failure(error=TimedOut("the provider took too long"), status=504, title="Gateway Timeout", request_id="r-1")
QUESTION = [{"role": "user", "content": "hi"}]
CHAT = {"model": "m", "messages": QUESTION, "stream": True}

Check = Callable[[bytes], list[str]]
DIALECTS: list[tuple[Any, dict[str, Any], Check]] = [
    (openai_chat, CHAT, check_openai_chat),
    (
        openai_chat,
        {**CHAT, "stream_options": {"include_usage": True}},
        lambda stream: check_openai_chat(stream, include_usage=True),
    ),
    (anthropic, {**CHAT, "max_tokens": 9}, check_anthropic),
    (ollama, CHAT, check_ollama),
    (ollama_generate, {"model": "m", "prompt": "hi"}, lambda stream: check_ollama(stream, generate=True)),
    (openai_responses, {"model": "m", "input": "hi", "stream": True}, check_openai_responses),
]
NAMES = ["openai chat", "openai chat with usage", "anthropic", "ollama chat", "ollama generate", "responses"]


def write(dialect: Dialect[Any], request: dict[str, Any], events: Sequence[StreamEvent]) -> list[bytes]:
    encoder = dialect.events(dialect.parse(json.dumps(request).encode()), HEAD)
    return [frame for event in events for frame in encoder.encode(event)] + list(encoder.finish())


def data_of(frames: list[bytes]) -> list[dict[str, Any]]:
    payloads = [frame.partition(b"data: ")[2] or frame for frame in frames]
    return [json.loads(payload) for payload in payloads if payload != b"[DONE]\n\n"]


@pytest.mark.parametrize(("dialect", "request_", "check"), DIALECTS, ids=NAMES)
@settings(max_examples=60, deadline=None)
@given(events=streams())
def test_every_stream_keeps_the_grammar_of_its_dialect(dialect: Any, request_: Any, check: Check, events: Any) -> None:
    assert check(b"".join(write(dialect, request_, events))) == []


@settings(max_examples=25, deadline=None)
@given(events=streams(many=3))
def test_several_answers_in_one_chat_stream_keep_the_grammar(events: list[StreamEvent]) -> None:
    request = {**CHAT, "n": 3, "stream_options": {"include_usage": True}}
    assert check_openai_chat(b"".join(write(openai_chat, request, events)), include_usage=True) == []


@pytest.mark.parametrize(("dialect", "request_", "check"), DIALECTS, ids=NAMES)
@settings(max_examples=25, deadline=None)
@given(events=streams())
def test_an_error_may_come_after_any_event(dialect: Any, request_: Any, check: Check, events: Any) -> None:
    for cut in range(1, len(events)):
        encoder = dialect.events(dialect.parse(json.dumps(request_).encode()), HEAD)
        frames = [frame for event in events[:cut] for frame in encoder.encode(event)] + encoder.fail(FAILURE)
        assert check(b"".join(frames)) == []
        assert b"[DONE]" not in frames[-1]
        assert b"the provider took too long" in frames[-1]


@pytest.mark.parametrize(("dialect", "request_", "check"), DIALECTS, ids=NAMES)
@settings(max_examples=25, deadline=None)
@given(events=streams())
def test_each_frame_is_one_event(dialect: Any, request_: Any, check: Check, events: Any) -> None:
    for frame in write(dialect, request_, events):
        assert frame.strip().count(b"\n") <= 1
        assert frame.endswith(b"\n")
        assert b"\nid:" not in frame


def said(events: list[StreamEvent], *, refused: bool = False) -> str:
    kinds = (TextDelta, RefusalDelta) if refused else TextDelta
    return "".join(event.text for event in events if isinstance(event, kinds))


def called(events: list[StreamEvent]) -> list[tuple[str, str, Any]]:
    begun = [event for event in events if isinstance(event, ToolCallDelta) and event.id]
    pieces = [event for event in events if isinstance(event, ToolCallDelta)]
    texts = ["".join(piece.arguments for piece in pieces if piece.call == call.call) for call in begun]
    return [(str(call.id), str(call.name), json.loads(text or "{}")) for call, text in zip(begun, texts, strict=True)]


@settings(max_examples=60, deadline=None)
@given(events=streams())
def test_anthropic_streams_carry_the_whole_answer_whatever_the_order_of_its_pieces(events: list[StreamEvent]) -> None:
    blocks: list[dict[str, Any]] = []
    for body in data_of(write(anthropic, {**CHAT, "max_tokens": 9}, events)):
        if body["type"] == "content_block_start":
            blocks.append({**body["content_block"], "pieces": ""})
        elif body["type"] == "content_block_delta":
            delta = body["delta"]
            blocks[-1]["pieces"] += delta.get("text") or delta.get("partial_json") or ""
    tools = [
        (block["id"], block["name"], json.loads(block["pieces"])) for block in blocks if block["type"] == "tool_use"
    ]
    assert tools == called(events)
    assert said(events, refused=True) == "".join(block["pieces"] for block in blocks if block["type"] == "text")


@settings(max_examples=60, deadline=None)
@given(events=streams())
def test_ollama_streams_carry_each_call_whole_and_in_order(events: list[StreamEvent]) -> None:
    lines = data_of(write(ollama, CHAT, events))
    tools = [call for line in lines for call in line["message"].get("tool_calls", [])]
    got = [(call["id"], call["function"]["name"], call["function"]["arguments"]) for call in tools]
    assert got == called(events)
    assert said(events, refused=True) == "".join(line["message"]["content"] for line in lines)


@settings(max_examples=60, deadline=None)
@given(events=streams())
def test_the_last_response_event_holds_the_whole_answer(events: list[StreamEvent]) -> None:
    last = data_of(write(openai_responses, {"model": "m", "input": "hi"}, events))[-1]["response"]
    tools = [item for item in last["output"] if item["type"] == "function_call"]
    assert [(item["call_id"], item["name"], json.loads(item["arguments"])) for item in tools] == called(events)
    texts = [part.get("text", "") for item in last["output"] for part in item.get("content", [])]
    assert "".join(texts) == said(events)


@settings(max_examples=50, deadline=None)
@given(events=streams())
def test_the_last_usage_told_is_the_one_written(events: list[StreamEvent]) -> None:
    told = [event.usage for event in events if isinstance(event, UsageReport)]
    frames = data_of(write(openai_chat, {**CHAT, "stream_options": {"include_usage": True}}, events))
    if told:
        assert frames[-1]["usage"]["completion_tokens"] == told[-1].completion_tokens
        assert frames[-1]["usage"]["total_tokens"] == told[-1].total_tokens
    reasons = [frame["choices"][0]["finish_reason"] for frame in frames if frame["choices"]]
    assert [reason for reason in reasons if reason] == [e.finish_reason for e in events if isinstance(e, Finished)]


def test_text_goes_out_with_the_event_that_brings_it() -> None:
    for dialect, request_, _ in DIALECTS:
        encoder = dialect.events(dialect.parse(json.dumps(request_).encode()), HEAD)
        encoder.encode(TextDelta(text="first"))
        assert b"second" in b"".join(encoder.encode(TextDelta(text="second")))


def test_arguments_of_a_call_go_out_as_they_come() -> None:
    for dialect, request_, _ in DIALECTS[:3] + DIALECTS[5:]:
        encoder = dialect.events(dialect.parse(json.dumps(request_).encode()), HEAD)
        encoder.encode(ToolCallDelta(call=0, id="c", name="f"))
        assert b"partial" in b"".join(encoder.encode(ToolCallDelta(call=0, arguments='{"partial')))


@pytest.mark.parametrize(
    ("dialect", "request_"),
    [
        *((dialect, request) for dialect, request, _ in DIALECTS),
        (completions, {"model": "m", "prompt": "hi", "stream": True}),
        (unified, {**CHAT, "type": "chat"}),
        (conversation, {"model_name": "m", "user_last_statement": "hi", "stream": True}),
    ],
    ids=[*NAMES, "completions", "unified", "conversation"],
)
def test_what_an_answer_has_lost_is_named_at_the_end_of_its_stream(dialect: Any, request_: Any) -> None:
    lost = "citations: they are not translated, left out"
    frames = write(dialect, request_, [TextDelta(text="a"), Finished(finish_reason="stop", warnings=(lost,))])
    named = [place for place, frame in enumerate(frames) if lost.encode() in frame]
    assert len(named) == 1
    assert named[0] >= len(frames) - 3
    assert any(b"top_k: left out" in frame for frame in frames)
