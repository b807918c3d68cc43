"""`{prefix}/conversation_with_model` and its extended form: a talk with a prompt of the library (API.md 3.5)."""

from typing import Any

from gateway.dialects import errors, sse
from gateway.dialects.base import Head, Parsed, all_warnings, openai_usage
from gateway.dialects.errors import Failure
from gateway.dialects.reading import Fields, open_body
from gateway.messages.chat import (
    ChatReply,
    ChatRequest,
    Finished,
    Message,
    Options,
    ReasoningDelta,
    Role,
    StreamEvent,
    TextDelta,
    TextPart,
    Usage,
    UsageReport,
)

STREAM_TYPE = "application/x-ndjson"
KEEP_ALIVE: bytes | None = None

_ROLES = ("system", "user", "assistant")
_TURN = frozenset({"role", "content"})
_PAIR = frozenset({"user", "assistant"})
_OPTIONS = ("temperature", "top_p", "top_k", "repetition_penalty", "max_new_tokens", "stop", "seed")
_KNOWN = (
    "model_name", "model", "user_last_statement", "historical_messages", "language", "prompt_name", "system_prompt",
    "stream", *_OPTIONS,
)  # fmt: skip


class ParsedConversation(Parsed, frozen=True, kw_only=True):
    """A conversation whose system prompt is still to be found: `system_prompt` wins over `prompt_name`."""

    language: str | None = None
    prompt_name: str | None = None
    system_prompt: str | None = None


def parse(body: bytes, *, extended: bool = False) -> ParsedConversation:
    """Read a request; `extended` takes a system prompt and generation options too."""
    fields = open_body(body)
    model = fields.text("model_name", empty=False) or fields.text("model", empty=False)
    if model is None and not fields.complaints:
        fields.complain("model_name", "is required")
    statement = fields.text("user_last_statement", required=True, empty=False) or ""
    messages = (*_read_history(fields), Message(role="user", content=(TextPart(text=statement),)))
    stream = fields.flag("stream")
    parsed = ParsedConversation(
        chat=ChatRequest(
            model=model or "", messages=messages, options=_read_options(fields), stream=stream is not False
        ),
        language=fields.text("language"),
        prompt_name=fields.text("prompt_name"),
        system_prompt=fields.text("system_prompt") if extended else None,
        warnings=tuple(f"{name}: not known here and ignored." for name in fields.rest(_KNOWN)) + fields.warnings(),
    )
    fields.check()
    return parsed


def _read_options(fields: Fields) -> Options:
    extra: dict[str, Any] = {}
    if (top_k := fields.integer("top_k", 0)) is not None:
        extra["top_k"] = top_k
    if (penalty := fields.number("repetition_penalty", 0, 10)) is not None:
        extra["repeat_penalty"] = penalty
    return Options(
        temperature=fields.number("temperature", 0, 2),
        top_p=fields.number("top_p", 0, 1),
        max_tokens=fields.integer("max_new_tokens", 1),
        stop=fields.texts("stop"),
        seed=fields.integer("seed"),
        extra=extra,
    )


def _read_history(fields: Fields) -> tuple[Message, ...]:
    messages: list[Message] = []
    for entry in fields.objects("historical_messages"):
        if entry.has("role"):
            entry.lose_rest(_TURN)
            role = entry.choice("role", _ROLES)
            _add(messages, role or "user", entry.text("content"))
            continue
        entry.lose_rest(_PAIR)
        _add(messages, "user", entry.text("user"))
        _add(messages, "assistant", entry.text("assistant"))
    return tuple(messages)


def _add(messages: list[Message], role: str, text: str | None) -> None:
    known: Role = "system" if role == "system" else "assistant" if role == "assistant" else "user"
    if text:
        messages.append(Message(role=known, content=(TextPart(text=text),)))


def write_reply(parsed: ParsedConversation, reply: ChatReply, head: Head) -> dict[str, Any]:
    """Write a whole answer; `generation_time` is in seconds."""
    body: dict[str, Any] = {
        "response": reply.choices[0].message.text,
        **_tail(parsed, head, reply.usage),
        "finish_reason": reply.choices[0].finish_reason,
    }
    if warnings := all_warnings(parsed, head, reply):
        body["warnings"] = warnings
    return body


def _tail(parsed: ParsedConversation, head: Head, usage: Usage | None) -> dict[str, Any]:
    return {
        "model": head.model,
        "provider": head.provider,
        "language": parsed.language,
        "usage": openai_usage(usage) if usage else None,
        "generation_time": round(head.elapsed() / 1e9, 6),
    }


def error_body(failure: Failure) -> dict[str, Any]:
    """Write an error."""
    return errors.plain(failure)


def events(parsed: ParsedConversation, head: Head) -> "ConversationEncoder":
    """Give a fresh encoder for one stream."""
    return ConversationEncoder(parsed, head)


class ConversationEncoder:
    """A line for each piece of text, and a last one that says what it has cost."""

    def __init__(self, parsed: ParsedConversation, head: Head) -> None:
        self._parsed = parsed
        self._head = head
        self._warnings = all_warnings(parsed, head)
        self._usage: Usage | None = None

    def encode(self, event: StreamEvent) -> list[bytes]:
        """Write one event; usage is kept for `finish`."""
        match event:
            case TextDelta(index=0):
                return [sse.line({"response": event.text, "done": False})]
            case ReasoningDelta(index=0) if event.text:
                return [sse.line({"response": "", "reasoning": event.text, "done": False})]
            case UsageReport():
                self._usage = event.usage
            case Finished():
                self._warnings += event.warnings
        return []

    def finish(self) -> list[bytes]:
        """Write the last line."""
        body = {"response": "", "done": True, **_tail(self._parsed, self._head, self._usage)}
        if self._warnings:
            body["warnings"] = self._warnings
        return [sse.line(body)]

    def fail(self, failure: Failure) -> list[bytes]:
        """Write an error as the last line; `error` is its message, as NDJSON's readers expect."""
        return [sse.line({**errors.plain(failure), "error": failure.error.message})]
