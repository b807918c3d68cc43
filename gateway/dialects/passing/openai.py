"""OpenAI's chat completions on their way through (API reference, "chat.completion" and "chat.completion.chunk")."""

from typing import Annotated, Any, Literal

import msgspec

from gateway.dialects import envelope as envelopes
from gateway.dialects import errors, sse
from gateway.dialects.envelope import Envelope
from gateway.dialects.errors import Failure
from gateway.dialects.passing.base import Seen
from gateway.dialects.passing.frames import read_event, sse_cutter
from gateway.dialects.passing.openai_chunks import OpenAIStream
from gateway.dialects.passing.openai_members import Count, Counts, FinishReason, Name, take_usage
from gateway.providers import lenient

NULL = msgspec.Raw(b"null")  # a union of Raw and None would take nothing but null
EMPTY = msgspec.Raw(b'""')

_QUOTE = ord('"')


class _Object(msgspec.Struct):
    """Any JSON object."""


class _Function(msgspec.Struct):
    name: Name
    arguments: msgspec.Raw


class _Call(msgspec.Struct):
    id: Name
    type: Name
    function: _Function | None = None
    custom: _Object | None = None


class _Message(msgspec.Struct):
    """What is said; texts stay raw, as they may be long."""

    role: Literal["assistant"]
    content: msgspec.Raw = NULL
    refusal: str | None = None
    tool_calls: list[_Call] | None = None
    function_call: _Function | None = None
    audio: _Object | None = None


class _Choice(msgspec.Struct):
    index: Count
    message: _Message
    finish_reason: FinishReason


class _Reply(msgspec.Struct):
    id: Name
    object: Literal["chat.completion"]
    created: Count
    model: Name
    choices: Annotated[list[_Choice], msgspec.Meta(min_length=1)]
    usage: Counts
    error: None = None


_read_reply = msgspec.json.Decoder(_Reply).decode


class OpenAIPassage:
    """Chat completions as a passage."""

    wire = "openai_chat"

    def read(self, body: bytes) -> Envelope:
        """Look at the outside of a request."""
        return envelopes.read(body)

    def write_request(self, envelope: Envelope, model: str) -> bytes:
        """Put in the provider's name of the model; of a stream the usage is always asked for."""
        changes: dict[str, Any] = {} if model == envelope.model else {"model": model}
        if envelope.stream and not envelope.include_usage:
            changes["stream_options"] = {**(envelope.stream_options or {}), "include_usage": True}
        return envelopes.rewrite(envelope, changes) if changes else envelope.body

    def look(self, body: bytes) -> Seen | None:
        """Look at a whole answer; one with an empty message and no call has to be judged anew."""
        try:
            reply = _read_reply(body)
        except (ValueError, RecursionError):
            return None
        choices = reply.choices
        for choice in choices:
            if not _is_well_formed(choice.message):
                return None
        if len(choices) > 1 and len({choice.index for choice in choices}) < len(choices):
            return None
        seen = Seen()
        seen.begun = True
        seen.usage = take_usage(reply.usage)
        seen.finish_reason = choices[0].finish_reason
        return seen

    def first_frame(self, begun: bytes) -> bytes | None:
        """Give the first event that says something."""
        return sse_cutter().first(begun)

    def begins_well(self, frame: bytes) -> bool:
        """Tell whether a frame is a chunk with choices."""
        chunk = lenient.parse_or_none(read_event(frame)[1])
        return isinstance(chunk, dict) and isinstance(chunk.get("choices"), list)

    def fail(self, failure: Failure) -> list[bytes]:
        """Write an error that ends a stream."""
        return [sse.data(errors.openai(failure))]

    def stream(self, envelope: Envelope, model: str) -> "OpenAIStream":
        """Give a fresh stream."""
        return OpenAIStream(model, include_usage=envelope.include_usage)


def _is_well_formed(message: _Message) -> bool:
    calls, legacy = message.tool_calls, message.function_call
    if calls and not all(map(_is_call, calls)):
        return False
    if legacy is not None and not _has_arguments(legacy):
        return False
    if memoryview(message.content)[0] == _QUOTE:
        return True
    return message.content == NULL and bool(calls or legacy or message.refusal or message.audio)


def _is_call(call: _Call) -> bool:
    return call.custom is not None if call.function is None else _has_arguments(call.function)


def _has_arguments(function: _Function) -> bool:
    return memoryview(function.arguments)[0] == _QUOTE and function.arguments != EMPTY


OPENAI = OpenAIPassage()
