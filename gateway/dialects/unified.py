"""`POST /llm`: one shape for every provider (API.md 3.2)."""

from collections.abc import Sequence
from typing import Any

import msgspec

from gateway.dialects import embeddings, errors, models, sse
from gateway.dialects.base import Head, Parsed, all_warnings, openai_usage
from gateway.dialects.errors import Failure
from gateway.dialects.openai_answers import (
    EmptyCalls,
    Thoughts,
    write_call_delta,
    write_reasoning_details,
    write_tool_call,
)
from gateway.dialects.openai_messages import read_messages
from gateway.dialects.openai_options import read_options
from gateway.dialects.reading import Fields, open_body
from gateway.messages.chat import (
    ChatReply,
    ChatRequest,
    Choice,
    Finished,
    FinishReason,
    ReasoningDelta,
    RefusalDelta,
    Started,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    Usage,
    UsageReport,
)
from gateway.messages.embeddings import EmbeddingsReply, EmbeddingsRequest
from gateway.messages.models import Model

STREAM_TYPE = sse.STREAM_TYPE
KEEP_ALIVE: bytes | None = sse.KEEP_ALIVE

_TYPES = ("chat", "embeddings", "models")
_MEMBERS = ("provider", "type", "model", "messages", "input", "options", "stream")


class EmbeddingsCall(msgspec.Struct, frozen=True, kw_only=True):
    """Texts to embed, and the provider if one was named."""

    request: EmbeddingsRequest
    provider: str | None = None
    warnings: tuple[str, ...] = ()


class ModelsCall(msgspec.Struct, frozen=True, kw_only=True):
    """A wish for the list of models of one provider, or of the one that a model leads to."""

    provider: str | None = None
    model: str | None = None


def parse(body: bytes) -> Parsed | EmbeddingsCall | ModelsCall:
    """Read a request; `InvalidRequest` naming every field that is wrong. `provider` is judged by the caller."""
    fields = open_body(body)
    kind = fields.choice("type", _TYPES, required=True)
    provider = fields.text("provider", empty=False)
    model = fields.text("model", required=kind != "models", empty=False) or ""
    options = fields.inner("options") or Fields({}, "options", fields.complaints)
    stream = fields.flag("stream")
    warnings = tuple(
        f"{name}: not known here and ignored; generation options belong in `options`." for name in fields.rest(_MEMBERS)
    )
    call: Parsed | EmbeddingsCall | ModelsCall
    if kind == "embeddings":
        request = embeddings.read_request(fields, options, model, beside=("stream",))
        call = EmbeddingsCall(request=request, provider=provider, warnings=warnings)
    elif kind == "chat":
        wished = options.flag("stream")
        chat = ChatRequest(
            model=model,
            messages=read_messages(fields),
            options=read_options(options, ("stream", "stream_options")),
            stream=bool(wished if stream is None else stream),
        )
        call = Parsed(chat=chat, provider=provider, warnings=warnings + fields.warnings())
    else:
        call = ModelsCall(provider=provider, model=model or None)
    fields.check()
    return call


def parse_chat(model: str, messages: list[dict[str, Any]], options: dict[str, Any]) -> ChatRequest:
    """Read a chat from its pieces, for callers that put one together; same rules and complaints as `/llm`."""
    fields = Fields({"messages": messages}, "", [])
    inner = Fields(options, "options", fields.complaints)
    chat = ChatRequest(model=model, messages=read_messages(fields), options=read_options(inner))
    fields.check()
    return chat


def write_reply(parsed: Parsed, reply: ChatReply, head: Head) -> dict[str, Any]:
    """Write a whole answer; with `n` over 1 all answers are in `choices` as well."""
    body: dict[str, Any] = {
        "id": reply.id or f"llm-{head.id}",
        "provider": head.provider,
        "model": head.model,
        "role": "assistant",
        **_write_choice(reply.choices[0]),
        "usage": openai_usage(reply.usage) if reply.usage else None,
        "created": reply.created or head.created,
    }
    if len(reply.choices) > 1:
        body["choices"] = [{"index": choice.index, **_write_choice(choice)} for choice in reply.choices]
    if warnings := all_warnings(parsed, head, reply):
        body["warnings"] = warnings
    return body


def _write_choice(choice: Choice) -> dict[str, Any]:
    message = choice.message
    body: dict[str, Any] = {"content": message.text, "finish_reason": choice.finish_reason}
    if message.tool_calls:
        body["tool_calls"] = [write_tool_call(call) for call in message.tool_calls]
    if choice.reasoning:
        body["reasoning"] = choice.reasoning
    if details := write_reasoning_details(message.content):
        body["reasoning_details"] = details
    if choice.refusal is not None:
        body["refusal"] = choice.refusal
    if choice.logprobs is not None:
        body["logprobs"] = choice.logprobs
    return body


def write_embeddings(call: EmbeddingsCall, reply: EmbeddingsReply, head: Head) -> dict[str, Any]:
    """Write vectors: OpenAI's list with `provider`; `usage` is null if unknown."""
    body = embeddings.write_reply(reply, head.model)
    body["provider"] = head.provider
    body["usage"] = body["usage"] if reply.usage else None
    if warnings := list(dict.fromkeys((*call.warnings, *head.warnings, *reply.warnings))):
        body["warnings"] = warnings
    return body


def write_models(provider: str, listed: Sequence[Model]) -> dict[str, Any]:
    """Write the models of one provider."""
    return {
        "object": "list",
        "provider": provider,
        "data": [models.write_model(model.id, model.created, model.owned_by or provider) for model in listed],
    }


def error_body(failure: Failure) -> dict[str, Any]:
    """Write an error."""
    return errors.plain(failure)


def events(parsed: Parsed, head: Head) -> "UnifiedEncoder":
    """Give a fresh encoder for one stream."""
    return UnifiedEncoder(parsed, head)


class UnifiedEncoder:
    """Deltas as they come, then one event with how it ended, then `[DONE]`; `index` is given from answer 1 on."""

    def __init__(self, parsed: Parsed, head: Head) -> None:
        self._id = f"llm-{head.id}"
        self._head = head
        self._warnings = all_warnings(parsed, head)
        self._reasons: dict[int, FinishReason] = {}
        self._thoughts = Thoughts()
        self._empty = EmptyCalls()
        self._usage: Usage | None = None

    def encode(self, event: StreamEvent) -> list[bytes]:
        """Write one delta; how it ends is kept for `finish`."""
        match event:
            case Started():
                self._id = event.id or self._id
                self._usage = event.usage or self._usage
                return []
            case UsageReport():
                self._usage = event.usage
                return []
            case Finished():
                self._warnings += event.warnings
                self._reasons[event.index] = event.finish_reason
                return [self._write(lacking) for lacking in self._empty.complete(event.index)]
            case ToolCallDelta():
                self._empty.note(event)
        return [self._write(event)]

    def _write(self, event: TextDelta | ReasoningDelta | RefusalDelta | ToolCallDelta) -> bytes:
        delta = _write_delta(event, self._thoughts)
        if event.index:
            delta["index"] = event.index
        return sse.data(delta)

    def finish(self) -> list[bytes]:
        """Write how it ended, and the end mark."""
        body: dict[str, Any] = {
            "finish_reason": self._reasons.get(0, "stop"),
            "usage": openai_usage(self._usage) if self._usage else None,
            "model": self._head.model,
            "provider": self._head.provider,
            "id": self._id,
            "created": self._head.created,
        }
        if len(self._reasons) > 1:
            body["finish_reasons"] = [reason for _, reason in sorted(self._reasons.items())]
        if self._warnings:
            body["warnings"] = self._warnings
        return [sse.data(body), sse.DONE]

    def fail(self, failure: Failure) -> list[bytes]:
        """Write an error as the last event."""
        return [sse.data(errors.plain(failure))]


def _write_delta(
    event: TextDelta | ReasoningDelta | RefusalDelta | ToolCallDelta, thoughts: Thoughts
) -> dict[str, Any]:
    match event:
        case TextDelta():
            delta: dict[str, Any] = {"content": event.text}
            return delta if event.logprobs is None else {**delta, "logprobs": event.logprobs}
        case ReasoningDelta():
            delta = {"reasoning": event.text}
            if details := thoughts.write_details(event):
                delta["reasoning_details"] = details
            return delta
        case RefusalDelta():
            return {"refusal": event.text}
        case ToolCallDelta():
            return {"tool_calls": [write_call_delta(event)]}
