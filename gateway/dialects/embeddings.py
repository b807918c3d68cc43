"""OpenAI's embeddings (API reference, "Create embeddings"), read and written."""

import base64
from array import array
from collections.abc import Collection
from typing import Any

import msgspec

from gateway.dialects.base import openai_usage
from gateway.dialects.reading import Fields, kind_of, open_body
from gateway.messages.chat import Usage
from gateway.messages.embeddings import EmbeddingsReply, EmbeddingsRequest

MAX_DIMENSIONS = 65536
MAX_INPUTS = 2048

_UNKNOWN = Usage(prompt_tokens=0, completion_tokens=0)


class ParsedEmbeddings(msgspec.Struct, frozen=True, kw_only=True):
    """Texts to embed, and whether the vectors are wanted as base64 of little-endian float32."""

    request: EmbeddingsRequest
    as_base64: bool = False


def parse(body: bytes) -> ParsedEmbeddings:
    """Read a request; `InvalidRequest` naming every field that is wrong."""
    fields = open_body(body)
    model = fields.text("model", required=True, empty=False) or ""
    form = fields.choice("encoding_format", ("float", "base64"))
    request = read_request(fields, fields, model, beside=("model", "input", "encoding_format"), tokens=True)
    fields.check()
    return ParsedEmbeddings(request=request, as_base64=form == "base64")


def read_request(
    fields: Fields, options: Fields, model: str, beside: Collection[str] = (), *, tokens: bool = False
) -> EmbeddingsRequest:
    """Read `input` from `fields` and the rest from `options`, except the members named `beside`.

    With `tokens` the input may be token ids in the place of texts.
    """
    known = {"dimensions", "user", *beside}
    return EmbeddingsRequest(
        model=model,
        input=_read_input(fields, tokens=tokens),
        dimensions=options.integer("dimensions", 1, MAX_DIMENSIONS),
        user=options.text("user"),
        extra=options.rest(known),
    )


def _read_input(fields: Fields, *, tokens: bool) -> tuple[str, ...] | tuple[tuple[int, ...], ...]:
    """Read a text, a list of texts, or with `tokens` a list of token ids or of such lists; none of them empty."""
    value = fields.get("input")
    if value is None:
        fields.complain("input", "is required")
        return ()
    if not isinstance(value, (str, list)):
        fields.complain("input", f"must be a string or a list, not {kind_of(value)}")
        return ()
    if not value:
        fields.complain("input", "must not be empty")
        return ()
    if isinstance(value, str):
        return (value,)
    if tokens and _is_token(value[0]):
        return (_read_tokens(fields, "input", value),)
    if len(value) > MAX_INPUTS:
        fields.complain("input", f"must have at most {MAX_INPUTS} entries")
        return ()
    if tokens and isinstance(value[0], list):
        return tuple(_read_tokens(fields, f"input[{place}]", item) for place, item in enumerate(value))
    return fields.texts("input")


def _is_token(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _read_tokens(fields: Fields, name: str, value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or not value or not all(_is_token(item) and 0 <= item < 2**31 for item in value):
        fields.complain(name, "must be a list of token ids, not empty and all of one kind")
        return ()
    return tuple(value)


def write_reply(reply: EmbeddingsReply, model: str, *, as_base64: bool = False) -> dict[str, Any]:
    """Write the vectors in the order of the texts; unknown usage is zeros, since the shape demands numbers."""
    usage = openai_usage(reply.usage or _UNKNOWN)
    body: dict[str, Any] = {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": _pack(vector) if as_base64 else list(vector)}
            for index, vector in enumerate(reply.vectors)
        ],
        "model": model,
        "usage": {"prompt_tokens": usage["prompt_tokens"], "total_tokens": usage["total_tokens"]},
    }
    if reply.warnings:
        body["warnings"] = list(reply.warnings)
    return body


def _pack(vector: tuple[float, ...]) -> str:
    floats = array("f", vector)
    if floats.itemsize != 4 or array("H", [1]).tobytes()[0] != 1:
        floats.byteswap()
    return base64.b64encode(floats.tobytes()).decode()
