"""Anthropic's Messages API: what is sent, and what its answers mean."""

import json
from typing import Any

import pytest

from gateway.errors import CredentialsRefused, ModelNotFound, ProviderError, UnusableAnswer
from gateway.messages.chat import (
    Finished,
    Message,
    ReasoningDelta,
    ReasoningPart,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    Usage,
    UsageReport,
)
from gateway.providers.anthropic import VENDOR
from tests.fakes.anthropic import SIGNATURE
from tests.gateway.providers.exchange import WEATHER, decode, heard, line, result_of, user

pytestmark = pytest.mark.anyio


def event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


START = event(
    "message_start", message={"id": "msg", "model": "claude", "usage": {"input_tokens": 5, "output_tokens": 1}}
)


def end(reason: str, **usage: int) -> bytes:
    counts = {"output_tokens": 7, **usage}
    return event("message_delta", delta={"stop_reason": reason}, usage=counts) + event("message_stop")


async def test_thinking_comes_with_its_signature_and_goes_back_with_it():
    async with line("anthropic") as to:
        asked = heard(await to.listen(user("weather?"), tools=(WEATHER,), reasoning_effort="low"))
        assert (asked.thought, asked.signature) == ("Let me think.", SIGNATURE)
        whole = await to.ask(user("weather?"), tools=(WEATHER,), reasoning_effort="low")
        assert whole.choices[0].message.content == asked.message.content
        result = result_of(asked.calls[0], "rain")
        told = await to.ask(user("weather?"), asked.message, result, tools=(WEATHER,), reasoning_effort="low")
        assert told.choices[0].message.text == "The tool said: rain"
        assert to.fake.last.body["messages"][1]["content"][0] == {
            "type": "thinking",
            "thinking": "Let me think.",
            "signature": SIGNATURE,
        }
        assert to.fake.last.body["thinking"] == {"type": "enabled", "budget_tokens": 2048}


async def test_newer_models_think_by_effort_and_take_no_sampling_options():
    async with line("anthropic", model="claude-opus-4-8") as to:
        reply = await to.ask(user("hi"), reasoning_effort="high", temperature=0.5, extra={"top_k": 5})
    assert reply.choices[0].reasoning == "Let me think."
    assert to.fake.last.body["thinking"] == {"type": "adaptive"}
    assert to.fake.last.body["output_config"] == {"effort": "high"}
    assert to.warnings == [
        "temperature: not known to claude-opus-4-8, left out",
        "top_k: not known to claude-opus-4-8, left out",
    ]


async def test_betas_go_into_their_header():
    async with line("anthropic") as to:
        await to.ask(user("hi"), extra={"betas": ["a-1", "b-2"]})
    assert to.fake.last.headers["anthropic-beta"] == "a-1,b-2"
    assert to.fake.last.headers["anthropic-version"] == "2023-06-01"
    assert "betas" not in to.fake.last.body


def test_a_stream_gives_its_events_in_order():
    pieces = [
        START,
        event("ping"),
        event("content_block_start", index=0, content_block={"type": "thinking", "thinking": "", "signature": ""}),
        event("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "hm"}),
        event("content_block_delta", index=0, delta={"type": "signature_delta", "signature": "sig"}),
        event("content_block_stop", index=0),
        event("content_block_start", index=1, content_block={"type": "redacted_thinking", "data": "xyz"}),
        event("content_block_stop", index=1),
        event("content_block_start", index=2, content_block={"type": "text", "text": ""}),
        event("content_block_delta", index=2, delta={"type": "text_delta", "text": "hi"}),
        event("content_block_delta", index=2, delta={"type": "citations_delta", "citation": {}}),
        event("some_new_event", x=1),
        event("content_block_stop", index=2),
        event("content_block_start", index=3, content_block={"type": "tool_use", "id": "a", "name": "f", "input": {}}),
        event("content_block_delta", index=3, delta={"type": "input_json_delta", "partial_json": ""}),
        event("content_block_delta", index=3, delta={"type": "input_json_delta", "partial_json": '{"x":1}'}),
        event("content_block_stop", index=3),
        event("content_block_start", index=4, content_block={"type": "tool_use", "id": "b", "name": "g", "input": {}}),
        event("content_block_stop", index=4),
        end("tool_use"),
    ]
    assert decode(VENDOR, pieces) == [
        Started(id="msg", model="claude", usage=Usage(prompt_tokens=5, completion_tokens=1)),
        ReasoningDelta(text="hm"),
        ReasoningDelta(signature="sig"),
        ReasoningDelta(redacted="xyz"),
        TextDelta(text="hi"),
        ToolCallDelta(call=0, id="a", name="f"),
        ToolCallDelta(call=0, arguments='{"x":1}'),
        ToolCallDelta(call=1, id="b", name="g"),
        ToolCallDelta(call=1, arguments="{}"),
        Finished(finish_reason="tool_calls", warnings=("citations: they are not translated, left out",)),
        UsageReport(usage=Usage(prompt_tokens=5, completion_tokens=7)),
    ]


def test_input_that_a_call_begins_with_is_kept():
    block = {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}}
    pieces = [START, event("content_block_start", index=0, content_block=block), end("tool_use")]
    assert heard(decode(VENDOR, pieces)).calls[0].arguments == '{"x":1}'


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "content_filter"),
        ("something_new", "stop"),
    ],
)
def test_each_stop_reason_has_its_finish_reason(reason: str, finish: str):
    answer = {"content": [{"type": "text", "text": "x"}], "stop_reason": reason}
    assert VENDOR.chat_reply(json.dumps(answer).encode()).choices[0].finish_reason == finish
    assert heard(decode(VENDOR, [START, end(reason)])).finish_reason == finish


def test_a_refusal_says_why():
    details = {"stop_reason": "refusal", "stop_details": {"type": "refusal", "explanation": "unsafe"}}
    (choice,) = VENDOR.chat_reply(json.dumps({"content": [], **details}).encode()).choices
    assert (choice.refusal, choice.finish_reason) == ("unsafe", "content_filter")
    events = decode(VENDOR, [START, event("message_delta", delta=details, usage={})])
    assert events[1:3] == [RefusalDelta(text="unsafe"), Finished(finish_reason="content_filter")]


def test_tokens_read_from_and_written_to_the_cache_are_part_of_the_prompt():
    usage = {"input_tokens": 5, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 2, "output_tokens": 7}
    counted = Usage(prompt_tokens=10, completion_tokens=7, cached_tokens=3, cache_write_tokens=2)
    answer = {"content": [{"type": "text", "text": "x"}], "usage": usage}
    assert VENDOR.chat_reply(json.dumps(answer).encode()).usage == counted
    pieces = [event("message_start", message={"usage": {**usage, "output_tokens": 1}}), end("end_turn")]
    assert heard(decode(VENDOR, pieces)).usage == counted


@pytest.mark.parametrize(
    ("kind", "status"), [("overloaded_error", 529), ("rate_limit_error", 429), ("api_error", 500), ("new_error", 502)]
)
def test_an_error_in_mid_stream_has_the_status_it_would_have_had(kind: str, status: int):
    with pytest.raises(ProviderError) as raised:
        decode(VENDOR, [START, event("error", error={"type": kind, "message": "sorry"})])
    assert (raised.value.status, raised.value.kind, raised.value.message) == (status, kind, "sorry")


def test_credentials_refused_in_mid_stream_are_told():
    with pytest.raises(CredentialsRefused):
        decode(VENDOR, [START, event("error", error={"type": "authentication_error", "message": "no"})])


def test_an_empty_answer_with_a_reason_is_an_answer_and_one_without_is_not():
    (choice,) = VENDOR.chat_reply(b'{"content": [], "stop_reason": "end_turn"}').choices
    assert choice.message == Message(role="assistant")
    for body in (b'{"content": []}', b'{"content": null, "stop_reason": "end_turn"}', b'{"type": "message"}'):
        with pytest.raises(UnusableAnswer):
            VENDOR.chat_reply(body)


def test_redacted_thinking_is_kept():
    answer = {"content": [{"type": "redacted_thinking", "data": "xyz"}, {"type": "text", "text": "x"}]}
    message = VENDOR.chat_reply(json.dumps(answer).encode()).choices[0].message
    assert message.content[0] == ReasoningPart(redacted="xyz")


@pytest.mark.parametrize(
    ("status", "kind", "error"),
    [
        (404, "not_found_error", ModelNotFound),
        (401, "authentication_error", CredentialsRefused),
        (403, "permission_error", CredentialsRefused),
        (400, "invalid_request_error", ProviderError),
        (413, "request_too_large", ProviderError),
        (429, "rate_limit_error", ProviderError),
        (529, "overloaded_error", ProviderError),
    ],
)
def test_each_error_becomes_ours(status: int, kind: str, error: type[Exception]):
    body = {"type": "error", "error": {"type": kind, "message": "model: x"}, "request_id": "req"}
    explained = VENDOR.explain_error(status, {}, json.dumps(body).encode())
    assert type(explained) is error
    if isinstance(explained, ProviderError):
        assert (explained.status, explained.kind, explained.message) == (status, kind, "model: x")


SEARCH = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "Łódź"}}
FOUND = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}
CITED = {
    "type": "text",
    "text": "Rain.",
    "citations": [{"type": "web_search_result_location", "url": "https://a.example"}],
}
LOST = (
    "server_tool_use: such parts of the answer are not translated, left out",
    "web_search_tool_result: such parts of the answer are not translated, left out",
    "citations: they are not translated, left out",
)


def test_what_only_anthropics_dialect_can_tell_of_an_answer_is_named():
    message = {"type": "message", "model": "c", "content": [SEARCH, FOUND, CITED, CITED], "stop_reason": "end_turn"}
    reply = VENDOR.chat_reply(json.dumps(message).encode())
    assert reply.choices[0].message.text == "Rain.Rain."
    assert reply.choices[0].message.tool_calls == ()
    assert reply.warnings == LOST


def test_what_only_anthropics_dialect_can_tell_of_a_stream_is_named_when_it_ends():
    blocks = [SEARCH, FOUND, {"type": "text", "text": "", "citations": []}]
    opened = [event("content_block_start", index=place, content_block=block) for place, block in enumerate(blocks)]
    deltas = [
        event("content_block_delta", index=0, delta={"type": "input_json_delta", "partial_json": "{}"}),
        event("content_block_delta", index=2, delta={"type": "citations_delta", "citation": CITED["citations"][0]}),
        event("content_block_delta", index=2, delta={"type": "text_delta", "text": "Rain."}),
    ]
    events = decode(VENDOR, [START, *opened, *deltas, end("end_turn")])
    assert heard(events).text == "Rain."
    assert heard(events).calls == []
    assert [event_.warnings for event_ in events if isinstance(event_, Finished)] == [LOST]
