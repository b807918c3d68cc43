"""Anthropic's Messages request (API reference, "Create a Message" and "Count tokens"), read."""

from typing import Any

import msgspec

from gateway.dialects.openai_messages import image_from_url, read_signature
from gateway.dialects.openai_options import read_response_format, read_tool_choice, read_tools
from gateway.dialects.reading import Fields, kind_of
from gateway.messages.chat import (
    ChatRequest,
    ImagePart,
    Message,
    Options,
    Part,
    ReasoningPart,
    TextPart,
    ToolCall,
)

_KNOWN = (
    "model",
    "messages",
    "system",
    "max_tokens",
    "temperature",
    "top_p",
    "stop_sequences",
    "stream",
    "tools",
    "tool_choice",
    "metadata",
    "output_config",
)
_BLOCKS: dict[str, frozenset[str]] = {
    "text": frozenset({"type", "text", "cache_control"}),
    "image": frozenset({"type", "source", "cache_control"}),
    "thinking": frozenset({"type", "thinking", "signature"}),
    "redacted_thinking": frozenset({"type", "data"}),
    "tool_use": frozenset({"type", "id", "name", "input", "extra_content"}),
    "tool_result": frozenset({"type", "tool_use_id", "content", "is_error", "cache_control"}),
}
_MESSAGE = frozenset({"role", "content"})
_SOURCE = frozenset({"type", "media_type", "data", "url"})


def read_chat(fields: Fields, *, counting: bool = False) -> tuple[ChatRequest, tuple[str, ...]]:
    """Read a request, and warnings of what could not be taken over; `counting` needs no `max_tokens`."""
    system = _read_system(fields)
    options, warnings = _read_options(fields, counting=counting)
    chat = ChatRequest(
        model=fields.text("model", required=True, empty=False) or "",
        messages=system + _read_messages(fields),
        options=options,
        stream=bool(fields.flag("stream")),
    )
    return chat, (*warnings, *fields.warnings())


def _read_options(fields: Fields, *, counting: bool) -> tuple[Options, tuple[str, ...]]:
    if not counting and not fields.has("max_tokens"):
        fields.complain("max_tokens", "is required")
    metadata = fields.inner("metadata") or Fields({}, fields.at("metadata"), fields.complaints)
    output = fields.inner("output_config") or Fields({}, fields.at("output_config"), fields.complaints)
    extra = fields.rest(_KNOWN)
    if further := metadata.rest(("user_id",)):
        extra["metadata"] = further
    choice = fields.get("tool_choice")
    alone = choice.get("disable_parallel_tool_use") if isinstance(choice, dict) else None
    if choice is not None and not isinstance(choice, dict):
        fields.complain("tool_choice", f"must be an object, not {kind_of(choice)}")
    tools = read_tools(fields)
    options = Options(
        temperature=fields.number("temperature", 0, 1),
        top_p=fields.number("top_p", 0, 1),
        max_tokens=fields.integer("max_tokens", 1),
        stop=fields.texts("stop_sequences"),
        user=metadata.text("user_id"),
        tools=tools,
        tool_choice=read_tool_choice(fields, tools) if isinstance(choice, dict) else None,
        parallel_tool_calls=not alone if isinstance(alone, bool) else None,
        response_format=read_response_format(output, "format"),
        reasoning_effort=output.text("effort", empty=False),
        effort_at=output.at("effort"),
        extra=extra,
    )
    unknown = output.rest(("effort", "format"))
    return options, tuple(f"{output.at(name)}: not known here and ignored." for name in unknown)


def _read_system(fields: Fields) -> tuple[Message, ...]:
    parts = _read_texts(fields, "system")
    return (Message(role="system", content=parts),) if parts else ()


def _read_texts(fields: Fields, name: str) -> tuple[TextPart, ...]:
    value = fields.get(name)
    if value is None or isinstance(value, str):
        return (TextPart(text=value),) if value else ()
    parts: list[TextPart] = []
    for item in fields.objects(name):
        if item.choice("type", ("text",), required=True) is not None:
            item.lose_rest(_BLOCKS["text"])
            text = item.text("text", required=True)
            parts.append(TextPart(text=text or "", cache_control=item.mapping("cache_control")))
    return tuple(parts)


def _read_messages(fields: Fields) -> tuple[Message, ...]:
    messages: list[Message] = []
    for item in fields.objects("messages", required=True):
        role = item.choice("role", ("user", "assistant", "system"), required=True)
        if not _MESSAGE.issuperset(item.members):
            item.lose_rest(_MESSAGE)
        content = item.get("content")
        if content is None:
            item.complain("content", "is required")
        elif role == "system":
            messages.append(Message(role="system", content=_read_texts(item, "content")))
        elif isinstance(content, str):
            messages.append(_write_turn("assistant" if role == "assistant" else "user", [TextPart(text=content)], []))
        elif role == "assistant":
            messages.append(_read_assistant(item))
        else:
            messages.extend(_read_user(item))
    return tuple(messages)


def _write_turn(role: Any, parts: list[Part], calls: list[ToolCall]) -> Message:
    kept = tuple(part for part in parts if not isinstance(part, TextPart) or part.text)
    return Message(role=role, content=kept, tool_calls=tuple(calls))


def _read_assistant(fields: Fields) -> Message:
    parts: list[Part] = []
    calls: list[ToolCall] = []
    for block in fields.objects("content"):
        kind = _kind(block)
        if kind == "tool_use":
            calls += _read_tool_use(block)
        elif kind == "tool_result":
            block.complain("type", "tool_result belongs in a message of the user")
        elif (part := _read_block(block, kind)) is not None:
            parts.append(part)
    return _write_turn("assistant", parts, calls)


def _read_user(fields: Fields) -> list[Message]:
    """Read a user's turn: the results of tools come first, each a message of its own."""
    parts: list[Part] = []
    messages: list[Message] = []
    for block in fields.objects("content"):
        kind = _kind(block)
        if kind == "tool_result":
            messages += _read_tool_result(block)
        elif kind in ("tool_use", "thinking", "redacted_thinking"):
            block.complain("type", f"{kind} belongs in a message of the assistant")
        elif (part := _read_block(block, kind)) is not None:
            parts.append(part)
    turn = _write_turn("user", parts, [])
    return [*messages, turn] if turn.content or not messages else messages


def _kind(block: Fields) -> str | None:
    kind = block.text("type", required=True)
    if kind is None:
        return None
    if kind in _BLOCKS:
        if not _BLOCKS[kind].issuperset(block.members):
            block.lose_rest(_BLOCKS[kind])
        return kind
    if kind in ("document", "search_result", "container_upload") or kind.endswith(("_tool_use", "_tool_result")):
        block.complain("type", f"{kind} cannot be passed to other providers' models; send text or images")
    else:
        block.complain("type", f"must be one of {', '.join(_BLOCKS)}")
    return None


def _read_block(block: Fields, kind: str | None) -> Part | None:
    mark = block.mapping("cache_control")
    if kind == "text":
        text = block.text("text", required=True)
        return TextPart(text=text, cache_control=mark) if text is not None else None
    if kind == "image":
        return _read_image(block, mark)
    if kind == "thinking":
        thinking = block.text("thinking", required=True)
        return ReasoningPart(text=thinking or "", signature=block.text("signature") or None)
    if kind == "redacted_thinking":
        return ReasoningPart(redacted=block.text("data", required=True, empty=False))
    return None


def _read_image(block: Fields, mark: dict[str, Any] | None) -> ImagePart | None:
    source = block.inner("source", required=True)
    kind = source.choice("type", ("base64", "url"), required=True) if source is not None else None
    if source is None or kind is None:
        return None
    source.lose_rest(_SOURCE)
    if kind == "url":
        url = source.text("url", required=True)
        return image_from_url(source, "url", url, mark=mark) if url is not None else None
    media_type = source.text("media_type", required=True, empty=False)
    data = source.text("data", required=True, empty=False)
    if media_type is None or data is None:
        return None
    return ImagePart(data=data, media_type=media_type, cache_control=mark)


def _read_tool_use(block: Fields) -> list[ToolCall]:
    call_id = block.text("id", required=True, empty=False)
    name = block.text("name", required=True, empty=False)
    given = block.mapping("input")
    if not block.has("input"):
        block.complain("input", "is required")
    if call_id is None or name is None:
        return []
    return [
        ToolCall(
            id=call_id,
            name=name,
            arguments=msgspec.json.encode(given or {}).decode(),
            signature=read_signature(block),
        )
    ]


def _read_tool_result(block: Fields) -> list[Message]:
    call_id = block.text("tool_use_id", required=True, empty=False)
    value = block.get("content")
    parts: list[Part] = []
    if isinstance(value, str):
        parts.append(TextPart(text=value))
    else:
        for inner in block.objects("content"):
            kind = _kind(inner)
            if kind in ("text", "image"):
                if (part := _read_block(inner, kind)) is not None:
                    parts.append(part)
            elif kind is not None:
                inner.complain("type", "must be text or image inside a tool_result")
    if mark := block.mapping("cache_control"):
        parts = _mark_last(parts, mark)
    if call_id is None:
        return []
    is_error = block.flag("is_error") is True
    return [Message(role="tool", content=tuple(parts), tool_call_id=call_id, is_error=is_error)]


def _mark_last(parts: list[Part], mark: dict[str, Any]) -> list[Part]:
    """Keep the mark of a whole result on its last part: caching reaches up to there either way."""
    last = parts[-1] if parts else TextPart(text="")
    if isinstance(last, ReasoningPart) or last.cache_control is not None:
        return parts
    return [*parts[:-1], msgspec.structs.replace(last, cache_control=mark)]
