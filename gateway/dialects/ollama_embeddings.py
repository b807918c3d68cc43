"""Ollama's embed and the older embeddings (docs/api.md, "Generate Embeddings")."""

from typing import Any

from gateway.dialects.base import Head
from gateway.dialects.ollama_request import read_embed
from gateway.dialects.reading import open_body
from gateway.messages.embeddings import EmbeddingsReply, EmbeddingsRequest


def parse_embed(body: bytes) -> EmbeddingsRequest:
    """Read a request for the vectors of `input`, a text or a list of texts."""
    fields = open_body(body)
    request = read_embed(fields, "input")
    fields.check()
    return request


def parse_embeddings(body: bytes) -> EmbeddingsRequest:
    """Read a request in the older form, for the vector of `prompt`."""
    fields = open_body(body)
    request = read_embed(fields, "prompt")
    fields.check()
    return request


def write_embed(reply: EmbeddingsReply, head: Head) -> dict[str, Any]:
    """Write the vectors in the order of the texts."""
    body: dict[str, Any] = {"model": head.model, "embeddings": [list(vector) for vector in reply.vectors]}
    if elapsed := head.elapsed():
        body |= {"total_duration": elapsed, "load_duration": 0}
    if reply.usage is not None:
        body["prompt_eval_count"] = reply.usage.prompt_tokens
    return _with_warnings(body, reply, head)


def write_embeddings(reply: EmbeddingsReply, head: Head) -> dict[str, Any]:
    """Write the one vector in the older form."""
    return _with_warnings({"embedding": list(reply.vectors[0])}, reply, head)


def _with_warnings(body: dict[str, Any], reply: EmbeddingsReply, head: Head) -> dict[str, Any]:
    if warnings := list(dict.fromkeys((*head.warnings, *reply.warnings))):
        body["warnings"] = warnings
    return body
