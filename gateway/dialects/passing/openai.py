"""OpenAI's chat completions on their way through (API reference, "chat.completion" and "chat.completion.chunk")."""

from typing import Any

import msgspec

from gateway.dialects import envelope as envelopes
from gateway.dialects import errors, sse
from gateway.dialects.envelope import Envelope
from gateway.dialects.errors import Failure
from gateway.dialects.passing.base import Seen
from gateway.dialects.passing.frames import read_event, sse_cutter
from gateway.dialects.passing.openai_chunks import OpenAIStream
from gateway.dialects.passing.openai_counts import Counts, take_usage
from gateway.messages.chat import Usage
from gateway.providers import lenient
from gateway.providers.openai_reply import read_usage

NULL = msgspec.Raw(b"null")  # a union of Raw and None would take nothing but null


class _Message(msgspec.Struct):
    role: str
    content: msgspec.Raw = NULL
    tool_calls: list[msgspec.Raw] | None = None


class _Choice(msgspec.Struct):
    index: int
    message: _Message
    finish_reason: str


class _Reply(msgspec.Struct):
    id: str
    object: str
    created: int
    model: str
    choices: list[_Choice]
    usage: Counts


class _LooseReply(msgspec.Struct):
    id: str
    object: str
    created: int
    model: str
    choices: list[_Choice]
    usage: dict[str, Any]


_read_reply = msgspec.json.Decoder(_Reply).decode
_read_loose_reply = msgspec.json.Decoder(_LooseReply).decode


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
        reply: _Reply | _LooseReply
        try:
            reply = _read_reply(body)
            usage: Usage | None = take_usage(reply.usage)
        except (ValueError, RecursionError):
            try:
                reply = _read_loose_reply(body)
            except (ValueError, RecursionError):
                return None
            usage = read_usage(reply.usage)
        if not reply.choices:
            return None
        for choice in reply.choices:
            if not choice.message.tool_calls and choice.message.content == NULL:
                return None
        seen = Seen()
        seen.begun = True
        seen.usage = usage
        seen.finish_reason = reply.choices[0].finish_reason
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


OPENAI = OpenAIPassage()
