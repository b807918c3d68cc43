"""Ollama's generate (docs/api.md, "Generate a completion"), carried out as a chat of one turn."""

from typing import Any

from gateway.dialects import errors, ollama, sse
from gateway.dialects.base import Head, Parsed, all_warnings
from gateway.dialects.errors import Failure
from gateway.dialects.ollama_request import read_generate
from gateway.dialects.reading import open_body
from gateway.messages.chat import (
    ChatReply,
    Finished,
    FinishReason,
    ReasoningDelta,
    RefusalDelta,
    Started,
    StreamEvent,
    TextDelta,
    Usage,
    UsageReport,
)

STREAM_TYPE = ollama.STREAM_TYPE
KEEP_ALIVE: bytes | None = None


def parse(body: bytes) -> Parsed:
    """Read a request; `InvalidRequest` naming every field that is wrong. Without a prompt it only loads a model."""
    fields = open_body(body)
    chat = read_generate(fields)
    fields.check()
    return Parsed(chat=chat)


def write_reply(parsed: Parsed, reply: ChatReply, head: Head) -> dict[str, Any]:
    """Write a whole answer."""
    choice = reply.choices[0]
    body = ollama.write_line(head, response=choice.message.text or choice.refusal or "")
    if choice.reasoning:
        body["thinking"] = choice.reasoning
    body |= ollama.write_end(head, choice.finish_reason, reply.usage)
    if choice.logprobs is not None and choice.logprobs.get("content") is not None:
        body["logprobs"] = choice.logprobs["content"]
    if warnings := all_warnings(parsed, head, reply):
        body["warnings"] = warnings
    return body


def error_body(failure: Failure) -> dict[str, Any]:
    """Write an error."""
    return errors.ollama(failure)


def events(parsed: Parsed, head: Head) -> "GenerateEncoder":
    """Give a fresh encoder for one stream."""
    return GenerateEncoder(parsed, head)


class GenerateEncoder:
    """A line for each piece, and a last line that says how it ended."""

    def __init__(self, parsed: Parsed, head: Head) -> None:
        self._head = head
        self._warnings = all_warnings(parsed, head)
        self._reason: FinishReason = "stop"
        self._usage: Usage | None = None

    def encode(self, event: StreamEvent) -> list[bytes]:
        """Write one event; reason and usage are kept for `finish`."""
        match event:
            case Started():
                self._usage = event.usage or self._usage
            case UsageReport():
                self._usage = event.usage
            case Finished(index=0):
                self._warnings += event.warnings
                self._reason = event.finish_reason
            case TextDelta(index=0) | RefusalDelta(index=0):
                return [sse.line(ollama.write_line(self._head, response=event.text, done=False))]
            case ReasoningDelta(index=0) if event.text:
                return [sse.line(ollama.write_line(self._head, response="", thinking=event.text, done=False))]
        return []

    def finish(self) -> list[bytes]:
        """Write the last line."""
        body = ollama.write_line(self._head, response="", **ollama.write_end(self._head, self._reason, self._usage))
        if self._warnings:
            body["warnings"] = self._warnings
        return [sse.line(body)]

    def fail(self, failure: Failure) -> list[bytes]:
        """Write an error as the last line."""
        return [sse.line(errors.ollama(failure))]
