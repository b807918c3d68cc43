"""What a dialect has to offer, and the pure data that goes in and out of it."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import msgspec

from gateway.dialects.errors import Failure
from gateway.messages.chat import ChatReply, ChatRequest, StreamEvent, Usage


class Parsed(msgspec.Struct, frozen=True, kw_only=True):
    """A chat as it was asked, and what its writer must know beyond it.

    `chat.model` is the name as the client wrote it; `provider` is given only by the dialect that has such a field.
    `include_usage` is OpenAI's wish for a last chunk with the usage; `warnings` names what this dialect could not
    take over.
    """

    chat: ChatRequest
    provider: str | None = None
    include_usage: bool = False
    warnings: tuple[str, ...] = ()


def _untold() -> int:
    return 0


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """What stands at the head of an answer and only the caller knows.

    `id` is a fresh token without prefix (it is used where the provider gave no id), `created` a Unix time in
    seconds, `model` the name to show, constant for the whole answer; `warnings` are those of the provider's
    request and of routing (those of `Parsed` are added by the writer). `elapsed` tells how long the call has taken
    so far, in nanoseconds (Ollama's answers say so); 0 is not written.
    """

    id: str
    created: int
    model: str
    provider: str
    warnings: tuple[str, ...] = ()
    elapsed: Callable[[], int] = _untold


class StreamEncoder(Protocol):
    """Writes the events of one answer; made afresh for each stream.

    Each element of what it gives is one frame (an SSE event or an NDJSON line), to be sent as one write. What
    opens the stream is written with the first event.
    """

    def encode(self, event: StreamEvent) -> Sequence[bytes]:
        """Write one event; may be nothing when it is held back for a later frame."""
        ...

    def finish(self) -> Sequence[bytes]:
        """Write what closes a stream that has ended well."""
        ...

    def fail(self, failure: Failure) -> Sequence[bytes]:
        """Write an error that ends the stream; no end mark follows it."""
        ...


ParsedT = TypeVar("ParsedT", bound=Parsed)
AskedT_contra = TypeVar("AskedT_contra", bound=Parsed, contravariant=True)


class Writer(Protocol[AskedT_contra]):
    """The half of a dialect that answers."""

    STREAM_TYPE: str
    KEEP_ALIVE: bytes | None

    def write_reply(self, parsed: AskedT_contra, reply: ChatReply, head: Head) -> dict[str, Any]:
        """Write a whole answer."""
        ...

    def events(self, parsed: AskedT_contra, head: Head) -> StreamEncoder:
        """Give a fresh encoder for one stream."""
        ...

    def error_body(self, failure: Failure) -> dict[str, Any]:
        """Write an error."""
        ...


class Dialect(Writer[ParsedT], Protocol[ParsedT]):
    """One client's wire format of a chat. The modules of this package satisfy it as they are."""

    def parse(self, body: bytes) -> ParsedT:
        """Read a request; `InvalidRequest` naming every field that is wrong, and nothing else."""
        ...


def all_warnings(parsed: Parsed, head: Head, reply: ChatReply | None = None) -> list[str]:
    """Gather the warnings of reading, routing and answering, each once."""
    return list(dict.fromkeys((*parsed.warnings, *head.warnings, *(reply.warnings if reply else ()))))


def openai_usage(usage: Usage) -> dict[str, Any]:
    """Write usage under OpenAI's names; the details only where the provider told them."""
    body: dict[str, Any] = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }
    if usage.cached_tokens is not None or usage.cache_write_tokens is not None:
        body["prompt_tokens_details"] = {"cached_tokens": usage.cached_tokens or 0}
        if usage.cache_write_tokens is not None:
            body["prompt_tokens_details"]["cache_write_tokens"] = usage.cache_write_tokens
    if usage.reasoning_tokens is not None:
        body["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return body
