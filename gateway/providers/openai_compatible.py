"""OpenAI's wire format (Chat Completions, Embeddings, Models), for every server that speaks it.

`VENDOR` is for servers of which nothing more is known (vLLM, llama.cpp, LocalAI, OpenRouter, …): what the caller
gave is passed on, and answers are read leniently. `openai`, `lmstudio` and `stub` are the same with another
`Profile`. Source: OpenAI API reference.
"""

import struct
from base64 import b64decode
from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.errors import GatewayError, UnusableAnswer
from gateway.messages.chat import ChatReply, ChatRequest
from gateway.messages.embeddings import EmbeddingsReply, EmbeddingsRequest
from gateway.messages.models import Model
from gateway.providers import lenient
from gateway.providers.base import StreamDecoder, UpstreamRequest
from gateway.providers.decoding import StreamReader
from gateway.providers.failures import openai_complaint, plain_complaint, raise_error_in, read_said, refusal
from gateway.providers.leftovers import left_out, texts_only
from gateway.providers.openai_body import Profile, write_body
from gateway.providers.openai_reply import read_reply, read_usage
from gateway.providers.openai_stream import ChunkFraming, ChunkGrammar


class OpenAICompatible:
    """A vendor (chat, embeddings, models) that speaks OpenAI's wire format with the differences in `profile`."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.needs_key = profile.needs_key
        self.native_paths: Mapping[str, str] = {"openai_chat": f"{profile.prefix}/chat/completions"}

    def credential_headers(self, key: str) -> tuple[tuple[str, str], ...]:
        """Give the bearer header; none without a key."""
        return (("authorization", f"Bearer {key}"),) if key else ()

    def explain_error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:  # noqa: ARG002  contract
        """Turn an error answer into ours; see `base.Vendor`."""
        answer = read_said(body)
        return refusal(status, openai_complaint(answer) or plain_complaint(answer))

    def chat_request(self, chat: ChatRequest) -> UpstreamRequest:
        """Write the chat as a Chat Completions request."""
        body, warnings = write_body(chat, self.profile)
        path = f"{self.profile.prefix}/chat/completions"
        return UpstreamRequest(path=path, body=msgspec.json.encode(body), warnings=warnings)

    def chat_reply(self, body: bytes) -> ChatReply:
        """Read a whole answer."""
        return read_reply(body)

    def chat_events(self) -> StreamDecoder:
        """Give a fresh decoder for one stream."""
        return StreamReader(ChunkFraming(), ChunkGrammar())

    def embeddings_request(self, embeddings: EmbeddingsRequest) -> UpstreamRequest:
        """Write the texts (or token ids, where the server takes them) as an Embeddings request."""
        if not self.profile.token_ids:
            texts_only(embeddings, self.profile.name)
        known = self.profile.known_embeddings_extras
        extra = embeddings.extra if known is None else {k: v for k, v in embeddings.extra.items() if k in known}
        body: dict[str, Any] = {**extra, "model": embeddings.model, "input": embeddings.input}
        if embeddings.dimensions is not None:
            body["dimensions"] = embeddings.dimensions
        if embeddings.user is not None:
            body["user"] = embeddings.user
        warnings = tuple(left_out(name, self.profile.name) for name in embeddings.extra if name not in extra)
        path = f"{self.profile.prefix}/embeddings"
        return UpstreamRequest(path=path, body=msgspec.json.encode(body), warnings=warnings)

    def embeddings_reply(self, body: bytes) -> EmbeddingsReply:
        """Read the vectors, whether lists of numbers or base64 of float32, in the order of their `index`."""
        answer = lenient.parse(body)
        raise_error_in(answer)
        fields = lenient.mapping(answer)
        entries = [entry for entry in lenient.sequence(fields.get("data")) if isinstance(entry, dict)]
        places = [lenient.integer(entry.get("index")) for entry in entries]
        if entries and None not in places:
            entries = [entry for _, entry in sorted(zip(places, entries, strict=True), key=lambda pair: pair[0] or 0)]
        found = [entry.get("embedding") for entry in entries] or lenient.sequence(fields.get("embeddings"))
        if not found:
            raise UnusableAnswer("the provider's answer holds no embeddings")
        return EmbeddingsReply(
            model=lenient.text(fields.get("model")),
            vectors=tuple(map(_vector, found)),
            usage=read_usage(fields.get("usage")),
        )

    def models_request(self, page: str | None = None) -> UpstreamRequest:  # noqa: ARG002  this list has one page
        """Ask for the models."""
        return UpstreamRequest(path=f"{self.profile.prefix}/models", method="GET")

    def models_reply(self, body: bytes) -> tuple[tuple[Model, ...], str | None]:
        """Read the models; a bare list, and one under the name `models`, are understood too."""
        answer = lenient.parse(body)
        raise_error_in(answer)
        fields = lenient.mapping(answer)
        entries = answer if isinstance(answer, list) else fields.get("data", fields.get("models"))
        if not isinstance(entries, list):
            raise UnusableAnswer("the provider's answer holds no list of models")
        models = (_model({"id": entry} if isinstance(entry, str) else lenient.mapping(entry)) for entry in entries)
        return tuple(model for model in models if model is not None), None


def _vector(found: Any) -> tuple[float, ...]:
    if not isinstance(found, str):
        return lenient.vector(found)
    try:
        packed = b64decode(found, validate=True)
        return struct.unpack(f"<{len(packed) // 4}f", packed)
    except (ValueError, struct.error) as error:
        raise UnusableAnswer("the provider's answer holds an embedding that is not base64 of float32") from error


def _model(entry: dict[str, Any]) -> Model | None:
    name = lenient.text_or_none(entry.get("id")) or lenient.text_or_none(entry.get("name"))
    if name is None:
        return None
    return Model(
        id=name,
        created=lenient.integer(entry.get("created")) or 0,
        owned_by=lenient.text_or_none(entry.get("owned_by")),
        details={key: value for key, value in entry.items() if key not in {"id", "object", "created", "owned_by"}},
    )


VENDOR = OpenAICompatible(Profile(name="this provider", keeps_cache_control=True))
