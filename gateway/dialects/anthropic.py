"""Anthropic's Messages (API reference, "Messages" and "Streaming Messages")."""

from collections.abc import Iterable
from typing import Any

from gateway.dialects import errors, sse
from gateway.dialects.anthropic_request import read_chat
from gateway.dialects.base import Head, Parsed, all_warnings
from gateway.dialects.blocks import Block, BlockSequence, Change, Closed, Grown, Opened, Signed
from gateway.dialects.errors import Failure
from gateway.dialects.openai_answers import read_object, write_signature
from gateway.dialects.reading import open_body
from gateway.messages.chat import (
    ChatReply,
    Finished,
    FinishReason,
    ReasoningPart,
    Started,
    StreamEvent,
    TextPart,
    ToolCall,
    Usage,
    UsageReport,
)

STREAM_TYPE = sse.STREAM_TYPE
KEEP_ALIVE: bytes | None = sse.event("ping", {"type": "ping"})

_STOP_REASONS: dict[FinishReason, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}


def parse(body: bytes) -> Parsed:
    """Read a request; `InvalidRequest` naming every field that is wrong."""
    fields = open_body(body)
    chat, warnings = read_chat(fields)
    fields.check()
    return Parsed(chat=chat, warnings=warnings)


def parse_count(body: bytes) -> Parsed:
    """Read a request to count tokens: a chat without `max_tokens`."""
    fields = open_body(body)
    chat, warnings = read_chat(fields, counting=True)
    fields.check()
    return Parsed(chat=chat, warnings=warnings)


def write_count(tokens: int) -> dict[str, int]:
    """Write the answer to a request to count tokens."""
    return {"input_tokens": tokens}


def write_reply(parsed: Parsed, reply: ChatReply, head: Head) -> dict[str, Any]:
    """Write a whole answer: reasoning and text in their order, then the calls."""
    choice = reply.choices[0]
    blocks: list[dict[str, Any]] = []
    for part in choice.message.content:
        if isinstance(part, ReasoningPart):
            blocks.append(_write_reasoning(part.text, part.signature, part.redacted))
        elif isinstance(part, TextPart) and part.text:
            blocks.append({"type": "text", "text": part.text})
    if choice.refusal:
        blocks.append({"type": "text", "text": choice.refusal})
    blocks += [write_tool_use(call) for call in choice.message.tool_calls]
    reason = _stop_reason(choice.finish_reason, called=bool(choice.message.tool_calls))
    body = _write_message(reply.id or f"msg_{head.id}", head.model, reply.usage, blocks, reason)
    if warnings := all_warnings(parsed, head, reply):
        body["warnings"] = warnings
    return body


def _write_message(
    message_id: str, model: str, usage: Usage | None, blocks: list[dict[str, Any]], reason: str | None
) -> dict[str, Any]:
    return {
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": blocks,
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": write_usage(usage),
    }


def write_usage(usage: Usage | None) -> dict[str, Any]:
    """Write usage: Anthropic counts cached input apart from `input_tokens`; zeros where nothing is known."""
    if usage is None:
        return {"input_tokens": 0, "output_tokens": 0}
    read, written = usage.cached_tokens or 0, usage.cache_write_tokens or 0
    body: dict[str, Any] = {
        "input_tokens": max(usage.prompt_tokens - read - written, 0),
        "output_tokens": usage.completion_tokens,
    }
    if usage.cached_tokens is not None or usage.cache_write_tokens is not None:
        body |= {"cache_read_input_tokens": read, "cache_creation_input_tokens": written}
    if usage.reasoning_tokens is not None:
        body["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    return body


def _write_reasoning(text: str, signature: str | None, redacted: str | None) -> dict[str, Any]:
    if redacted is not None:
        return {"type": "redacted_thinking", "data": redacted}
    return {"type": "thinking", "thinking": text, "signature": signature or ""}


def write_tool_use(call: ToolCall) -> dict[str, Any]:
    """Write a call, its arguments as an object."""
    given = read_object(call.arguments)
    body: dict[str, Any] = {"type": "tool_use", "id": call.id, "name": call.name, "input": given}
    if call.signature is not None:
        body["extra_content"] = write_signature(call.signature)
    return body


def _stop_reason(reason: FinishReason, *, called: bool) -> str:
    # OpenAI says `stop` after a call that was forced; clients of this dialect look for tool_use.
    return "tool_use" if called and reason == "stop" else _STOP_REASONS[reason]


def error_body(failure: Failure) -> dict[str, Any]:
    """Write an error."""
    return errors.anthropic(failure)


def events(parsed: Parsed, head: Head) -> "MessageEncoder":
    """Give a fresh encoder for one stream."""
    return MessageEncoder(parsed, head)


class MessageEncoder:
    """message_start, each block from start to stop, message_delta with reason and usage, message_stop."""

    def __init__(self, parsed: Parsed, head: Head) -> None:
        self._id = f"msg_{head.id}"
        self._model = head.model
        self._warnings = all_warnings(parsed, head)
        self._begun = False
        self._blocks = BlockSequence()
        self._called = False
        self._reason: FinishReason = "stop"
        self._usage: Usage | None = None
        self._late: tuple[str, ...] = ()

    def encode(self, event: StreamEvent) -> list[bytes]:
        """Write one event; reason and usage are kept for `finish`."""
        match event:
            case Started():
                self._id = self._id if self._begun else event.id or self._id
                self._usage = event.usage or self._usage
                return self._begin()
            case UsageReport():
                self._usage = event.usage
                return []
            case Finished():
                self._late += event.warnings
                if event.index == 0:
                    self._reason = event.finish_reason
                return self._begin()
        return [*self._begin(), *self._write(self._blocks.feed(event))]

    def _begin(self) -> list[bytes]:
        if self._begun:
            return []
        self._begun = True
        message = _write_message(self._id, self._model, self._usage, [], None)
        if self._warnings:
            message["warnings"] = self._warnings
        return [sse.event("message_start", {"type": "message_start", "message": message})]

    def _write(self, changes: Iterable[Change]) -> list[bytes]:
        return [frame for change in changes for frame in self._write_change(change)]

    def _write_change(self, change: Change) -> list[bytes]:
        block = change.block
        match change:
            case Opened():
                self._called = self._called or block.kind == "tool"
                return [_write_event("content_block_start", block.index, content_block=_write_empty(block))]
            case Grown():
                return [_write_event("content_block_delta", block.index, delta=_write_delta(block, change.text))]
            case Signed():
                delta = {"type": "signature_delta", "signature": change.signature}
                return [_write_event("content_block_delta", block.index, delta=delta)]
            case Closed():
                return [_write_event("content_block_stop", block.index)]

    def finish(self) -> list[bytes]:
        """Close what is open, tell reason and usage, and end the message."""
        frames = [*self._begin(), *self._write(self._blocks.finish())]
        delta = {"stop_reason": _stop_reason(self._reason, called=self._called), "stop_sequence": None}
        body = {"type": "message_delta", "delta": delta, "usage": write_usage(self._usage)}
        if self._late:
            body["warnings"] = self._late
        return [*frames, sse.event("message_delta", body), sse.event("message_stop", {"type": "message_stop"})]

    def fail(self, failure: Failure) -> list[bytes]:
        """Write an error as the last event."""
        return [sse.event("error", errors.anthropic(failure))]


def _write_event(name: str, index: int, **members: Any) -> bytes:
    return sse.event(name, {"type": name, "index": index, **members})


def _write_empty(block: Block) -> dict[str, Any]:
    match block.kind:
        case "tool":
            return write_tool_use(ToolCall(id=block.id, name=block.name, signature=block.signature))
        case "reasoning":
            return _write_reasoning("", None, None)
        case "redacted":
            return _write_reasoning("", None, block.text)
    return {"type": "text", "text": ""}


def _write_delta(block: Block, text: str) -> dict[str, Any]:
    match block.kind:
        case "tool":
            return {"type": "input_json_delta", "partial_json": text}
        case "reasoning":
            return {"type": "thinking_delta", "thinking": text}
    return {"type": "text_delta", "text": text}
