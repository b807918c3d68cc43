"""Gemini's whole answers that are one text and nothing else, read at a glance.

Most are. `read_plain_answer` gives what `gemini_reply.read_reply` makes of them member by member, at half of its
price, and declines whatever holds more: a call, a thought, a proof, an image, a second candidate, an error.
"""

from collections.abc import Callable
from typing import Annotated

import msgspec
from msgspec import Meta

from gateway.messages.chat import ChatReply, Choice, FinishReason, Message, TextPart, Usage

_Word = Annotated[str, Meta(min_length=1)]
_Finish = Callable[[str], FinishReason]


class _Part(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    text: _Word


class _Content(msgspec.Struct, gc=False):
    parts: Annotated[list[_Part], Meta(min_length=1)]


class _Candidate(msgspec.Struct, gc=False, rename="camel"):
    content: _Content
    finish_reason: _Word
    index: int = 0
    logprobs_result: None = None


class _Counts(msgspec.Struct, gc=False, rename="camel"):
    prompt_token_count: int
    candidates_token_count: int = 0
    tool_use_prompt_token_count: int = 0
    cached_content_token_count: int | None = None
    thoughts_token_count: int | None = None


class _Answer(msgspec.Struct, gc=False, rename="camel"):
    candidates: Annotated[list[_Candidate], Meta(min_length=1, max_length=1)]
    usage_metadata: _Counts
    model_version: str = ""
    response_id: str | None = None
    create_time: None = None
    error: None = None


_decode = msgspec.json.Decoder(_Answer).decode


def read_plain_answer(body: bytes, read_finish: _Finish) -> ChatReply | None:
    """Read an answer of one text; None for any other. `read_finish` understands why it has ended."""
    try:
        answer = _decode(body)
    except (ValueError, RecursionError):
        return None
    (candidate,), counts = answer.candidates, answer.usage_metadata
    thoughts = counts.thoughts_token_count
    usage = Usage(
        prompt_tokens=counts.prompt_token_count + counts.tool_use_prompt_token_count,
        completion_tokens=counts.candidates_token_count + (thoughts or 0),
        cached_tokens=counts.cached_content_token_count,
        reasoning_tokens=thoughts,
    )
    message = Message(role="assistant", content=tuple([TextPart(text=part.text) for part in candidate.content.parts]))
    choice = Choice(message=message, finish_reason=read_finish(candidate.finish_reason), index=candidate.index)
    return ChatReply(model=answer.model_version, choices=(choice,), id=answer.response_id or None, usage=usage)
