"""Ollama's chat (docs/api.md, "Generate a chat completion"; api/types.go)."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from gateway.dialects import errors, sse
from gateway.dialects.base import Head, Parsed, all_warnings
from gateway.dialects.blocks import BlockSequence, Change, Closed, Grown
from gateway.dialects.errors import Failure
from gateway.dialects.ollama_request import read_chat
from gateway.dialects.openai_answers import read_object, write_signature
from gateway.dialects.openai_chat import ParsedChat
from gateway.dialects.openai_chat import write_reply as write_openai
from gateway.dialects.reading import open_body
from gateway.messages.chat import (
    ChatReply,
    Finished,
    FinishReason,
    Started,
    StreamEvent,
    ToolCall,
    Usage,
    UsageReport,
)

STREAM_TYPE = "application/x-ndjson"
KEEP_ALIVE: bytes | None = None


def parse(body: bytes) -> Parsed:
    """Read a request; `InvalidRequest` naming every field that is wrong. Without messages it only loads a model."""
    fields = open_body(body)
    chat = read_chat(fields)
    fields.check()
    return Parsed(chat=chat, warnings=fields.warnings())


def write_time(created: int) -> str:
    """Write a Unix time in seconds as Ollama does."""
    return datetime.fromtimestamp(created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def write_line(head: Head, **members: Any) -> dict[str, Any]:
    """Write what every line begins with, and its members."""
    return {"model": head.model, "created_at": write_time(head.created), **members}


def write_end(head: Head, reason: FinishReason, usage: Usage | None) -> dict[str, Any]:
    """Write how an answer ended; counts and durations (nanoseconds) only where they are known."""
    body: dict[str, Any] = {"done": True, "done_reason": "stop" if reason == "tool_calls" else reason}
    if elapsed := head.elapsed():
        # How the time was spent is the provider's secret; all of it counts as making the answer.
        body |= {"total_duration": elapsed, "load_duration": 0}
    if usage is not None:
        body["prompt_eval_count"] = usage.prompt_tokens
    if elapsed:
        body["prompt_eval_duration"] = 0
    if usage is not None:
        body["eval_count"] = usage.completion_tokens
    if elapsed:
        body["eval_duration"] = elapsed
    return body


def write_loaded(head: Head, *, chat: bool = True) -> dict[str, Any]:
    """Write the answer to a request without a prompt, by which clients ask for a model to be loaded."""
    said: dict[str, Any] = {"message": {"role": "assistant", "content": ""}} if chat else {"response": ""}
    return write_line(head, **said, done=True, done_reason="load")


def write_reply(parsed: Parsed, reply: ChatReply, head: Head) -> dict[str, Any]:
    """Write a whole answer, with OpenAI's `choices` and `usage` beside it (API.md 3.5)."""
    choice = reply.choices[0]
    message: dict[str, Any] = {"role": "assistant", "content": choice.message.text or choice.refusal or ""}
    if choice.reasoning:
        message["thinking"] = choice.reasoning
    if choice.message.tool_calls:
        message["tool_calls"] = [_write_call(call, place) for place, call in enumerate(choice.message.tool_calls)]
    body = write_line(head, message=message, **write_end(head, choice.finish_reason, reply.usage))
    if choice.logprobs is not None and choice.logprobs.get("content") is not None:
        body["logprobs"] = choice.logprobs["content"]
    as_openai = write_openai(ParsedChat(chat=parsed.chat), reply, head)
    body |= {"choices": as_openai["choices"], "usage": as_openai["usage"]}
    if warnings := all_warnings(parsed, head, reply):
        body["warnings"] = warnings
    return body


def _write_call(call: ToolCall, place: int) -> dict[str, Any]:
    given = read_object(call.arguments)
    body: dict[str, Any] = {"id": call.id, "function": {"index": place, "name": call.name, "arguments": given}}
    if call.signature is not None:
        body["extra_content"] = write_signature(call.signature)
    return body


def error_body(failure: Failure) -> dict[str, Any]:
    """Write an error."""
    return errors.ollama(failure)


def events(parsed: Parsed, head: Head) -> "ChatEncoder":
    """Give a fresh encoder for one stream."""
    return ChatEncoder(parsed, head)


class ChatEncoder:
    """A line for each piece, tool calls whole, and a last line that says how it ended."""

    def __init__(self, parsed: Parsed, head: Head) -> None:
        self._head = head
        self._warnings = all_warnings(parsed, head)
        self._blocks = BlockSequence()
        self._calls = 0
        self._reason: FinishReason = "stop"
        self._usage: Usage | None = None

    def encode(self, event: StreamEvent) -> list[bytes]:
        """Write one event; reason and usage are kept for `finish`."""
        match event:
            case Started():
                self._usage = event.usage or self._usage
            case UsageReport():
                self._usage = event.usage
            case Finished():
                self._warnings += event.warnings
                if event.index == 0:
                    self._reason = event.finish_reason
            case _:
                return self._write(self._blocks.feed(event))
        return []

    def _write(self, changes: Iterable[Change]) -> list[bytes]:
        frames: list[bytes] = []
        for change in changes:
            block = change.block
            if isinstance(change, Closed) and block.kind == "tool":
                call = ToolCall(id=block.id, name=block.name, arguments=block.text, signature=block.signature)
                frames.append(self._line(tool_calls=[_write_call(call, self._calls)]))
                self._calls += 1
            elif isinstance(change, Grown) and block.kind == "reasoning":
                frames.append(self._line(thinking=change.text))
            elif isinstance(change, Grown) and block.kind in ("text", "refusal"):
                frames.append(self._line(content=change.text, logprobs=change.logprobs))
        return frames

    def _line(self, *, content: str = "", logprobs: list[Any] | None = None, **members: Any) -> bytes:
        body = write_line(self._head, message={"role": "assistant", "content": content, **members}, done=False)
        if logprobs:
            body["logprobs"] = logprobs
        return sse.line(body)

    def finish(self) -> list[bytes]:
        """Write what is still open, and the last line."""
        frames = self._write(self._blocks.finish())
        end = write_end(self._head, self._reason, self._usage)
        body = write_line(self._head, message={"role": "assistant", "content": ""}, **end)
        if self._warnings:
            body["warnings"] = self._warnings
        return [*frames, sse.line(body)]

    def fail(self, failure: Failure) -> list[bytes]:
        """Write an error as the last line."""
        return [sse.line(errors.ollama(failure))]
