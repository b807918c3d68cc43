"""Streams in OpenAI's form, read however half-compatible servers write them."""

import json
from typing import Any

import pytest

from gateway.errors import ProviderError, UnusableAnswer
from gateway.messages.chat import (
    ChatRequest,
    Finished,
    Message,
    Options,
    ReasoningDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    Usage,
    UsageReport,
)
from gateway.providers.openai_compatible import VENDOR
from tests.gateway.providers.exchange import decode, heard


def body_of(*messages: Message, stream: bool = False, **options: Any) -> dict[str, Any]:
    chat = ChatRequest(model="m", messages=messages, options=Options(**options), stream=stream)
    body: dict[str, Any] = json.loads(VENDOR.chat_request(chat).body)
    return body


def chunk(delta: Any = None, reason: Any = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta or {}, "finish_reason": reason}
    fields = {"id": "c1", "created": 5, "model": "m1", "choices": [choice], **more}
    return b"data: " + json.dumps(fields).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"
CALL = {"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}


def test_geminis_proof_makes_a_round_trip_through_its_openai_endpoint():
    proof = {"extra_content": {"google": {"thought_signature": "sig"}}}
    wire = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}, **proof}
    answer = {"choices": [{"message": {"tool_calls": [wire]}, "finish_reason": "stop"}]}
    message = VENDOR.chat_reply(json.dumps(answer).encode()).choices[0].message
    assert message.tool_calls[0].signature == "sig"
    assert body_of(message)["messages"][0]["tool_calls"][0] == wire
    streamed = heard(decode(VENDOR, [chunk({"tool_calls": [{"index": 0, **wire}]}), chunk(reason="stop"), DONE]))
    assert streamed.calls == list(message.tool_calls)


def test_a_stream_gives_its_events_in_order():
    pieces = [
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": "he"}),
        b": keep-alive\n\n",
        chunk({"content": "llo"}),
        chunk(reason="stop"),
        chunk(choices=[], usage={"prompt_tokens": 1, "completion_tokens": 2}),
        DONE,
    ]
    assert decode(VENDOR, pieces) == [
        Started(id="c1", model="m1", created=5),
        TextDelta(text="he"),
        TextDelta(text="llo"),
        Finished(finish_reason="stop"),
        UsageReport(usage=Usage(prompt_tokens=1, completion_tokens=2)),
    ]


@pytest.mark.parametrize(
    "end", [[chunk(reason="stop")], [chunk(reason="stop"), DONE], [DONE], [b"data: [DONE]"], [chunk(reason="eos")]]
)
def test_a_stream_ends_with_a_finish_or_the_end_mark(end: list[bytes]):
    assert decode(VENDOR, [chunk({"content": "x"}), *end])[-1] == Finished(finish_reason="stop")


@pytest.mark.parametrize(
    "stream",
    [
        [],
        [DONE],
        [b": hello\n\n"],
        [chunk({"content": "x"})],
        [chunk({"role": "assistant", "content": ""}), DONE],
        [chunk({"content": "x"}), b'data: {"id": "c1", "cho'],
        [b"<html>502 Bad Gateway</html>"],
        [b'{"choices": []}'],
    ],
)
def test_a_stream_without_either_or_without_an_answer_is_unusable(stream: list[bytes]):
    with pytest.raises(UnusableAnswer):
        decode(VENDOR, stream)


def test_malformed_events_are_skipped():
    junk = [b"data: {not json}\n\n", b"data: 17\n\n", b"data: {}\n\n", b"data: null\n\n", b'data: {"choices": [7]}\n\n']
    expected = decode(VENDOR, [chunk({"content": "x"}), chunk(reason="stop")])
    assert decode(VENDOR, [*junk, chunk({"content": "x"}), *junk, chunk(reason="stop"), *junk]) == expected


def test_an_error_in_mid_stream_comes_after_what_was_said_before_it():
    pieces = chunk({"content": "x"}) + b'data: {"error": {"message": "overloaded", "code": 503}}\n\n' + DONE
    decoder = VENDOR.chat_events()
    assert heard(decoder.feed(pieces)).text == "x"
    with pytest.raises(ProviderError, match="overloaded"):
        decoder.finish()
    with pytest.raises(ProviderError, match="boom"):
        decode(VENDOR, [b'event: error\ndata: {"message": "boom"}\n\n'])
    with pytest.raises(ProviderError, match="boom"):
        decode(VENDOR, [b"event: error\ndata: boom\n\n"])


@pytest.mark.parametrize(
    "deltas",
    [
        # As OpenAI sends them.
        [
            [{"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}],
            [{"index": 0, "function": {"arguments": '{"x"'}}],
            [{"index": 0, "function": {"arguments": ": 1}"}}],
            [{"index": 1, "id": "b", "function": {"name": "g", "arguments": ""}}],
            [{"index": 1, "function": {"arguments": "{}"}}],
        ],
        # Without index (Gemini's OpenAI endpoint).
        [
            [{"id": "a", "function": {"name": "f", "arguments": '{"x": 1}'}}],
            [{"id": "b", "function": {"name": "g", "arguments": "{}"}}],
        ],
        # Without index, in pieces.
        [
            [{"id": "a", "function": {"name": "f"}}],
            [{"function": {"arguments": '{"x": 1}'}}],
            [{"id": "b", "function": {"name": "g", "arguments": ""}}],
        ],
        # All with index 0 (Ollama's OpenAI endpoint).
        [
            [{"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"x": 1}'}}],
            [{"index": 0, "id": "b", "function": {"name": "g", "arguments": "{}"}}],
        ],
        # Id and name again in each piece, both calls interleaved.
        [
            [{"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"x"'}}],
            [{"index": 1, "id": "b", "function": {"name": "g", "arguments": ""}}],
            [{"index": 0, "id": "a", "function": {"name": "f", "arguments": ": 1}"}}],
        ],
        # Arguments as an object.
        [
            [
                {"index": 0, "id": "a", "function": {"name": "f", "arguments": {"x": 1}}},
                {"id": "b", "function": {"name": "g"}},
            ]
        ],
    ],
)
def test_tool_calls_are_told_apart_however_they_are_numbered(deltas: list[list[dict[str, Any]]]):
    pieces = [chunk({"tool_calls": delta}) for delta in deltas]
    whole = heard(decode(VENDOR, [*pieces, chunk(reason="tool_calls"), DONE]))
    assert [(call.id, call.name, json.loads(call.arguments)) for call in whole.calls] == [
        ("a", "f", {"x": 1}),
        ("b", "g", {}),
    ]
    assert whole.finish_reason == "tool_calls"


def test_a_call_without_an_id_gets_one_and_a_call_ends_with_tool_calls():
    call = {"function": {"name": "f", "arguments": "{}"}}
    pieces = [chunk({"tool_calls": [{"index": 0, **call}, {"index": 1, **call}]}), chunk(reason="stop")]
    whole = heard(decode(VENDOR, pieces))
    assert len({call.id for call in whole.calls}) == 2
    assert whole.finish_reason == "tool_calls"


def test_two_answers_are_kept_apart():
    def both(first: Any, second: Any) -> bytes:
        return chunk(choices=[{"index": 0, **first}, {"index": 1, **second}])

    said = both({"delta": {"content": "a"}}, {"delta": {"content": "b"}})
    pieces = [said, both({"finish_reason": "stop"}, {"finish_reason": "length"})]
    assert decode(VENDOR, pieces)[1:] == [
        TextDelta(text="a", index=0),
        TextDelta(text="b", index=1),
        Finished(finish_reason="stop", index=0),
        Finished(finish_reason="length", index=1),
    ]
    with pytest.raises(UnusableAnswer):
        decode(VENDOR, [said, chunk(choices=[{"index": 0, "finish_reason": "stop"}])])


def test_a_flood_of_calls_is_refused():
    flood = [{"index": place, **CALL, "id": str(place)} for place in range(2000)]
    with pytest.raises(UnusableAnswer):
        decode(VENDOR, [chunk({"tool_calls": flood})])


def test_a_whole_answer_in_place_of_a_stream_is_taken():
    call = {"id": "a", "function": {"name": "f", "arguments": "{}"}}
    message = {"content": "hi", "reasoning_content": "hm", "tool_calls": [call]}
    answer = {"id": "c", "model": "m", "choices": [{"message": message}], "usage": {"prompt_tokens": 1}}
    for body in (json.dumps(answer).encode(), b"\n " + json.dumps(answer, indent=1).encode()):
        events = decode(VENDOR, [bytes([byte]) for byte in body])
        assert events == [
            Started(id="c", model="m"),
            ReasoningDelta(text="hm"),
            TextDelta(text="hi"),
            ToolCallDelta(call=0, id="a", name="f", arguments="{}"),
            Finished(finish_reason="tool_calls"),
            UsageReport(usage=Usage(prompt_tokens=1, completion_tokens=0)),
        ]


def test_plain_chunks_of_text_are_taken():
    stream = b'data: {"content": "a", "stop": false}\n\ndata: {"content": "b", "stop": true}\n\n'
    assert heard(decode(VENDOR, [stream])).text == "ab"
    stream = b'data: {"response": "a"}\n\ndata: {"response": "b"}\n\ndata: [DONE]\n\n'
    assert heard(decode(VENDOR, [stream])).text == "ab"
