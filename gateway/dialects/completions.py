"""OpenAI's legacy text completions (API reference, "Create completion"), carried out as chats."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import msgspec

from gateway.dialects import errors, sse
from gateway.dialects.base import Head, Parsed, all_warnings, openai_usage
from gateway.dialects.errors import Failure
from gateway.dialects.infill import CONTINUE, FILL, mark_gap
from gateway.dialects.openai_chat import NO_USAGE, read_stream_options
from gateway.dialects.openai_options import read_options
from gateway.dialects.reading import Fields, open_body
from gateway.messages.chat import (
    ChatReply,
    ChatRequest,
    Finished,
    FinishReason,
    Message,
    Options,
    RefusalDelta,
    Started,
    StreamEvent,
    TextDelta,
    TextPart,
    Usage,
    UsageReport,
)

STREAM_TYPE = sse.STREAM_TYPE
KEEP_ALIVE: bytes | None = sse.KEEP_ALIVE
MAX_PROMPTS = 128

_BESIDE = ("model", "prompt", "suffix", "echo", "logprobs", "best_of", "stream", "stream_options")


class ParsedCompletion(Parsed, frozen=True, kw_only=True):
    """`chat` is for the first of `prompts`, `more` for the others, one each; `echo` puts the prompt before the text."""

    prompts: tuple[str, ...]
    more: tuple[ChatRequest, ...] = ()
    echo: bool = False


def parse(body: bytes) -> ParsedCompletion:
    """Read a request; `InvalidRequest` naming every field that is wrong."""
    fields = open_body(body)
    model = fields.text("model", required=True, empty=False) or ""
    prompts = _read_prompts(fields)
    suffix = fields.text("suffix")
    stream = bool(fields.flag("stream"))
    echo = bool(fields.flag("echo"))
    tokens = fields.integer("logprobs", 0, 5)
    best_of = fields.integer("best_of", 1, 20)
    options = read_options(Fields(fields.rest(("logprobs",)), "", fields.complaints), _BESIDE)
    if best_of is not None and best_of > (options.n or 1):
        fields.complain("best_of", "choosing among more answers than n is not possible here")
    if stream and len(prompts) > 1:
        fields.complain("prompt", "only one prompt can be streamed at a time")
    include_usage, warnings = read_stream_options(fields)
    fields.check()
    chats = tuple(_write_chat(model, prompt, suffix, options, tokens, stream=stream) for prompt in prompts)
    return ParsedCompletion(
        chat=chats[0],
        more=chats[1:],
        prompts=prompts,
        echo=echo,
        include_usage=include_usage,
        warnings=warnings + fields.warnings(),
    )


def _read_prompts(fields: Fields) -> tuple[str, ...]:
    prompt = fields.get("prompt")
    if prompt is None or prompt == []:
        fields.complain("prompt", "is required")
    elif isinstance(prompt, list) and not isinstance(prompt[0], str):
        fields.complain("prompt", "must be a string or a list of strings; token ids cannot be translated")
    elif isinstance(prompt, list) and len(prompt) > MAX_PROMPTS:
        fields.complain("prompt", f"must have at most {MAX_PROMPTS} entries")
    else:
        return fields.texts("prompt")
    return ()


def _write_chat(
    model: str, prompt: str, suffix: str | None, options: Options, tokens: int | None, *, stream: bool
) -> ChatRequest:
    asked = mark_gap(prompt, suffix) if suffix else prompt
    messages = (
        Message(role="system", content=(TextPart(text=FILL if suffix else CONTINUE),)),
        Message(role="user", content=(TextPart(text=asked),)),
    )
    if tokens is not None:
        options = msgspec.structs.replace(options, logprobs=True, top_logprobs=tokens)
    return ChatRequest(model=model, messages=messages, options=options, stream=stream)


def write_reply(parsed: ParsedCompletion, reply: ChatReply, head: Head) -> dict[str, Any]:
    """Write a whole answer to one prompt."""
    return write_replies(parsed, [reply], head)


def write_replies(parsed: ParsedCompletion, replies: Sequence[ChatReply], head: Head) -> dict[str, Any]:
    """Write the answers to all prompts, in their order: choices are counted through, usage is added up."""
    choices: list[dict[str, Any]] = []
    for prompt, reply in zip(parsed.prompts, replies, strict=True):
        before = prompt if parsed.echo else ""
        for choice in reply.choices:
            text = before + (choice.message.text or choice.refusal or "")
            choices.append(
                _write_choice(len(choices), text, choice.logprobs, _reason(choice.finish_reason), len(before))
            )
    used = [reply.usage or NO_USAGE for reply in replies]
    usage = Usage(
        prompt_tokens=sum(each.prompt_tokens for each in used),
        completion_tokens=sum(each.completion_tokens for each in used),
    )
    first = replies[0]
    body: dict[str, Any] = {
        "id": first.id or f"cmpl-{head.id}",
        "object": "text_completion",
        "created": first.created or head.created,
        "model": head.model,
        "choices": choices,
        "usage": openai_usage(used[0] if len(used) == 1 else usage),
    }
    if warnings := list(dict.fromkeys(text for reply in replies for text in all_warnings(parsed, head, reply))):
        body["warnings"] = warnings
    return body


def _write_choice(
    index: int, text: str, logprobs: dict[str, Any] | None, reason: str | None, offset: int = 0
) -> dict[str, Any]:
    written = _write_logprobs(logprobs, offset)
    return {"text": text, "index": index, "logprobs": written, "finish_reason": reason}


def _write_logprobs(logprobs: dict[str, Any] | None, offset: int) -> dict[str, Any] | None:
    """Turn the logprobs of a chat into those of a completion; `offset` is where the first token stands."""
    tokens = logprobs.get("content") if logprobs else None
    if not isinstance(tokens, list):
        return None
    entries = [entry for entry in tokens if isinstance(entry, dict) and isinstance(entry.get("token"), str)]
    starts = accumulate((len(entry["token"]) for entry in entries), initial=offset)
    return {
        "tokens": [entry["token"] for entry in entries],
        "token_logprobs": [entry.get("logprob") for entry in entries],
        "top_logprobs": [
            {top["token"]: top.get("logprob") for top in entry.get("top_logprobs") or () if "token" in top}
            for entry in entries
        ],
        "text_offset": [start for start, _ in zip(starts, entries, strict=False)],
    }


def _reason(reason: FinishReason) -> str:
    return "stop" if reason == "tool_calls" else reason


def error_body(failure: Failure) -> dict[str, Any]:
    """Write an error."""
    return errors.openai(failure)


def events(parsed: ParsedCompletion, head: Head) -> "CompletionEncoder":
    """Give a fresh encoder for one stream."""
    return CompletionEncoder(parsed, head)


class CompletionEncoder:
    """Text as it comes, one chunk with the finish reason, usage if asked for, `[DONE]`."""

    def __init__(self, parsed: ParsedCompletion, head: Head) -> None:
        self._chunk: dict[str, Any] = {
            "id": f"cmpl-{head.id}",
            "object": "text_completion",
            "created": head.created,
            "model": head.model,
        }
        self._prompt = parsed.prompts[0] if parsed.echo else ""
        self._include_usage = parsed.include_usage
        self._warnings = all_warnings(parsed, head)
        self._written: dict[int, int] = {}  # characters of each answer so far
        self._ended: set[int] = set()
        self._usage: Usage | None = None

    def encode(self, event: StreamEvent) -> list[bytes]:
        """Write text and ends; reasoning and tool calls have no place in a text completion."""
        match event:
            case Started():
                if not self._written:
                    self._chunk["id"] = event.id or self._chunk["id"]
                    self._chunk["created"] = event.created or self._chunk["created"]
                self._usage = event.usage or self._usage
            case UsageReport():
                self._usage = event.usage
            case TextDelta():
                return [*self._begin(event.index), self._write(event.index, event.text, logprobs=event.logprobs)]
            case RefusalDelta():
                return [*self._begin(event.index), self._write(event.index, event.text)]
            case Finished():
                self._warnings += event.warnings
                return [*self._begin(event.index), *self._end(event.index, _reason(event.finish_reason))]
        return []

    def _begin(self, index: int) -> list[bytes]:
        if index in self._written:
            return []
        self._written[index] = 0
        return [self._write(index, self._prompt)] if self._prompt else []

    def _end(self, index: int, reason: str) -> list[bytes]:
        if index in self._ended:
            return []
        self._ended.add(index)
        return [self._write(index, "", reason=reason)]

    def _write(
        self, index: int, text: str, *, reason: str | None = None, logprobs: dict[str, Any] | None = None
    ) -> bytes:
        chunk = {**self._chunk, "choices": [_write_choice(index, text, logprobs, reason, self._written[index])]}
        self._written[index] += len(text)
        if self._warnings:
            chunk["warnings"], self._warnings = self._warnings, []
        if self._include_usage:
            chunk["usage"] = None
        return sse.data(chunk)

    def finish(self) -> list[bytes]:
        """Write what is still missing: finish reasons, usage if asked for, the end mark."""
        frames = self._begin(0)
        for index in list(self._written):
            frames += self._end(index, "stop")
        if self._include_usage:
            frames.append(sse.data({**self._chunk, "choices": [], "usage": openai_usage(self._usage or NO_USAGE)}))
        return [*frames, sse.DONE]

    def fail(self, failure: Failure) -> list[bytes]:
        """Write an error as the last event."""
        return [sse.data(errors.openai(failure))]
