"""What a vendor's file has to offer, and the pure data that goes in and out of it.

A vendor's file is a set of pure functions around data: no I/O, no settings, no clock. It says where a request
goes, what bytes it consists of, and what the bytes that come back mean. Embeddings and model lists are separate
capabilities: a vendor has those that it can do. Adding a vendor is one file, one line in `providers.VENDORS`,
and one test file.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import msgspec

from gateway.errors import GatewayError
from gateway.messages.chat import ChatReply, ChatRequest, StreamEvent
from gateway.messages.embeddings import EmbeddingsReply, EmbeddingsRequest
from gateway.messages.models import Model


class UpstreamRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request as the vendor wants it, without address and credentials.

    `path` is relative to the provider's base URL and begins with `/`; it may carry a query. `headers` are those
    beyond content-type, which is JSON whenever there is a body. `warnings` names the options that were dropped.
    """

    path: str
    method: str = "POST"
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()


class StreamDecoder(Protocol):
    """Turns the bytes of one streamed answer into events; made afresh for each stream.

    Bytes may be cut anywhere, within a character as well. Malformed events are skipped. An error event of the
    vendor raises `ProviderError`.
    """

    @property
    def ended(self) -> bool:
        """Whether the end mark of the wire format has come: what follows it says nothing, so nobody need wait for it.

        Stays False for a format without one (Gemini's); `finish()` is to be called either way.
        """
        ...

    def feed(self, data: bytes) -> Sequence[StreamEvent]:
        """Take the next bytes, give the events that are complete with them; none after the end mark."""
        ...

    def finish(self) -> Sequence[StreamEvent]:
        """Say that no more bytes come; `UnusableAnswer` if the stream was cut short (no finish, no end mark)."""
        ...


@runtime_checkable
class Vendor(Protocol):
    """What every vendor's file offers."""

    needs_key: bool
    native_paths: Mapping[str, str]
    """Where a request goes that a client has written in this vendor's own wire format: by the format's name
    (`openai_chat`, `anthropic`, `ollama`), a path relative to the base URL."""

    def credential_headers(self, key: str) -> tuple[tuple[str, str], ...]:
        """Give the headers that carry `key` (and what else each request of this vendor must have)."""
        ...

    def explain_error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        """Turn an error answer into ours.

        `ProviderError` for what the provider says of the request, `ModelNotFound` where it says that it has no
        such model, `CredentialsRefused` for 401 and 403 (and what means the same). `headers` have lower-case
        names. The caller adds provider, model, Retry-After and request id.
        """
        ...


@runtime_checkable
class Chat(Vendor, Protocol):
    """A vendor that can chat."""

    def chat_request(self, chat: ChatRequest) -> UpstreamRequest:
        """Write the chat in the vendor's wire format; with `chat.stream`, so that usage is reported too."""
        ...

    def chat_reply(self, body: bytes) -> ChatReply:
        """Read a whole answer; `UnusableAnswer` when it holds none."""
        ...

    def chat_events(self) -> StreamDecoder:
        """Give a fresh decoder for one stream."""
        ...


@runtime_checkable
class Embeddings(Vendor, Protocol):
    """A vendor that can embed."""

    def embeddings_request(self, embeddings: EmbeddingsRequest) -> UpstreamRequest:
        """Write the texts in the vendor's wire format."""
        ...

    def embeddings_reply(self, body: bytes) -> EmbeddingsReply:
        """Read the vectors, in the order of the texts."""
        ...


@runtime_checkable
class Models(Vendor, Protocol):
    """A vendor that lists its models."""

    def models_request(self, page: str | None = None) -> UpstreamRequest:
        """Ask for the models; `page` is the mark that the answer before has given."""
        ...

    def models_reply(self, body: bytes) -> tuple[tuple[Model, ...], str | None]:
        """Read the models, and the mark of the next page if there is one."""
        ...
