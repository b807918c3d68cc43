"""Chats written as OpenAI's Chat Completions request (OpenAI API reference, "Create chat completion").

What servers of this form disagree on stands in `Profile`, as data.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gateway.messages.chat import (
    ChatRequest,
    ImagePart,
    Message,
    Options,
    Part,
    ReasoningPart,
    ResponseFormat,
    TextPart,
    Tool,
    ToolChoice,
)
from gateway.providers.leftovers import has_cache_control, is_hidden, left_out, one_answer_only
from gateway.providers.reasoning import WISH_NAMES, effort_of, wish_of

_SAME_NAME = (
    "temperature",
    "top_p",
    "seed",
    "n",
    "frequency_penalty",
    "presence_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "user",
    "reasoning_effort",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """How one kind of server differs from the others that speak OpenAI's wire format.

    `prefix` stands before each path. `known_extras` are the options beyond OpenAI's names that are passed on (None:
    all). `reasoning_models` matches names that take `max_completion_tokens` and no other limit. `developer_role`,
    `many_answers` (n), `named_tool_choice`, `json_object`, `token_ids` (as input of embeddings) say what it knows;
    `hands_back_reasoning` and `keeps_cache_control` whether earlier turns carry `reasoning_content` and
    `cache_control`.
    """

    name: str
    prefix: str = ""
    needs_key: bool = False
    known_extras: frozenset[str] | None = None
    known_embeddings_extras: frozenset[str] | None = None
    reasoning_models: re.Pattern[str] | None = None
    developer_role: bool = False
    many_answers: bool = True
    named_tool_choice: bool = True
    json_object: bool = True
    token_ids: bool = True
    hands_back_reasoning: bool = True
    keeps_cache_control: bool = False


def write_body(chat: ChatRequest, profile: Profile) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Give the body of the request and the warnings about what was left out."""
    warnings: list[str] = []
    body = _extras(chat, profile, warnings)
    body["model"] = chat.model
    body["messages"] = _messages(chat.messages, profile, warnings)
    _write_options(body, chat, profile)
    if not profile.keeps_cache_control and has_cache_control(chat):
        warnings.append(left_out("cache_control", profile.name))
    if chat.stream:
        body["stream"] = True
        asked = body.get("stream_options")
        body["stream_options"] = {**(asked if isinstance(asked, dict) else {}), "include_usage": True}
    else:
        body.pop("stream_options", None)
    return body, tuple(dict.fromkeys(warnings))


def _extras(chat: ChatRequest, profile: Profile, warnings: list[str]) -> dict[str, Any]:
    extra = chat.options.extra
    if profile.known_extras is None:
        return dict(extra)
    body = {name: value for name, value in extra.items() if name in profile.known_extras}
    unknown = [name for name in extra if name not in profile.known_extras]
    wish = wish_of(chat.options)
    thinks = profile.reasoning_models is not None and profile.reasoning_models.match(chat.model) is not None
    if wish is not None and (thinks or not wish.enabled):
        unknown = [name for name in unknown if name not in WISH_NAMES]
        if wish.enabled:
            body["reasoning_effort"] = effort_of(wish)
    warnings += [left_out(name, profile.name) for name in unknown]
    return body


def _write_options(body: dict[str, Any], chat: ChatRequest, profile: Profile) -> None:
    options = chat.options
    if not profile.many_answers:
        one_answer_only(chat, profile.name)
    for name in _SAME_NAME:
        value = getattr(options, name)
        if value is not None and not (name == "n" and not profile.many_answers):
            body[name] = value
    if options.stop:
        body["stop"] = list(options.stop)
    if options.max_tokens is not None:
        new_name = profile.reasoning_models is not None and profile.reasoning_models.match(chat.model)
        body["max_completion_tokens" if new_name else "max_tokens"] = options.max_tokens
    if options.response_format is not None:
        body["response_format"] = _response_format(options.response_format, profile)
    _write_tools(body, options, profile)


def _write_tools(body: dict[str, Any], options: Options, profile: Profile) -> None:
    tools, choice = options.tools, options.tool_choice
    if choice is not None and choice.mode == "function" and not profile.named_tool_choice:
        tools = tuple(tool for tool in tools if tool.name == choice.name) or tools
        choice = ToolChoice(mode="required")
    if tools:
        body["tools"] = [_tool(tool, profile) for tool in tools]
        if options.parallel_tool_calls is not None:
            body["parallel_tool_calls"] = options.parallel_tool_calls
    if choice is not None and (tools or choice.mode in {"required", "function"}):
        named = {"type": "function", "function": {"name": choice.name}}
        body["tool_choice"] = named if choice.mode == "function" else choice.mode


def _tool(tool: Tool, profile: Profile) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    function["parameters"] = tool.parameters or {"type": "object", "properties": {}}
    if tool.strict is not None:
        function["strict"] = tool.strict
    written: dict[str, Any] = {"type": "function", "function": function}
    if tool.cache_control is not None and profile.keeps_cache_control:
        written["cache_control"] = tool.cache_control
    return written


def _response_format(wanted: ResponseFormat, profile: Profile) -> dict[str, Any]:
    if wanted.kind == "json_object" and not profile.json_object:
        wanted = ResponseFormat(kind="json_schema", name="object", schema={"type": "object"})
    if wanted.kind != "json_schema":
        return {"type": wanted.kind}
    schema: dict[str, Any] = {"name": wanted.name or "response", "schema": wanted.schema or {}}
    if wanted.strict is not None:
        schema["strict"] = wanted.strict
    return {"type": "json_schema", "json_schema": schema}


def _messages(messages: Sequence[Message], profile: Profile, warnings: list[str]) -> list[dict[str, Any]]:
    written: list[dict[str, Any]] = []
    shown: list[dict[str, Any]] = []
    for message in messages:
        if message.role != "tool" and shown:
            written.append({"role": "user", "content": shown})
            shown = []
        if message.role == "tool":
            written.append(_tool_result(message, profile, warnings))
            # A tool message holds text only: its images follow as the user's.
            shown += [_part(part) for part in message.content if isinstance(part, ImagePart)]
        else:
            written.append(_message(message, profile, warnings))
    if shown:
        written.append({"role": "user", "content": shown})
    return written


def _tool_result(message: Message, profile: Profile, warnings: list[str]) -> dict[str, Any]:
    if message.is_error:
        warnings.append(left_out("is_error of a tool's result", profile.name))
    texts = [part.text for part in message.content if isinstance(part, TextPart)]
    return {"role": "tool", "tool_call_id": message.tool_call_id or "", "content": "\n".join(texts)}


def _message(message: Message, profile: Profile, warnings: list[str]) -> dict[str, Any]:
    role = "system" if message.role == "developer" and not profile.developer_role else message.role
    written: dict[str, Any] = {"role": role, "content": _content(message, profile)}
    if message.name:
        written["name"] = message.name
    if message.tool_calls:
        written["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
                **_proof(call.signature, profile),
            }
            for call in message.tool_calls
        ]
        written["content"] = written["content"] or None
    if thoughts := [part for part in message.content if isinstance(part, ReasoningPart)]:
        _write_thoughts(written, thoughts, profile, warnings)
    return written


def _write_thoughts(
    written: dict[str, Any], thoughts: Sequence[ReasoningPart], profile: Profile, warnings: list[str]
) -> None:
    thought = "".join(part.text for part in thoughts)
    if thought and profile.hands_back_reasoning:
        written["reasoning_content"] = thought
    elif thought:
        warnings.append(left_out("reasoning of earlier turns", profile.name))
    if is_hidden(thoughts):
        warnings.append(left_out("hidden reasoning of earlier turns", profile.name))


def _proof(signature: str | None, profile: Profile) -> dict[str, Any]:
    """Hand Gemini's thought signature back where its OpenAI-compatible endpoint looks for it."""
    if signature is None or not profile.hands_back_reasoning:
        return {}
    return {"extra_content": {"google": {"thought_signature": signature}}}


def _content(message: Message, profile: Profile) -> str | list[dict[str, Any]]:
    parts = [part for part in message.content if not isinstance(part, ReasoningPart)]
    marked = profile.keeps_cache_control and any(part.cache_control for part in parts)
    if not parts:
        return ""
    if len(parts) == 1 and isinstance(parts[0], TextPart) and not marked:
        return parts[0].text
    written = []
    for part in parts:
        marks = {"cache_control": part.cache_control} if marked and part.cache_control else {}
        written.append({**_part(part), **marks})
    return written


def _part(part: Part) -> dict[str, Any]:
    if isinstance(part, ImagePart):
        url = part.url or f"data:{part.media_type or 'image/png'};base64,{part.data or ''}"
        detail = {"detail": part.detail} if part.detail else {}
        return {"type": "image_url", "image_url": {"url": url, **detail}}
    return {"type": "text", "text": part.text}
