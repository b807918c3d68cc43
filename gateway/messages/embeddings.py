"""Texts to be turned into vectors."""

import msgspec

from gateway.messages.chat import Usage


class EmbeddingsRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Texts (or lists of token ids) to embed with `model`, the provider's own name of it."""

    model: str
    input: tuple[str, ...] | tuple[tuple[int, ...], ...]
    dimensions: int | None = None
    user: str | None = None
    extra: dict[str, object] = {}


class EmbeddingsReply(msgspec.Struct, frozen=True, kw_only=True):
    """One vector for each input, in the same order."""

    model: str
    vectors: tuple[tuple[float, ...], ...]
    usage: Usage | None = None
    warnings: tuple[str, ...] = ()
