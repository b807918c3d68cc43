"""OpenAI's chat completions (API reference, "Create chat completion" and "chat.completion.chunk")."""

from collections.abc import Sequence
from typing import Any

from gateway.dialects import errors, responses_request, sse
from gateway.dialects.base import Head, Parsed, all_warnings, openai_usage
from gateway.dialects.custom_tools import InputReader, read_input
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
from gateway.dialects.plain_chat import read_plain_chat
from gateway.dialects.reading import Fields, open_body
from gateway.dialects.tool_names import read_names
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
    ToolCall,
    ToolCallDelta,
    Usage,
    UsageReport,
)

STREAM_TYPE = sse.STREAM_TYPE
KEEP_ALIVE: bytes | None = sse.KEEP_ALIVE
NO_USAGE = Usage(prompt_tokens=0, completion_tokens=0)

_BESIDE = ("model", "messages", "stream", "stream_options")


class ParsedChat(Parsed, frozen=True, kw_only=True):
    """A chat; with `legacy_functions` the answer has `function_call` in place of `tool_calls`.

    `custom` holds the names of the tools that take free text.
    """

    legacy_functions: bool = False
    custom: frozenset[str] = frozenset()


def parse(body: bytes) -> ParsedChat:
    """Read a request; `InvalidRequest` naming every field that is wrong.

    A body in the shape of Responses (`input` in place of `messages`, as Cursor sends it) is taken for what it is.
    """
    plain = read_plain_chat(body)
    return _read_closely(body) if plain is None else ParsedChat(chat=plain)


def _read_closely(body: bytes) -> ParsedChat:
    fields = open_body(body)
    warnings: tuple[str, ...] = ()
    if fields.has("input") and not fields.has("messages"):
        chat, warnings = responses_request.read_chat(fields)
    else:
        chat = ChatRequest(
            model=fields.text("model", required=True, empty=False) or "",
            messages=read_messages(fields, legacy=True, empty=True),
            options=read_options(fields, _BESIDE, legacy=True, custom=True),
            stream=bool(fields.flag("stream")),
        )
    include_usage, unknown = read_stream_options(fields)
    fields.check()
    return ParsedChat(
        chat=chat,
        include_usage=include_usage,
        legacy_functions=fields.has("functions") and not fields.has("tools"),
        custom=read_names(fields).custom if chat.options.tools else frozenset(),
        warnings=(*warnings, *unknown, *fields.warnings()),
    )


def read_stream_options(fields: Fields) -> tuple[bool, tuple[str, ...]]:
    """Tell whether usage is wanted in the stream, and warn of further stream options."""
    options = fields.inner("stream_options")
    if options is None:
        return False, ()
    # Padding against traffic analysis: nothing is lost by leaving it out.
    unknown = options.rest(("include_usage", "include_obfuscation"))
    warnings = tuple(f"{options.at(name)}: not known here and ignored." for name in unknown)
    return bool(options.flag("include_usage")), warnings


def write_reply(parsed: ParsedChat, reply: ChatReply, head: Head) -> dict[str, Any]:
    """Write a whole answer; unknown usage is zeros, since the shape demands numbers."""
    body: dict[str, Any] = {
        "id": reply.id or f"chatcmpl-{head.id}",
        "object": "chat.completion",
        "created": reply.created or head.created,
        "model": head.model,
        "choices": [_write_choice(choice, parsed) for choice in reply.choices],
        "usage": openai_usage(reply.usage or NO_USAGE),
    }
    if reply.system_fingerprint is not None:
        body["system_fingerprint"] = reply.system_fingerprint
    if warnings := all_warnings(parsed, head, reply):
        body["warnings"] = warnings
    return body


def _write_choice(choice: Choice, parsed: ParsedChat) -> dict[str, Any]:
    given, legacy = choice.message, parsed.legacy_functions
    text = given.text
    message: dict[str, Any] = {
        "role": "assistant",
        "content": text if text or not (given.tool_calls or choice.refusal) else None,
        "refusal": choice.refusal,
    }
    if given.tool_calls and legacy:
        message["function_call"] = write_tool_call(given.tool_calls[0])["function"]
    elif given.tool_calls:
        message["tool_calls"] = [_write_call(call, parsed.custom) for call in given.tool_calls]
    if choice.reasoning:
        message["reasoning_content"] = choice.reasoning
    if details := write_reasoning_details(given.content):
        message["reasoning_details"] = details
    return {
        "index": choice.index,
        "message": message,
        "logprobs": choice.logprobs,
        "finish_reason": _reason(choice.finish_reason, legacy=legacy),
    }


def _write_call(call: ToolCall, custom: frozenset[str]) -> dict[str, Any]:
    written = write_tool_call(call)
    if call.name in custom:
        del written["function"]
        written |= {"type": "custom", "custom": {"name": call.name, "input": read_input(call.arguments)}}
    return written


def _reason(reason: FinishReason, *, legacy: bool) -> str:
    return "function_call" if legacy and reason == "tool_calls" else reason


def error_body(failure: Failure) -> dict[str, Any]:
    """Write an error."""
    return errors.openai(failure)


def events(parsed: ParsedChat, head: Head) -> "ChatEncoder":
    """Give a fresh encoder for one stream."""
    return ChatEncoder(parsed, head)


class ChatEncoder:
    """A chunk with the role first, then deltas, one chunk with the finish reason, usage if asked for, `[DONE]`."""

    def __init__(self, parsed: ParsedChat, head: Head) -> None:
        self._chunk: dict[str, Any] = {
            "id": f"chatcmpl-{head.id}",
            "object": "chat.completion.chunk",
            "created": head.created,
            "model": head.model,
        }
        self._legacy = parsed.legacy_functions
        self._include_usage = parsed.include_usage
        self._warnings = all_warnings(parsed, head)
        self._open: dict[int, FinishReason] = {}  # answers that have begun, and the reason if none is told
        self._ended: set[int] = set()
        self._thoughts = Thoughts()
        self._empty = EmptyCalls()
        self._custom = parsed.custom
        self._inputs: dict[tuple[int, int], InputReader] = {}  # of the calls of tools that take free text
        self._usage: Usage | None = None

    def encode(self, event: StreamEvent) -> list[bytes]:
        """Write one event as a chunk, after the chunk that opens its answer."""
        match event:
            case Started():
                if not self._open:
                    self._chunk["id"] = event.id or self._chunk["id"]
                    self._chunk["created"] = event.created or self._chunk["created"]
                self._usage = event.usage or self._usage
                return self._begin(0)
            case UsageReport():
                self._usage = event.usage
                return []
            case Finished():
                return [*self._begin(event.index), *self._end(event.index, event.finish_reason, event.warnings)]
            case TextDelta():
                delta: dict[str, Any] = {"content": event.text}
                return [*self._begin(event.index), self._write(event.index, delta, logprobs=event.logprobs)]
            case ReasoningDelta():
                delta = {"reasoning_content": event.text} if event.text else {}
                if details := self._thoughts.write_details(event):
                    delta["reasoning_details"] = details
                return [*self._begin(event.index), self._write(event.index, delta)]
            case RefusalDelta():
                return [*self._begin(event.index), self._write(event.index, {"refusal": event.text})]
            case ToolCallDelta():
                return self._encode_call(event)

    def _encode_call(self, event: ToolCallDelta) -> list[bytes]:
        frames = self._begin(event.index)
        self._open[event.index] = "tool_calls"
        self._empty.note(event)
        if event.name in self._custom:
            self._inputs[event.index, event.call] = InputReader()
        if (event.index, event.call) in self._inputs:
            return [*frames, *self._encode_input(event)]
        call = write_call_delta(event)
        if not self._legacy:
            return [*frames, self._write(event.index, {"tool_calls": [call]})]
        if event.call:
            return frames  # the old shape has room for one call
        return [*frames, self._write(event.index, {"function_call": call["function"]})]

    def _encode_input(self, event: ToolCallDelta) -> list[bytes]:
        text = self._inputs[event.index, event.call].feed(event.arguments)
        call = write_call_delta(event)
        name = call.pop("function").get("name")
        if name is not None:
            call |= {"type": "custom", "custom": {"name": name, "input": text}}
        elif text:
            call["custom"] = {"input": text}
        return [self._write(event.index, {"tool_calls": [call]})] if "custom" in call else []

    def _end_inputs(self, index: int) -> list[bytes]:
        rests = [(call, reader.finish()) for (answer, call), reader in self._inputs.items() if answer == index]
        calls = [{"index": call, "custom": {"input": rest}} for call, rest in rests if rest]
        return [self._write(index, {"tool_calls": [call]}) for call in calls]

    def _begin(self, index: int) -> list[bytes]:
        if index in self._open:
            return []
        self._open[index] = "stop"
        warnings, self._warnings = self._warnings, []
        return [self._write(index, {"role": "assistant", "content": "", "refusal": None}, warnings=warnings)]

    def _end(self, index: int, reason: FinishReason, warnings: Sequence[str] = ()) -> list[bytes]:
        if index in self._ended:
            return []
        frames = [frame for lacking in self._empty.complete(index) for frame in self._encode_call(lacking)]
        frames += self._end_inputs(index)
        self._ended.add(index)
        return [*frames, self._write(index, {}, reason=_reason(reason, legacy=self._legacy), warnings=warnings)]

    def _write(
        self,
        index: int,
        delta: dict[str, Any],
        *,
        reason: str | None = None,
        logprobs: dict[str, Any] | None = None,
        warnings: Sequence[str] = (),
    ) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": reason}
        chunk = {**self._chunk, "choices": [choice]}
        if warnings:
            chunk["warnings"] = warnings
        if self._include_usage:
            chunk["usage"] = None
        return sse.data(chunk)

    def finish(self) -> list[bytes]:
        """Write what is still missing: finish reasons, usage if asked for, the end mark."""
        frames = self._begin(0)
        for index, reason in self._open.items():
            frames += self._end(index, reason)
        if self._include_usage:
            frames.append(sse.data({**self._chunk, "choices": [], "usage": openai_usage(self._usage or NO_USAGE)}))
        return [*frames, sse.DONE]

    def fail(self, failure: Failure) -> list[bytes]:
        """Write an error as the last event."""
        return [sse.data(errors.openai(failure))]
