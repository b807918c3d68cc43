"""Chats written as Anthropic's Messages request (Claude API reference, "Create a Message").

The version header is 2023-06-01: the later one, 2026-10-21, takes no sampling options from any model.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from gateway.messages.chat import (
    ChatRequest,
    ImagePart,
    Message,
    Options,
    Part,
    ReasoningPart,
    TextPart,
)
from gateway.providers import lenient, proofs
from gateway.providers.leftovers import is_plain, left_out, unknown_marks, unknown_options
from gateway.providers.reasoning import WISH_NAMES, budget_of, understood_wish

DEFAULT_MAX_TOKENS = 4096
"""Anthropic demands a limit; this is what a request without one gets, thinking not counted."""

_NAME = "anthropic"
_LEAST_BUDGET = 1024
_KNOWN_EXTRAS = frozenset(
    {"cache_control", "container", "context_management", "inference_geo", "mcp_servers", "metadata", "output_config"}
    | {"service_tier", "speed", "top_k"}
)
_UNDERSTOOD_EXTRAS = _KNOWN_EXTRAS | WISH_NAMES | {"betas"}
_UNKNOWN_OPTIONS = ("seed", "frequency_penalty", "presence_penalty", "logit_bias", "logprobs", "top_logprobs")
_EFFORTS = {"minimal": "low"}
_VERSION = re.compile(r"claude-(?:[a-z]+-)?(\d+)(?:[-.](\d)(?!\d))?")
_LAST_WITH_SAMPLING = (4, 6)
_LAST_WITH_BUDGETS = (4, 5)


def write_body(chat: ChatRequest) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Give the body of the request and the warnings about what was left out."""
    options = chat.options
    warnings = unknown_options(chat, _NAME, _UNKNOWN_OPTIONS)
    if not is_plain(chat):
        warnings += unknown_marks(chat, _NAME)
    body: dict[str, Any] = {}
    if options.extra:
        body = {name: value for name, value in options.extra.items() if name in _KNOWN_EXTRAS}
        warnings += [left_out(name, _NAME) for name in options.extra if name not in _UNDERSTOOD_EXTRAS]
    system, turns = _split(chat.messages, warnings)
    body["model"] = chat.model
    body["max_tokens"] = options.max_tokens or DEFAULT_MAX_TOKENS
    body["messages"] = turns or _user(system)
    if system and turns:
        body["system"] = system
    if options.stop:
        body["stop_sequences"] = list(options.stop)
    if options.user is not None:
        body["metadata"] = {"user_id": options.user, **lenient.mapping(body.get("metadata"))}
    if chat.stream:
        body["stream"] = True
    _write_tools(body, options)
    _write_format(body, options, warnings)
    _write_sampling(body, chat, warnings)
    _write_thinking(body, chat, warnings)
    return body, tuple(dict.fromkeys(warnings)) if warnings else ()


@lru_cache(maxsize=256)
def version_of(model: str) -> tuple[int, int]:
    """Read major and minor version out of a model's name.

    A Claude without a version is newer than those with; what is no Claude behaves like those that all imitate.
    """
    found = _VERSION.match(model)
    if found is not None:
        return int(found[1]), int(found[2] or 0)
    return (99, 0) if model.startswith("claude") else (4, 5)


def _user(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Make a conversation of a system prompt alone: Anthropic wants at least one turn."""
    return [{"role": "user", "content": blocks}] if blocks else []


def _split(messages: Sequence[Message], warnings: list[str]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Give the system blocks and the turns; neighbours of one role become one turn, tool results first in it."""
    system: list[dict[str, Any]] = []
    turns: list[dict[str, Any]] = []
    for message in messages:
        if message.role in {"system", "developer"}:
            system += _blocks(message.content)
            continue
        role = "assistant" if message.role == "assistant" else "user"
        blocks = [_tool_result(message)] if message.role == "tool" else _turn(message, warnings)
        if not blocks:
            continue
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": role, "content": blocks})
    for turn in turns:
        if turn["role"] == "user" and len(turn["content"]) > 1:
            turn["content"].sort(key=lambda block: block["type"] != "tool_result")
    return system, turns


def _turn(message: Message, warnings: list[str]) -> list[dict[str, Any]]:
    blocks = _blocks(message.content)
    if any(isinstance(part, ReasoningPart) and not _is_signed(part) for part in message.content):
        warnings.append("reasoning of earlier turns: anthropic takes only what it has signed itself, left out")
    blocks += [
        {
            "type": "tool_use",
            "id": _call_id(call.id),
            "name": call.name,
            "input": lenient.arguments_object(call.arguments),
        }
        for call in message.tool_calls
    ]
    return blocks


def _is_signed(part: ReasoningPart) -> bool:
    """Whether Anthropic has signed this reasoning itself."""
    return part.redacted is not None or proofs.anthropic_proof(part.signature) is not None


def _tool_result(message: Message) -> dict[str, Any]:
    block: dict[str, Any] = {"type": "tool_result", "tool_use_id": _call_id(message.tool_call_id or "")}
    content = _blocks(message.content)
    marks = [part.pop("cache_control") for part in content if "cache_control" in part]
    if content:
        block["content"] = content
    if marks:
        block["cache_control"] = marks[-1]
    if message.is_error:
        block["is_error"] = True
    return block


def _call_id(identity: str) -> str:
    """Make an id of another provider fit Anthropic's pattern, the same way in the call and in its result."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", identity) or "call"


def _blocks(parts: Sequence[Part]) -> list[dict[str, Any]]:
    return [block for block in map(_block, parts) if block is not None]


def _block(part: Part) -> dict[str, Any] | None:
    """Write one part; None for what Anthropic would refuse: empty text, thinking that it has not signed."""
    if type(part) is TextPart and part.cache_control is None:
        return {"type": "text", "text": part.text} if part.text else None
    if isinstance(part, ReasoningPart):
        if part.redacted is not None:
            return {"type": "redacted_thinking", "data": part.redacted}
        if _is_signed(part):
            return {"type": "thinking", "thinking": part.text, "signature": part.signature}
        return None
    marks = {"cache_control": part.cache_control} if part.cache_control else {}
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text, **marks} if part.text else None
    return {"type": "image", "source": _source(part), **marks}


def _source(part: ImagePart) -> dict[str, Any]:
    if part.data is not None:
        return {"type": "base64", "media_type": part.media_type or "image/png", "data": part.data}
    return {"type": "url", "url": part.url}


def _write_tools(body: dict[str, Any], options: Options) -> None:
    if not options.tools:
        return
    body["tools"] = []
    for tool in options.tools:
        schema = {"type": "object", **(tool.parameters or {"properties": {}})}
        written: dict[str, Any] = {"name": tool.name, "input_schema": schema}
        if tool.description:
            written["description"] = tool.description
        if tool.strict:
            written["strict"] = True
        if tool.cache_control:
            written["cache_control"] = tool.cache_control
        body["tools"].append(written)
    choice: dict[str, Any] = {}
    if options.tool_choice is not None:
        mode = options.tool_choice.mode
        choice["type"] = {"required": "any", "function": "tool"}.get(mode, mode)
        if mode == "function":
            choice["name"] = options.tool_choice.name
    if options.parallel_tool_calls is False and choice.get("type") != "none":
        choice = {"type": "auto", **choice, "disable_parallel_tool_use": True}
    if choice:
        body["tool_choice"] = choice


def _write_format(body: dict[str, Any], options: Options, warnings: list[str]) -> None:
    wanted = options.response_format
    if wanted is None or wanted.kind == "text":
        return
    if wanted.kind == "json_object":
        warnings.append("response_format json_object: not known to anthropic, left out; json_schema is")
        return
    written = {"type": "json_schema", "schema": _closed(wanted.schema or {"type": "object"})}
    body["output_config"] = {**lenient.mapping(body.get("output_config")), "format": written}


def _closed(schema: Any) -> Any:
    """Say of each object in a schema that it has no further properties, where it does not say: Anthropic insists."""
    if isinstance(schema, list):
        return [_closed(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {
        name: {key: _closed(value) for key, value in entry.items()}
        if name in {"properties", "$defs", "definitions"} and isinstance(entry, dict)
        else entry
        if name in {"enum", "const", "default", "examples", "required"}
        else _closed(entry)
        for name, entry in schema.items()
    }
    if closed.get("type") == "object":
        closed.setdefault("additionalProperties", False)
    return closed


def _write_sampling(body: dict[str, Any], chat: ChatRequest, warnings: list[str]) -> None:
    options = chat.options
    body.pop("top_k", None)
    known = version_of(chat.model) <= _LAST_WITH_SAMPLING
    for name, value in (
        ("temperature", options.temperature),
        ("top_p", options.top_p),
        ("top_k", options.extra.get("top_k")),
    ):
        if value is not None and known:
            body[name] = value
        elif value is not None:
            warnings.append(left_out(name, chat.model))


def _write_thinking(body: dict[str, Any], chat: ChatRequest, warnings: list[str]) -> None:
    options, thinking = chat.options, chat.options.extra.get("thinking")
    wish = understood_wish(options, objects=False)
    if wish is None:
        return
    with_budget = version_of(chat.model) <= _LAST_WITH_BUDGETS
    if wish.effort not in {None, "none"} and not with_budget:
        effort = _EFFORTS.get(wish.effort or "", wish.effort)
        body["output_config"] = {"effort": effort, **lenient.mapping(body.get("output_config"))}
    elif options.reasoning_effort is not None and isinstance(thinking, dict):
        warnings.append(f"{options.effort_at}: left out beside thinking, which says more")
    if isinstance(thinking, dict):
        body["thinking"] = thinking
    elif not wish.enabled:
        body["thinking"] = {"type": "disabled"}
    elif not with_budget:
        body["thinking"] = {"type": "adaptive"}
    elif _may_think(chat):
        _write_budget(body, options, budget_of(wish), warnings)
    else:
        warnings.append("reasoning: left out, anthropic allows it neither with forced tools nor after unsigned ones")


def _may_think(chat: ChatRequest) -> bool:
    """Whether thinking with a budget is allowed: no tool is forced, and the calls in progress were thought about."""
    choice = chat.options.tool_choice
    if choice is not None and choice.mode in {"required", "function"}:
        return False
    last = next((message for message in reversed(chat.messages) if message.role != "tool"), None)
    if last is None or not last.tool_calls:
        return True
    return any(isinstance(part, ReasoningPart) and _is_signed(part) for part in last.content)


def _write_budget(body: dict[str, Any], options: Options, budget: int, warnings: list[str]) -> None:
    """Write a budget that fits below the limit of tokens; sampling options may not go with it."""
    if options.max_tokens is None:
        body["max_tokens"] = DEFAULT_MAX_TOKENS + budget
    elif options.max_tokens <= _LEAST_BUDGET:
        warnings.append(f"reasoning: left out, max_tokens leaves less than the {_LEAST_BUDGET} tokens it needs")
        return
    else:
        budget = min(budget, options.max_tokens - 1)
    body["thinking"] = {"type": "enabled", "budget_tokens": max(budget, _LEAST_BUDGET)}
    for name in ("temperature", "top_k"):
        if name in body:
            del body[name]
            warnings.append(f"{name}: anthropic does not take it together with thinking, left out")
