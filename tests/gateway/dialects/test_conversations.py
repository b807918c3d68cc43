"""What a client hands back of an answer is read as what the provider gave: calls, thinking and proofs survive."""

import json
from typing import Any

import pytest
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import Message as AnthropicMessage
from anthropic.types import RawMessageStreamEvent
from hypothesis import given, settings
from ollama import ChatResponse
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response
from pydantic import TypeAdapter

from gateway.dialects import anthropic, ollama, openai_chat, openai_responses, unified
from gateway.dialects.base import Head, Parsed
from gateway.messages.chat import (
    ChatReply,
    ChatRequest,
    Finished,
    ImagePart,
    Message,
    Options,
    ReasoningDelta,
    ReasoningPart,
    StreamEvent,
    TextDelta,
    TextPart,
    Tool,
    ToolCall,
    ToolCallDelta,
)
from gateway.providers import VENDORS
from gateway.settings import Kind
from tests.gateway.dialects.generated import SAID, replies, streams

HEAD = Head(id="0123", created=1_700_000_000, model="m", provider="p", warnings=("top_k: left out",))
QUESTION = {"role": "user", "content": "hi"}
EVENTS = settings(max_examples=40, deadline=None)


def body(**members: Any) -> bytes:
    return json.dumps({"model": "m", **members}).encode()


def same(read: Message, given_: Message) -> bool:
    calls = [[(c.id, c.name, json.loads(c.arguments), c.signature) for c in m.tool_calls] for m in (read, given_)]
    return read.content == given_.content and calls[0] == calls[1]


def as_json(value: Any) -> Any:
    """What arrives at the client."""
    return json.loads(json.dumps(value))


def holds_something(reply: ChatReply) -> bool:
    message = reply.choices[0].message
    return bool(message.content or message.tool_calls)


@EVENTS
@given(reply=replies().filter(holds_something))
def test_a_message_of_a_chat_completion_can_be_handed_back(reply: ChatReply) -> None:
    parsed = openai_chat.parse(body(messages=[QUESTION]))
    answer = as_json(openai_chat.write_reply(parsed, reply, HEAD))
    ChatCompletion.model_validate(answer, strict=True)
    again = openai_chat.parse(body(messages=[QUESTION, answer["choices"][0]["message"]]))
    assert same(again.chat.messages[1], reply.choices[0].message)


@EVENTS
@given(reply=replies().filter(holds_something))
def test_a_message_of_anthropic_can_be_handed_back(reply: ChatReply) -> None:
    parsed = anthropic.parse(body(messages=[QUESTION], max_tokens=9))
    answer = as_json(anthropic.write_reply(parsed, reply, HEAD))
    AnthropicMessage.model_validate(answer)
    handed_back = {"role": "assistant", "content": answer["content"]}
    again = anthropic.parse(body(messages=[QUESTION, handed_back], max_tokens=9))
    assert same(again.chat.messages[1], reply.choices[0].message)


@EVENTS
@given(reply=replies().filter(holds_something))
def test_the_output_of_a_response_can_be_handed_back(reply: ChatReply) -> None:
    parsed = openai_responses.parse(body(input="hi"))
    answer = as_json(openai_responses.write_reply(parsed, reply, HEAD))
    Response.model_validate(answer)
    again = openai_responses.parse(body(input=[QUESTION, *answer["output"]]))
    assert same(again.chat.messages[1], reply.choices[0].message)


@EVENTS
@given(reply=replies().filter(holds_something))
def test_an_answer_of_llm_can_be_handed_back(reply: ChatReply) -> None:
    request = {"type": "chat", "messages": [QUESTION]}
    parsed = unified.parse(body(**request))
    assert isinstance(parsed, Parsed)
    answer = as_json(unified.write_reply(parsed, reply, HEAD))
    again = unified.parse(body(**{**request, "messages": [QUESTION, answer]}))
    assert isinstance(again, Parsed)
    assert same(again.chat.messages[1], reply.choices[0].message)


@EVENTS
@given(reply=replies().filter(holds_something))
def test_a_message_of_ollama_can_be_handed_back_without_the_proofs_it_has_no_place_for(reply: ChatReply) -> None:
    answer = as_json(ollama.write_reply(ollama.parse(body(messages=[QUESTION])), reply, HEAD))
    ChatResponse.model_validate(answer)
    again = ollama.parse(body(messages=[QUESTION, answer["message"]])).chat.messages[1]
    message = reply.choices[0].message
    assert again.text == message.text
    thoughts = [part.text for part in again.content if isinstance(part, ReasoningPart)]
    assert "".join(thoughts) == reply.choices[0].reasoning
    calls = [Message(role="assistant", tool_calls=each.tool_calls) for each in (again, message)]
    assert same(*calls)


@settings(max_examples=40, deadline=None)
@given(events=streams(mixed=False))
def test_openais_own_client_puts_a_stream_together_as_it_was_meant(events: list[StreamEvent]) -> None:
    parsed = openai_chat.parse(body(messages=[QUESTION], stream=True, stream_options={"include_usage": True}))
    encoder = openai_chat.events(parsed, HEAD)
    frames = [frame for event in events for frame in encoder.encode(event)] + encoder.finish()
    state: Any = ChatCompletionStreamState()
    for frame in frames[:-1]:
        state.handle_chunk(ChatCompletionChunk.model_validate(json.loads(frame.removeprefix(b"data: ")), strict=True))
    message = state.current_completion_snapshot.choices[0].message
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    assert (message.content or "") == text
    begun = [event.id for event in events if isinstance(event, ToolCallDelta) and event.id]
    assert [call.id for call in message.tool_calls or []] == begun
    again = openai_chat.parse(body(messages=[QUESTION, json.loads(message.model_dump_json(exclude_none=True))]))
    assert len(again.chat.messages[1].tool_calls) == len(begun)


@settings(max_examples=40, deadline=None)
@given(reply=replies())
def test_anthropics_own_client_puts_a_stream_together_as_it_was_meant(reply: ChatReply) -> None:
    parsed = anthropic.parse(body(messages=[QUESTION], max_tokens=9))
    encoder = anthropic.events(parsed, HEAD)
    frames = [frame for event in _stream_of(reply) for frame in encoder.encode(event)] + encoder.finish()
    snapshot: Any = None
    buffers: dict[int, bytes] = {}
    adapter: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
    for frame in frames:
        event = adapter.validate_python(json.loads(frame.partition(b"data: ")[2]))
        snapshot = accumulate_event(event=event, current_snapshot=snapshot, json_bufs=buffers)
    blocks = json.loads(snapshot.model_dump_json())["content"]
    again = anthropic.parse(body(messages=[QUESTION, {"role": "assistant", "content": blocks}], max_tokens=9))
    assert same(again.chat.messages[1], reply.choices[0].message)


def _stream_of(reply: ChatReply) -> list[StreamEvent]:
    message = reply.choices[0].message
    events: list[StreamEvent] = []
    for part in message.content:
        match part:
            case ReasoningPart(redacted=None):
                events += [ReasoningDelta(text=part.text), ReasoningDelta(signature=part.signature)]
            case ReasoningPart():
                events.append(ReasoningDelta(redacted=part.redacted))
            case TextPart():
                events.append(TextDelta(text=part.text))
    for place, call in enumerate(message.tool_calls):
        events.append(ToolCallDelta(call=place, id=call.id, name=call.name, signature=call.signature))
        events += [ToolCallDelta(call=place, arguments=call.arguments)]
    return [*events, Finished(finish_reason=reply.choices[0].finish_reason)]


IMAGE = ImagePart(data="iVBORw0KGgo=", media_type="image/png")
ROUND_TRIPS: list[tuple[Kind, Any]] = [("openai-compatible", openai_chat), ("anthropic", anthropic), ("ollama", ollama)]


@pytest.mark.parametrize(("kind", "dialect"), ROUND_TRIPS)
@settings(max_examples=30, deadline=None)
@given(reply=replies().filter(lambda reply: reply.choices[0].message.tool_calls), said=SAID, found=SAID)
def test_a_conversation_survives_the_way_out_to_a_provider_and_in_again(
    kind: Kind, dialect: Any, reply: ChatReply, said: str, found: str
) -> None:
    """What our translator writes for a vendor is a request of that vendor's dialect, and means the same."""
    asked = reply.choices[0].message
    # Ollama has no place for proofs, OpenAI's chat none for hidden reasoning in a request.
    content = tuple(part for part in asked.content if kind == "anthropic" or isinstance(part, TextPart))
    calls = tuple(ToolCall(id=call.id, name=call.name, arguments=call.arguments) for call in asked.tool_calls)
    results = (Message(role="tool", content=(TextPart(text=found),), tool_call_id=call.id) for call in calls)
    messages = (
        Message(role="system", content=(TextPart(text=said),)),
        Message(role="user", content=(TextPart(text=said), IMAGE)),
        Message(role="assistant", content=content, tool_calls=calls),
        *results,
    )
    options = Options(
        temperature=0.5, max_tokens=9, stop=("a",), tools=(Tool(name="f", parameters={"type": "object"}),)
    )
    vendor: Any = VENDORS[kind]
    written = vendor.chat_request(ChatRequest(model="m", messages=messages, options=options, stream=True))
    read = dialect.parse(written.body).chat
    for after, before in zip(read.messages, messages, strict=True):
        assert same(after, before)
        assert (after.role, after.tool_call_id) == (before.role, before.tool_call_id)
    assert (read.stream, read.options.max_tokens, read.options.temperature) == (True, 9, 0.5)
    assert (read.options.stop, read.options.tools[0].name) == (("a",), "f")
