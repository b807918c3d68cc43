"""Chunks of half-compatible servers, made what OpenAI's should be; what fits already is kept as it is."""

import secrets
import time
from collections.abc import Container
from typing import Any, get_args

import msgspec

from gateway.dialects.base import openai_usage
from gateway.dialects.passing.openai_calls import OpenCalls
from gateway.dialects.passing.openai_members import Counts, FinishReason
from gateway.messages.chat import Finished, TextDelta
from gateway.providers import lenient
from gateway.providers.failures import raise_error_in
from gateway.providers.framing import ServerSentEvent
from gateway.providers.openai_reply import read_finish, read_reasoning, read_text, read_usage
from gateway.providers.openai_stream import ChunkGrammar

_HEAD = ("id", "object", "created", "model")
_MENDED = ("index", "delta", "message", "text", "finish_reason")


def read_leniently(name: bytes, data: bytes) -> dict[str, Any] | None:
    """Give an event as a chunk with a list of choices; None for what is none. The error that it tells of is raised."""
    event = ServerSentEvent(name.decode("utf-8", "replace") or "message", data.decode("utf-8", "replace"))
    chunk = lenient.parse_or_none(data)
    if event.event != "error" and isinstance(chunk, dict) and isinstance(chunk.get("choices"), list):
        raise_error_in(chunk)
        return chunk
    text, reason = "", None
    for said in ChunkGrammar().read(event):
        if isinstance(said, TextDelta):
            text += said.text
        elif isinstance(said, Finished):
            reason = said.finish_reason
    if not isinstance(chunk, dict):
        return None
    choices = [{"delta": {"content": text}, "finish_reason": reason}] if text or reason else []
    return {**{name: chunk[name] for name in (*_HEAD, "usage") if name in chunk}, "choices": choices}


class ChunkMender:
    """Mends the chunks of one stream. `model` is the name to show, `begun` holds the answers that have begun."""

    def __init__(self, model: str, begun: Container[int], calls: OpenCalls) -> None:
        self._made_up = {"id": f"chatcmpl-{secrets.token_hex(12)}", "created": int(time.time()), "model": model}
        self._begun = begun
        self._calls = calls

    def mend(self, chunk: dict[str, Any], head: dict[str, Any]) -> dict[str, Any] | None:
        """Give a chunk as it should be, None if it says nothing; `head` is how the stream's first one began."""
        mended = {**self._mend_head(chunk, head), **{name: chunk[name] for name in chunk if name not in _HEAD}}
        mended.pop("error", None)
        mended["choices"] = [
            self._mend_choice(choice, place, mended["id"])
            for place, choice in enumerate(chunk["choices"])
            if isinstance(choice, dict)
        ]
        if "usage" in chunk:
            mended["usage"] = _mend_usage(chunk["usage"])
        return mended if mended["choices"] or mended.get("usage") else None

    def _mend_head(self, chunk: dict[str, Any], head: dict[str, Any]) -> dict[str, Any]:
        if head:
            return head
        created = lenient.integer(chunk.get("created"))
        return {
            "id": lenient.text_or_none(chunk.get("id")) or self._made_up["id"],
            "object": "chat.completion.chunk",
            "created": self._made_up["created"] if created is None or created < 0 else created,
            "model": lenient.text_or_none(chunk.get("model")) or self._made_up["model"],
        }

    def _mend_choice(self, choice: dict[str, Any], place: int, seed: str) -> dict[str, Any]:
        given = lenient.integer(choice.get("index"))
        index = place if given is None or given < 0 else given
        delta = _mend_delta(_delta_of(choice))
        if index not in self._begun:
            delta = {"role": "assistant", **delta}
        if calls := self._place_calls(index, lenient.sequence(delta.pop("tool_calls", None)), seed):
            delta["tool_calls"] = calls
        reason = choice.get("finish_reason")
        if not isinstance(reason, str) or reason not in get_args(FinishReason):
            reason = read_finish(reason, called=self._calls.any(index))
        if reason is not None and (lacking := self._calls.lacking(index)):
            delta["tool_calls"] = _with_arguments(delta.get("tool_calls", []), lacking)
        rest = {name: value for name, value in choice.items() if name not in _MENDED}
        return {"index": index, "delta": delta, **rest, "finish_reason": reason}

    def _place_calls(self, index: int, calls: list[Any], seed: str) -> list[dict[str, Any]]:
        placed = (self._calls.place(index, lenient.mapping(call), seed) for call in calls)
        return [piece for piece in placed if piece is not None]


def _delta_of(choice: dict[str, Any]) -> dict[str, Any]:
    for name in ("delta", "message"):
        given = choice.get(name)
        if isinstance(given, dict):
            return given
        if isinstance(given, str):
            return {"content": given}
    return {"content": choice["text"]} if isinstance(choice.get("text"), str) else {}


def _mend_delta(fields: dict[str, Any]) -> dict[str, Any]:
    delta = dict(fields)
    if delta.get("role") != "assistant":
        delta.pop("role", None)
    for name in ("content", "refusal", "reasoning_content", "reasoning"):
        if not isinstance(delta.get(name), str | None):
            del delta[name]
    if "content" in fields and "content" not in delta:
        delta["content"] = read_text(fields["content"])
        if thought := read_reasoning(fields):
            delta["reasoning_content"] = thought
    if "function_call" in fields:
        delta["function_call"] = _mend_function(fields["function_call"])
    return delta


def _mend_function(given: Any) -> dict[str, Any] | None:
    if not isinstance(given, dict):
        return None
    arguments = given.get("arguments")
    if isinstance(arguments, dict):
        arguments = lenient.dump(arguments)
    mended = {"arguments": arguments if isinstance(arguments, str) else ""}
    return mended | {"name": given["name"]} if isinstance(given.get("name"), str) else mended


def _mend_usage(given: Any) -> Any:
    try:
        msgspec.convert(given, Counts)
    except msgspec.ValidationError:
        usage = read_usage(given)
        return openai_usage(usage) if usage is not None else None
    return given


def _with_arguments(pieces: list[dict[str, Any]], lacking: list[int]) -> list[dict[str, Any]]:
    """Give pieces in which each call that lacks arguments has empty ones."""
    begun = {piece["index"]: piece for piece in pieces}
    for number in lacking:
        piece = begun.get(number, {"index": number})
        begun[number] = {**piece, "function": {**lenient.mapping(piece.get("function")), "arguments": "{}"}}
    return list(begun.values())
