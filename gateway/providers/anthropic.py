"""Anthropic: the Messages API. Source: Claude API reference, "Messages", "Streaming Messages", "Errors", "List Models".

It has no embeddings.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from gateway.errors import CredentialsRefused, GatewayError, UnusableAnswer
from gateway.messages.chat import (
    ChatReply,
    ChatRequest,
    Choice,
    Finished,
    FinishReason,
    Message,
    ReasoningDelta,
    RefusalDelta,
    Started,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    Usage,
    UsageReport,
)
from gateway.messages.models import Model
from gateway.providers import lenient
from gateway.providers.anthropic_blocks import CITATIONS_LEFT_OUT, name_loss, read_blocks
from gateway.providers.anthropic_body import write_body
from gateway.providers.anthropic_plain import read_plain_answer
from gateway.providers.base import StreamDecoder, UpstreamRequest
from gateway.providers.decoding import StreamReader
from gateway.providers.failures import Complaint, late_error, openai_complaint, plain_complaint, read_said, refusal
from gateway.providers.framing import ServerSentEvent, SseDecoder
from gateway.providers.leftovers import one_answer_only

API_VERSION = "2023-06-01"
MAX_LOSSES = 32
"""More kinds of what is left out than this are not named in one stream."""

_FINISH_REASONS: Mapping[str, FinishReason] = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_STATUSES = {
    "invalid_request_error": 400,
    "billing_error": 402,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}


class Anthropic:
    """The vendor: chat and models."""

    needs_key = True
    native_paths: Mapping[str, str] = {"anthropic": "/v1/messages"}

    def credential_headers(self, key: str) -> tuple[tuple[str, str], ...]:
        """Give the key's header, and the version that every request must name."""
        version = ("anthropic-version", API_VERSION)
        return (("x-api-key", key), version) if key else (version,)

    def explain_error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:  # noqa: ARG002  contract
        """Turn an error answer, `{"type": "error", "error": {"type", "message"}}`, into ours."""
        answer = read_said(body)
        complaint = openai_complaint(answer) or plain_complaint(answer)
        unknown = complaint is not None and status == 404 and complaint.kind == "not_found_error"
        return refusal(status, complaint, no_such_model=unknown)

    def chat_request(self, chat: ChatRequest) -> UpstreamRequest:
        """Write the chat as a Messages request; the extra `betas` goes into its header."""
        one_answer_only(chat, "anthropic")
        body, warnings = write_body(chat)
        betas = [beta for beta in lenient.sequence(chat.options.extra.get("betas")) if isinstance(beta, str)]
        headers = (("anthropic-beta", ",".join(betas)),) if betas else ()
        return UpstreamRequest(path="/v1/messages", body=msgspec.json.encode(body), headers=headers, warnings=warnings)

    def chat_reply(self, body: bytes) -> ChatReply:
        """Read a whole answer."""
        return read_plain_answer(body, _FINISH_REASONS) or self._read_closely(body)

    def _read_closely(self, body: bytes) -> ChatReply:
        answer = lenient.parse(body)
        _raise_error_in(answer)
        fields = lenient.mapping(answer)
        content = fields.get("content")
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else lenient.sequence(content)
        parts, calls = read_blocks(blocks)
        reason = lenient.text_or_none(fields.get("stop_reason"))
        if not parts and not calls and (reason is None or not isinstance(content, str | list)):
            raise UnusableAnswer("the provider's answer holds no text and no tool call")
        choice = Choice(
            message=Message(role="assistant", content=parts, tool_calls=calls),
            finish_reason=_finish_reason(reason, called=bool(calls)),
            refusal=_refusal(fields),
        )
        return ChatReply(
            model=lenient.text(fields.get("model")),
            choices=(choice,),
            id=lenient.text_or_none(fields.get("id")),
            usage=read_usage(lenient.mapping(fields.get("usage"))),
            warnings=tuple(dict.fromkeys(loss for block in blocks if (loss := name_loss(lenient.mapping(block))))),
        )

    def chat_events(self) -> StreamDecoder:
        """Give a fresh decoder for one stream."""
        return StreamReader(SseDecoder(), _Events())

    def models_request(self, page: str | None = None) -> UpstreamRequest:
        """Ask for the models, those after the id `page`."""
        after = f"&after_id={quote(page, safe='')}" if page else ""
        return UpstreamRequest(path=f"/v1/models?limit=1000{after}", method="GET")

    def models_reply(self, body: bytes) -> tuple[tuple[Model, ...], str | None]:
        """Read the models, and the last id when there are more."""
        answer = lenient.parse(body)
        _raise_error_in(answer)
        fields = lenient.mapping(answer)
        if not isinstance(fields.get("data"), list):
            raise UnusableAnswer("the provider's answer holds no list of models")
        models: list[Model] = []
        for entry in map(lenient.mapping, fields["data"]):
            if name := lenient.text(entry.get("id")):
                details = {key: value for key, value in entry.items() if key not in {"id", "type"}}
                models.append(Model(id=name, created=lenient.unix_time(entry.get("created_at")) or 0, details=details))
        more = fields.get("has_more") is True
        return tuple(models), lenient.text_or_none(fields.get("last_id")) if more else None


class _Block:
    """One open content block; `call` is the number of the tool call that it is."""

    __slots__ = ("call", "given", "kind", "said")

    def __init__(self, kind: str, call: int | None, given: dict[str, Any]) -> None:
        self.kind = kind
        self.call = call
        self.given = given
        self.said = False


class _Events:
    """Meaning of the events of one stream; see `decoding.Grammar`."""

    def __init__(self) -> None:
        self._blocks: dict[int, _Block] = {}
        self._calls = 0
        self._counts: dict[str, Any] = {}
        self._losses: dict[str, None] = {}
        self._finished = False
        self.ended = False

    def read(self, frame: ServerSentEvent) -> Iterator[StreamEvent]:
        event = lenient.mapping(lenient.parse_or_none(frame.data))
        kind = lenient.text(event.get("type")) or frame.event
        if kind == "error":
            _raise_error_in({**event, "type": "error"})
        elif kind == "message_start":
            yield self._start(lenient.mapping(event.get("message")))
        elif kind == "content_block_start":
            yield from self._open(event)
        elif kind == "content_block_delta":
            yield from self._go_on(event)
        elif kind == "content_block_stop":
            yield from self._close(self._blocks.pop(_index(event), None))
        elif kind == "message_delta":
            yield from self._end_message(event)
        elif kind == "message_stop":
            self.ended = True

    def end(self) -> Sequence[StreamEvent]:
        if not self._finished:
            raise UnusableAnswer("the provider's stream ended before the answer was finished")
        return ()

    def _start(self, message: dict[str, Any]) -> StreamEvent:
        self._counts.update(lenient.mapping(message.get("usage")))
        return Started(
            id=lenient.text_or_none(message.get("id")),
            model=lenient.text_or_none(message.get("model")),
            usage=read_usage(self._counts),
        )

    def _open(self, event: dict[str, Any]) -> Iterator[StreamEvent]:
        given = lenient.mapping(event.get("content_block"))
        kind = lenient.text(given.get("type"))
        block = self._blocks[_index(event)] = _Block(kind, None, given)
        self._note_loss(name_loss(given))
        if kind == "text" and (text := lenient.text(given.get("text"))):
            yield TextDelta(text=text)
        elif kind == "thinking" and (thought := lenient.text(given.get("thinking"))):
            yield ReasoningDelta(text=thought)
        elif kind == "redacted_thinking":
            yield ReasoningDelta(redacted=lenient.text(given.get("data")))
        elif kind == "tool_use":
            block.call, self._calls = self._calls, self._calls + 1
            identity = lenient.text(given.get("id")) or f"call_{block.call}"
            yield ToolCallDelta(call=block.call, id=identity, name=lenient.text(given.get("name")))

    def _go_on(self, event: dict[str, Any]) -> Iterator[StreamEvent]:
        block, delta = self._blocks.get(_index(event)), lenient.mapping(event.get("delta"))
        kind = delta.get("type")
        if kind == "text_delta" and (text := lenient.text(delta.get("text"))):
            yield TextDelta(text=text)
        elif kind == "thinking_delta" and (thought := lenient.text(delta.get("thinking"))):
            yield ReasoningDelta(text=thought)
        elif kind == "signature_delta" and (signature := lenient.text(delta.get("signature"))):
            yield ReasoningDelta(signature=signature)
        elif kind == "citations_delta":
            self._note_loss(CITATIONS_LEFT_OUT)
        elif kind == "input_json_delta" and block is not None and block.call is not None:
            piece = lenient.text(delta.get("partial_json"))
            if piece:
                block.said = True
                yield ToolCallDelta(call=block.call, arguments=piece)

    def _note_loss(self, loss: str | None) -> None:
        if loss is not None and len(self._losses) < MAX_LOSSES:
            self._losses[loss] = None

    def _close(self, block: _Block | None) -> Iterator[StreamEvent]:
        """Give the arguments of a call that none were streamed for: those it began with, `{}` if there were none."""
        if block is None:
            return
        if block.call is not None and not block.said:
            yield ToolCallDelta(call=block.call, arguments=lenient.arguments(block.given.get("input")))
        elif block.kind == "thinking" and (signature := lenient.text(block.given.get("signature"))):
            yield ReasoningDelta(signature=signature)

    def _end_message(self, event: dict[str, Any]) -> Iterator[StreamEvent]:
        self._counts.update(
            {name: count for name, count in lenient.mapping(event.get("usage")).items() if count is not None}
        )
        delta = lenient.mapping(event.get("delta"))
        reason = lenient.text_or_none(delta.get("stop_reason"))
        if reason is not None and not self._finished:
            self._finished = True
            for block in self._blocks.values():
                yield from self._close(block)
            self._blocks.clear()
            if explanation := _refusal(delta):
                yield RefusalDelta(text=explanation)
            why = _finish_reason(reason, called=self._calls > 0)
            yield Finished(finish_reason=why, warnings=tuple(self._losses))
        if (usage := read_usage(self._counts)) is not None:
            yield UsageReport(usage=usage)


def _index(event: dict[str, Any]) -> int:
    return lenient.integer(event.get("index")) or 0


def _raise_error_in(answer: Any) -> None:
    complaint = openai_complaint(answer)
    if complaint is None and lenient.mapping(answer).get("type") != "error":
        return
    complaint = complaint or Complaint(message="")
    if complaint.kind in {"authentication_error", "permission_error"}:
        raise CredentialsRefused("the provider refused the credentials")
    raise late_error(complaint, _STATUSES.get(complaint.kind or "", 502))


def _finish_reason(reason: str | None, *, called: bool) -> FinishReason:
    known = _FINISH_REASONS.get(reason or "", "stop")
    return "tool_calls" if called and known == "stop" else known


def _refusal(fields: dict[str, Any]) -> str | None:
    return lenient.text_or_none(lenient.mapping(fields.get("stop_details")).get("explanation"))


def read_usage(counts: dict[str, Any]) -> Usage | None:
    """Add up what Anthropic counts apart: new input, input read from the cache, input written to it."""
    fresh, completion = lenient.integer(counts.get("input_tokens")), lenient.integer(counts.get("output_tokens"))
    if fresh is None and completion is None:
        return None
    read = lenient.integer(counts.get("cache_read_input_tokens"))
    written = lenient.integer(counts.get("cache_creation_input_tokens"))
    return Usage(
        prompt_tokens=(fresh or 0) + (read or 0) + (written or 0),
        completion_tokens=completion or 0,
        cached_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=lenient.integer(lenient.mapping(counts.get("output_tokens_details")).get("thinking_tokens")),
    )


VENDOR = Anthropic()
