"""Answers in OpenAI's Chat Completions form, read leniently: half-compatible servers leave much of it out.

The forms that are understood beside OpenAI's own are those of API.md 3.3: a bare string, or an object with
`response`, `text`, `content`, `output` or `message`.
"""

from typing import Any

import msgspec

from gateway.errors import UnusableAnswer
from gateway.messages.chat import (
    ChatReply,
    Choice,
    FinishReason,
    Message,
    Part,
    ReasoningPart,
    TextPart,
    ToolCall,
    Usage,
)
from gateway.providers import lenient
from gateway.providers.failures import raise_error_in
from gateway.providers.tool_calls import made_up_id

_FINISH_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "model_length": "length",
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "safety": "content_filter",
    "refusal": "content_filter",
}


def read_reply(body: bytes) -> ChatReply:
    """Read a whole answer; `ProviderError` for an error in it, `UnusableAnswer` when it holds nothing usable."""
    answer = lenient.parse(body)
    raise_error_in(answer)
    if isinstance(answer, dict) and isinstance(answer.get("choices"), list):
        choices = _number(
            tuple(_choice(found, place) for place, found in enumerate(answer["choices"]) if isinstance(found, dict))
        )
    else:
        choices = _plain_choices(answer)
    if not choices:
        raise UnusableAnswer("the provider's answer holds no choices")
    fields = lenient.mapping(answer)
    messages = (lenient.mapping(choice).get("message") for choice in lenient.sequence(fields.get("choices")))
    return ChatReply(
        model=lenient.text(fields.get("model")),
        choices=choices,
        id=lenient.text_or_none(fields.get("id")),
        created=lenient.integer(fields.get("created")),
        usage=read_usage(fields.get("usage")),
        system_fingerprint=lenient.text_or_none(fields.get("system_fingerprint")),
        warnings=tuple(dict.fromkeys(loss for message in messages for loss in name_losses(lenient.mapping(message)))),
    )


def _number(choices: tuple[Choice, ...]) -> tuple[Choice, ...]:
    """Leave the choices their numbers if each has one of its own, else number them in their order."""
    if len({choice.index for choice in choices}) == len(choices):
        return choices
    return tuple(msgspec.structs.replace(choice, index=place) for place, choice in enumerate(choices))


def name_losses(message: dict[str, Any]) -> list[str]:
    """Name what of a message or a delta only OpenAI's own dialect can tell: where a text was found, and sound."""
    return [f"{name}: not translated, left out" for name in ("annotations", "audio") if message.get(name)]


def read_finish(reason: Any, *, called: bool) -> FinishReason | None:
    """Read a finish reason, None if there is none; one that nobody knows is `stop`.

    An answer that calls tools ends with `tool_calls`, also where the server says `stop`.
    """
    if not isinstance(reason, str) or not reason:
        return None
    known = _FINISH_REASONS.get(reason.lower(), "stop")
    return "tool_calls" if called and known == "stop" else known


def read_usage(usage: Any) -> Usage | None:
    """Read the token counts under OpenAI's names (those of its Responses API too); None if they are missing."""
    counts = lenient.mapping(usage)
    prompt = lenient.integer(counts.get("prompt_tokens", counts.get("input_tokens")))
    completion = lenient.integer(counts.get("completion_tokens", counts.get("output_tokens")))
    if prompt is None and completion is None:
        return None
    prompt_details = lenient.mapping(counts.get("prompt_tokens_details", counts.get("input_tokens_details")))
    completion_details = lenient.mapping(counts.get("completion_tokens_details", counts.get("output_tokens_details")))
    return Usage(
        prompt_tokens=max(prompt or 0, 0),
        completion_tokens=max(completion or 0, 0),
        cached_tokens=lenient.integer(prompt_details.get("cached_tokens", counts.get("prompt_cache_hit_tokens"))),
        cache_write_tokens=lenient.integer(prompt_details.get("cache_write_tokens")),
        reasoning_tokens=lenient.integer(completion_details.get("reasoning_tokens")),
    )


def read_text(content: Any, depth: int = 4) -> str | None:
    """Give the text of a content field: a string, a part, or a list of them; None if there is no text at all.

    `depth` bounds how far lists and parts may be nested.
    """
    if isinstance(content, str):
        return content
    if depth == 0:
        return None
    if isinstance(content, dict):
        if content.get("type") in ("thinking", "reasoning"):
            return None
        return read_text(content.get("text", content.get("content")), depth - 1)
    if isinstance(content, list):
        pieces = [text for text in (read_text(part, depth - 1) for part in content) if text is not None]
        return "".join(pieces) if pieces else None
    return None


def read_reasoning(message: dict[str, Any]) -> str:
    """Give the reasoning of a message or delta: `reasoning_content`, `reasoning`, or Mistral's `thinking` parts."""
    for name in ("reasoning_content", "reasoning", "thinking"):
        if isinstance(message.get(name), str) and message[name]:
            return str(message[name])
    parts = [lenient.mapping(part) for part in lenient.sequence(message.get("content"))]
    return "".join(read_text(part.get("thinking")) or "" for part in parts if part.get("type") == "thinking")


def read_signature(call: dict[str, Any]) -> str | None:
    """Give the proof that Gemini's OpenAI-compatible endpoint puts beside a tool call."""
    google = lenient.mapping(lenient.mapping(call.get("extra_content")).get("google"))
    return lenient.text_or_none(google.get("thought_signature"))


def read_tool_calls(message: dict[str, Any]) -> tuple[ToolCall, ...]:
    """Read the calls of a whole message, its legacy `function_call` too; arguments may be text or an object."""
    calls: list[ToolCall] = []
    found = lenient.sequence(message.get("tool_calls"))
    if isinstance(message.get("function_call"), dict):
        found = [*found, {"function": message["function_call"]}]
    for call in map(lenient.mapping, found):
        function = lenient.mapping(call.get("function"))
        name = lenient.text_or_none(function.get("name"))
        if name is None:
            continue
        arguments = lenient.arguments(function.get("arguments"))
        identity = lenient.text_or_none(call.get("id")) or made_up_id(len(calls), name, arguments)
        calls.append(ToolCall(id=identity, name=name, arguments=arguments, signature=read_signature(call)))
    return tuple(calls)


def _choice(found: dict[str, Any], place: int) -> Choice:
    message = found.get("message", found.get("delta"))
    fields = (
        message if isinstance(message, dict) else {"content": message if message is not None else found.get("text")}
    )
    calls = read_tool_calls(fields)
    reason = read_finish(found.get("finish_reason"), called=bool(calls))
    text, thought = read_text(fields.get("content")), read_reasoning(fields)
    refusal = lenient.text_or_none(fields.get("refusal"))
    nothing_said = not text and not calls and not thought and not refusal
    if nothing_said and (reason is None or (text is None and reason == "stop")):
        raise UnusableAnswer("the provider's answer holds no text and no tool call")
    index = lenient.integer(found.get("index"))
    return Choice(
        message=Message(role="assistant", content=_parts(thought, text), tool_calls=calls),
        finish_reason=reason or ("tool_calls" if calls else "stop"),
        index=place if index is None else index,
        refusal=refusal,
        logprobs=found["logprobs"] if isinstance(found.get("logprobs"), dict) else None,
    )


def _parts(thought: str, text: str | None) -> tuple[Part, ...]:
    parts: list[Part] = []
    if thought:
        parts.append(ReasoningPart(text=thought))
    if text:
        parts.append(TextPart(text=text))
    return tuple(parts)


def read_plain_text(answer: Any) -> str | None:
    """Give the text of an answer that is no chat completion at all; None if it has none of the known forms."""
    if isinstance(answer, str):
        return answer
    fields = lenient.mapping(answer)
    for name in ("response", "text", "content", "output"):
        text = read_text(fields.get(name))
        if text is not None:
            return text
    return None


def _plain_choices(answer: Any) -> tuple[Choice, ...]:
    fields = lenient.mapping(answer)
    reason = next((fields[name] for name in ("finish_reason", "done_reason", "stop_reason") if fields.get(name)), None)
    if isinstance(fields.get("message"), dict):
        return (_choice({"message": fields["message"], "finish_reason": reason}, 0),)
    text = read_plain_text(answer)
    if text is None:
        raise UnusableAnswer("the provider's answer is no chat completion and holds no text")
    return (_choice({"message": {"content": text}, "finish_reason": reason}, 0),)
