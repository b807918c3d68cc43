"""Anthropic's messages on their way through (API reference, "Messages" and "Streaming Messages")."""

from typing import Annotated, Any, Literal

import msgspec

from gateway.dialects import envelope as envelopes
from gateway.dialects import errors, sse
from gateway.dialects.envelope import Envelope
from gateway.dialects.errors import Failure
from gateway.dialects.passing.base import FrameStream, Seen
from gateway.dialects.passing.frames import named_data, read_event, sse_cutter
from gateway.messages.chat import Usage
from gateway.providers import VENDORS
from gateway.providers.anthropic import read_usage
from gateway.providers.base import Chat

Count = Annotated[int, msgspec.Meta(ge=0)]
Name = Annotated[str, msgspec.Meta(min_length=1)]

_NONE = msgspec.Raw(b"null")
_QUOTE = ord('"')


class _Block(msgspec.Struct):
    type: Name
    text: msgspec.Raw = _NONE  # it may be long


class _OutputDetails(msgspec.Struct):
    thinking_tokens: Count | None = None


class _Counts(msgspec.Struct):
    input_tokens: Count
    output_tokens: Count
    cache_read_input_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    output_tokens_details: _OutputDetails | None = None


class _Reply(msgspec.Struct):
    id: Name
    type: Literal["message"]
    role: Literal["assistant"]
    model: Name
    content: list[_Block]
    stop_reason: Name
    usage: _Counts


class _Event(msgspec.Struct):
    type: str
    message: dict[str, Any] | None = None
    delta: dict[str, Any] | None = None
    usage: dict[str, Any] | None = None


_read_reply = msgspec.json.Decoder(_Reply).decode
_read_event = msgspec.json.Decoder(_Event).decode


class AnthropicPassage:
    """Messages as a passage."""

    wire = "anthropic"

    def read(self, body: bytes) -> Envelope:
        """Look at the outside of a request."""
        return envelopes.read(body)

    def write_request(self, envelope: Envelope, model: str) -> bytes:
        """Put in the provider's name of the model."""
        return envelope.body if model == envelope.model else envelopes.rewrite(envelope, {"model": model})

    def look(self, body: bytes) -> Seen | None:
        """Look at a whole answer."""
        try:
            reply = _read_reply(body)
        except (ValueError, RecursionError):
            return None
        for block in reply.content:
            if block.type == "text" and memoryview(block.text)[0] != _QUOTE:
                return None
        seen = Seen()
        seen.begun = True
        seen.usage = _take_usage(reply.usage)
        seen.finish_reason = reply.stop_reason
        return seen

    def first_frame(self, begun: bytes) -> bytes | None:
        """Give the first event that says something."""
        return sse_cutter().first(begun)

    def begins_well(self, frame: bytes) -> bool:
        """Tell whether a frame is one of Anthropic's named events."""
        return read_event(frame)[0] in (b"message_start", b"ping", b"error")

    def fail(self, failure: Failure) -> list[bytes]:
        """Write an error that ends a stream."""
        return [sse.event("error", errors.anthropic(failure))]

    def stream(self, envelope: Envelope, model: str) -> "AnthropicStream":
        """Give a fresh stream."""
        del envelope, model
        return AnthropicStream()


class AnthropicStream(FrameStream):
    """One stream of events on its way through."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        super().__init__(sse_cutter())
        self._counts: dict[str, Any] = {}

    def _end(self) -> list[bytes]:
        return [sse.event("message_stop", {"type": "message_stop"})]

    def _pass(self, frame: bytes) -> tuple[bytes, ...]:
        name, data = named_data(frame)
        exact = bool(name)
        if not exact:
            name, data = read_event(frame)
        try:
            event = _read_event(data)
        except (ValueError, RecursionError):
            return ()
        self._look(event, frame)
        if exact and event.type.encode() == name:
            return (frame,)
        return (b"event: %b\ndata: %b\n\n" % (event.type.encode(), data),) if event.type.isidentifier() else ()

    def _look(self, event: _Event, frame: bytes) -> None:
        match event.type:
            case "content_block_delta":
                self.seen.begun = True
            case "message_start":
                self._count((event.message or {}).get("usage"))
            case "message_delta":
                self._count(event.usage)
                reason = (event.delta or {}).get("stop_reason")
                self.seen.finish_reason = reason if isinstance(reason, str) else self.seen.finish_reason
            case "message_stop":
                self.seen.ended = True
            case "error":
                _raise(frame)

    def _count(self, counts: object) -> None:
        if isinstance(counts, dict):
            self._counts |= {name: value for name, value in counts.items() if value is not None}
            usage: Usage | None = read_usage(self._counts)
            self.seen.usage = usage or self.seen.usage


def _take_usage(counts: _Counts) -> Usage:
    read, written, details = (
        counts.cache_read_input_tokens,
        counts.cache_creation_input_tokens,
        counts.output_tokens_details,
    )
    return Usage(
        prompt_tokens=counts.input_tokens + (read or 0) + (written or 0),
        completion_tokens=counts.output_tokens,
        cached_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=details.thinking_tokens if details is not None else None,
    )


def _raise(frame: bytes) -> None:
    vendor = VENDORS["anthropic"]
    assert isinstance(vendor, Chat)
    vendor.chat_events().feed(frame)


ANTHROPIC = AnthropicPassage()
