"""OpenAI's Responses (API reference, "Responses" and "Streaming events"), over providers that only know chats."""

from collections.abc import Iterable
from itertools import chain
from typing import Any

from gateway.dialects import errors, sse
from gateway.dialects.base import Head, Parsed, all_warnings
from gateway.dialects.blocks import Block, BlockSequence, Change, Closed, Grown, Opened, Signed
from gateway.dialects.custom_tools import InputReader
from gateway.dialects.errors import Failure
from gateway.dialects.reading import open_body
from gateway.dialects.responses_items import item_id, shown_name, write_item, write_part
from gateway.dialects.responses_request import echo_request, read_chat
from gateway.dialects.tool_names import PLAIN, ToolNames, read_names
from gateway.messages.chat import (
    ChatReply,
    Finished,
    FinishReason,
    ReasoningDelta,
    RefusalDelta,
    Started,
    StreamEvent,
    TextDelta,
    TextPart,
    ToolCallDelta,
    Usage,
    UsageReport,
)

STREAM_TYPE = sse.STREAM_TYPE
KEEP_ALIVE: bytes | None = sse.KEEP_ALIVE

_INCOMPLETE: dict[FinishReason, str] = {"length": "max_output_tokens", "content_filter": "content_filter"}


class ParsedResponse(Parsed, frozen=True, kw_only=True):
    """A chat, the members of the request that the answer repeats, and which tools the client knows in another form."""

    echo: dict[str, Any]
    names: ToolNames = PLAIN


def parse(body: bytes) -> ParsedResponse:
    """Read a request; `InvalidRequest` naming every field that is wrong."""
    fields = open_body(body)
    chat, warnings = read_chat(fields)
    fields.check()
    names = read_names(fields) if chat.options.tools else PLAIN
    return ParsedResponse(
        chat=chat, warnings=warnings + fields.warnings(), echo=echo_request(fields, chat, names), names=names
    )


def write_reply(parsed: ParsedResponse, reply: ChatReply, head: Head) -> dict[str, Any]:
    """Write a whole answer."""
    choice = reply.choices[0]
    blocks = BlockSequence()
    changes = chain.from_iterable(map(blocks.feed, _deltas(reply)))
    closed = [change for change in (*changes, *blocks.finish()) if isinstance(change, Closed)]
    output = [
        write_item(change.block, head.id, _end_status(change, choice.finish_reason), parsed.names) for change in closed
    ]
    body = _write_response(parsed, head, reply.created or head.created)
    body |= _write_end(output, choice.finish_reason, reply.usage)
    if warnings := all_warnings(parsed, head, reply):
        body["warnings"] = warnings
    return body


def _deltas(reply: ChatReply) -> Iterable[TextDelta | ReasoningDelta | RefusalDelta | ToolCallDelta]:
    choice = reply.choices[0]
    logprobs = choice.logprobs
    for part in choice.message.content:
        if isinstance(part, TextPart):
            yield TextDelta(text=part.text, logprobs=logprobs)
            logprobs = None
        elif not hasattr(part, "url"):
            yield ReasoningDelta(text=part.text, signature=part.signature, redacted=part.redacted)
    if choice.refusal:
        yield RefusalDelta(text=choice.refusal)
    for place, call in enumerate(choice.message.tool_calls):
        yield ToolCallDelta(
            call=place, id=call.id, name=call.name, arguments=call.arguments or "{}", signature=call.signature
        )


def _write_response(parsed: ParsedResponse, head: Head, created: int) -> dict[str, Any]:
    return {
        "id": f"resp_{head.id}",
        "object": "response",
        "created_at": created,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "model": head.model,
        "output": [],
        "usage": None,
        **parsed.echo,
    }


def _write_end(output: list[dict[str, Any]], reason: FinishReason, usage: Usage | None) -> dict[str, Any]:
    why = _INCOMPLETE.get(reason)
    return {
        "status": "incomplete" if why else "completed",
        "incomplete_details": {"reason": why} if why else None,
        "output": output,
        "usage": _write_usage(usage) if usage is not None else None,
    }


def _write_usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens or 0,
            "cache_write_tokens": usage.cache_write_tokens or 0,
        },
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens or 0},
        "total_tokens": usage.total_tokens,
    }


def _end_status(change: Closed, reason: FinishReason | None) -> str:
    return "incomplete" if change.last and reason in _INCOMPLETE else "completed"


def error_body(failure: Failure) -> dict[str, Any]:
    """Write an error."""
    return errors.openai(failure)


def events(parsed: ParsedResponse, head: Head) -> "ResponseEncoder":
    """Give a fresh encoder for one stream."""
    return ResponseEncoder(parsed, head)


class ResponseEncoder:
    """response.created and .in_progress, each output item from added to done, response.completed; all numbered."""

    def __init__(self, parsed: ParsedResponse, head: Head) -> None:
        self._token = head.id
        self._names = parsed.names
        self._input = InputReader()  # of the call that is open, if it is one of a tool that takes free text
        self._body = _write_response(parsed, head, head.created)
        if warnings := all_warnings(parsed, head):
            self._body["warnings"] = warnings
        self._number = 0
        self._blocks = BlockSequence()
        self._output: list[dict[str, Any]] = []
        self._reason: FinishReason | None = None
        self._usage: Usage | None = None

    def encode(self, event: StreamEvent) -> list[bytes]:
        """Write one event; reason and usage are kept for `finish`."""
        match event:
            case Started():
                self._usage = event.usage or self._usage
                return self._begin()
            case UsageReport():
                self._usage = event.usage
                return []
            case Finished():
                if event.index == 0:
                    self._reason = event.finish_reason
                frames = self._begin()
                if event.warnings:
                    self._body["warnings"] = [*self._body.get("warnings", ()), *event.warnings]
                return frames
        return [*self._begin(), *self._write(self._blocks.feed(event))]

    def _event(self, kind: str, /, **members: Any) -> bytes:
        number, self._number = self._number, self._number + 1
        return sse.event(kind, {"type": kind, "sequence_number": number, **members})

    def _begin(self) -> list[bytes]:
        if self._number:
            return []
        names = ("response.created", "response.in_progress")
        return [self._event(name, response=self._body) for name in names]

    def _write(self, changes: Iterable[Change]) -> list[bytes]:
        frames: list[bytes] = []
        for change in changes:
            match change:
                case Opened():
                    frames += self._open(change.block)
                case Grown():
                    frames += self._grow(change)
                case Signed():
                    pass  # the proof stands in the item when it is done
                case Closed():
                    frames += self._close(change)
        return frames

    def _open(self, block: Block) -> list[bytes]:
        self._input = InputReader()
        item = write_item(block, self._token, "in_progress", self._names)
        frames = [self._event("response.output_item.added", output_index=block.index, item=item)]
        if block.kind in ("text", "refusal"):
            part = write_part(block, begun=True)
            frames.append(self._event("response.content_part.added", **self._at(block), part=part))
        return frames

    def _at(self, block: Block) -> dict[str, Any]:
        """Say which part of which item an event is about."""
        place = {"item_id": item_id(block, self._token, self._names), "output_index": block.index}
        if block.kind == "tool":
            return place
        return place | ({"summary_index": 0} if block.kind == "reasoning" else {"content_index": 0})

    def _grow(self, change: Grown) -> list[bytes]:
        block, at = change.block, self._at(change.block)
        match block.kind:
            case "tool" if block.name in self._names.custom:
                return self._write_input(at, self._input.feed(change.text))
            case "tool":
                return [self._event("response.function_call_arguments.delta", **at, delta=change.text)]
            case "refusal":
                return [self._event("response.refusal.delta", **at, delta=change.text)]
            case "reasoning":
                frames: list[bytes] = []
                if len(block.pieces) == 1:
                    part = write_part(block, begun=True)
                    frames.append(self._event("response.reasoning_summary_part.added", **at, part=part))
                return [*frames, self._event("response.reasoning_summary_text.delta", **at, delta=change.text)]
        return [self._event("response.output_text.delta", **at, delta=change.text, logprobs=change.logprobs)]

    def _write_input(self, at: dict[str, Any], text: str) -> list[bytes]:
        return [self._event("response.custom_tool_call_input.delta", **at, delta=text)] if text else []

    def _close(self, change: Closed) -> list[bytes]:
        block = change.block
        item = write_item(block, self._token, _end_status(change, self._reason), self._names)
        self._output.append(item)
        frames = self._event_done(block)
        return [*frames, self._event("response.output_item.done", output_index=block.index, item=item)]

    def _event_done(self, block: Block) -> list[bytes]:
        at, text = self._at(block), block.text
        match block.kind:
            case "tool" if block.name in self._names.custom:
                frames = self._write_input(at, self._input.finish())
                return [*frames, self._event("response.custom_tool_call_input.done", **at, input=self._input.text)]
            case "tool":
                done = self._event(
                    "response.function_call_arguments.done", **at, name=shown_name(block, self._names), arguments=text
                )
                return [done]
            case "refusal":
                frames = [self._event("response.refusal.done", **at, refusal=text)]
            case "text":
                frames = [self._event("response.output_text.done", **at, text=text, logprobs=block.logprobs)]
            case "reasoning" if block.pieces:
                done = self._event("response.reasoning_summary_text.done", **at, text=text)
                return [done, self._event("response.reasoning_summary_part.done", **at, part=write_part(block))]
            case _:
                return []
        return [*frames, self._event("response.content_part.done", **at, part=write_part(block))]

    def finish(self) -> list[bytes]:
        """Write what is still open, and the whole response."""
        frames = [*self._begin(), *self._write(self._blocks.finish())]
        body = {**self._body, **_write_end(self._output, self._reason or "stop", self._usage)}
        return [*frames, self._event(f"response.{body['status']}", response=body)]

    def fail(self, failure: Failure) -> list[bytes]:
        """Write an error as the last event: its members stand at the top as documented, and in `error` as sent."""
        error = errors.openai(failure)["error"]
        top = {name: error[name] for name in ("code", "message", "param")}
        return [self._event("error", **top, error=error)]
