"""Anthropic's whole answers that are texts and nothing else, read at a glance.

Most are. `read_plain_answer` gives what `Anthropic.chat_reply` makes of them member by member, at a third of its
price, and declines whatever holds more: a tool call, thinking, citations, a refusal, an error.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gateway.messages.chat import ChatReply, Choice, FinishReason, Message, TextPart, Usage

_Word = Annotated[str, Meta(min_length=1)]


class _Block(msgspec.Struct, gc=False):
    type: Literal["text"]
    text: _Word
    citations: None = None


class _Counts(msgspec.Struct, gc=False):
    input_tokens: int
    output_tokens: int
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    output_tokens_details: None = None


class _Answer(msgspec.Struct, gc=False):
    type: Literal["message"]
    id: _Word
    model: str
    content: Annotated[list[_Block], Meta(min_length=1)]
    stop_reason: _Word
    usage: _Counts
    stop_details: None = None
    error: None = None


_decode = msgspec.json.Decoder(_Answer).decode


def read_plain_answer(body: bytes, finish_reasons: Mapping[str, FinishReason]) -> ChatReply | None:
    """Read an answer of texts; None for any other. `finish_reasons` are those other than `stop`."""
    try:
        answer = _decode(body)
    except (ValueError, RecursionError):
        return None
    counts = answer.usage
    read, written = counts.cache_read_input_tokens, counts.cache_creation_input_tokens
    usage = Usage(
        prompt_tokens=counts.input_tokens + (read or 0) + (written or 0),
        completion_tokens=counts.output_tokens,
        cached_tokens=read,
        cache_write_tokens=written,
    )
    message = Message(role="assistant", content=tuple([TextPart(text=block.text) for block in answer.content]))
    choice = Choice(message=message, finish_reason=finish_reasons.get(answer.stop_reason, "stop"))
    return ChatReply(model=answer.model, choices=(choice,), id=answer.id, usage=usage)
