"""Messages under OpenAI's names, read: what chat completions and `/llm` have in common; `openai_answers` writes them.

Shapes: OpenAI API reference, "Create chat completion". Beside them are taken, by shape: Responses-like parts and
flat tool calls (Cursor sends them), `reasoning_content` (DeepSeek, vLLM), `reasoning_details` (OpenRouter) which
carries the provider's proof of its reasoning, and `extra_content.google.thought_signature` (Gemini).
"""

from typing import Any

import msgspec

from gateway.dialects.custom_tools import write_arguments
from gateway.dialects.reading import Fields, kind_of
from gateway.messages.chat import (
    ImagePart,
    Message,
    Part,
    ReasoningPart,
    Role,
    TextPart,
    ToolCall,
)

ROLES: tuple[Role, ...] = ("system", "developer", "user", "assistant", "tool")

_MESSAGE = frozenset({"role", "content", "name"})
_SAID = {"tool_calls", "refusal", "reasoning_content", "reasoning", "reasoning_details"}
_MEMBERS: dict[str, frozenset[str]] = {
    "system": _MESSAGE,
    "developer": _MESSAGE,
    "user": _MESSAGE,
    "assistant": _MESSAGE | _SAID,
    "tool": _MESSAGE | {"tool_call_id", "is_error"},
}
_PART = frozenset({"type", "text", "cache_control"})
_IMAGE = frozenset({"type", "image_url", "detail", "cache_control"})
_ADDRESS = frozenset({"url", "detail"})
_REFUSAL = frozenset({"type", "refusal"})
_CALL = frozenset({"id", "type", "index", "function", "extra_content"})
_CALLED = frozenset({"name", "arguments"})
_TEXT_PARTS = ("text", "input_text", "output_text")
_IMAGE_PARTS = ("image_url", "input_image")
_FILES = ("input_audio", "audio", "file", "input_file", "video_url")


def read_messages(body: Fields, *, legacy: bool = False, empty: bool = False) -> tuple[Message, ...]:
    """Read `messages`. `legacy` takes `function_call` and the role `function` too; `empty` allows empty content."""
    roles = (*ROLES, "function") if legacy else ROLES
    messages: list[Message] = []
    called = ""
    for fields in body.objects("messages", required=True):
        role = fields.choice("role", roles, required=True)
        if legacy and role == "assistant" and fields.has("function_call"):
            called = f"call_{len(messages)}"
        if role == "function":
            messages.append(Message(role="tool", content=read_content(fields, empty=True), tool_call_id=called))
        elif role is None:
            read_content(fields, empty=True, optional=True)  # for its complaints
        else:
            messages.append(_read_message(fields, role, called, empty=empty))  # type: ignore[arg-type]  # choice() gave one of ROLES
    return tuple(messages)


def _read_message(fields: Fields, role: Role, called: str, *, empty: bool) -> Message:
    # Most messages hold these two members only: a shorter way for them.
    is_usual = len(fields.members) == 2 and "content" in fields.members
    if not is_usual and not _MEMBERS[role].issuperset(fields.members):
        fields.lose_rest(_MEMBERS[role] | {"function_call"} if called else _MEMBERS[role])
    calls: tuple[ToolCall, ...] = ()
    content: tuple[Part, ...] = ()
    if role == "assistant":
        calls = read_tool_calls(fields)
        if called and fields.has("function_call"):
            calls = (*calls, *_read_function_call(fields, called))
        content = _read_reasoning(fields)
    optional = bool(calls or content) or (role == "assistant" and (fields.has("refusal") or empty))
    content += read_content(fields, empty=empty or optional, optional=optional)
    if role == "assistant" and (refusal := fields.text("refusal")):
        content += (TextPart(text=refusal),)
    call_id = fields.text("tool_call_id", required=True, empty=False) if role == "tool" else None
    return Message(
        role=role,
        content=content,
        tool_calls=calls,
        tool_call_id=call_id,
        name=fields.text("name"),
        is_error=role == "tool" and fields.get("is_error") is True,
    )


def read_content(fields: Fields, name: str = "content", *, empty: bool, optional: bool = False) -> tuple[Part, ...]:
    """Read content: a string or a list of parts. `optional` lets it be absent, `empty` lets it hold nothing."""
    value = fields.get(name)
    if value is None:
        if not optional:
            fields.complain(name, "is required")
        return ()
    if isinstance(value, str):
        if not value and not empty:
            fields.complain(name, "must not be empty")
        return (TextPart(text=value),) if value else ()
    if not isinstance(value, list):
        fields.complain(name, f"must be a string or a list of parts, not {kind_of(value)}")
        return ()
    known = len(fields.complaints)
    parts = tuple(part for item in fields.objects(name) if (part := _read_part(item)) is not None)
    holds = any(not isinstance(part, TextPart) or part.text for part in parts)
    if not holds and not empty and len(fields.complaints) == known:
        fields.complain(name, "must not be empty")
    return parts


def _read_part(fields: Fields) -> Part | None:
    kind = fields.text("type", required=True)
    mark = fields.mapping("cache_control")
    if kind in _TEXT_PARTS:
        if len(fields.members) > 2 and not _PART.issuperset(fields.members):
            fields.lose_rest(_PART)
        text = fields.text("text", required=True)
        return TextPart(text=text, cache_control=mark) if text is not None else None
    if kind in _IMAGE_PARTS:
        return _read_image(fields, mark)
    if kind == "refusal":
        fields.lose_rest(_REFUSAL)
        refusal = fields.text("refusal", required=True)
        return TextPart(text=refusal) if refusal is not None else None
    if kind in _FILES:
        fields.complain("type", f"{kind} cannot be passed to other providers' models; send text or images")
    elif kind is not None:
        fields.complain("type", "must be one of text, image_url, refusal")
    return None


def _read_image(fields: Fields, mark: dict[str, Any] | None) -> ImagePart | None:
    fields.lose_rest(_IMAGE)
    if isinstance(fields.get("image_url"), str):
        url, detail, name = fields.text("image_url"), fields.text("detail"), "image_url"
    else:
        image = fields.inner("image_url", required=True)
        if image is None:
            return None
        image.lose_rest(_ADDRESS)
        url, detail, name = image.text("url", required=True), image.text("detail"), "image_url.url"
    return image_from_url(fields, name, url, detail, mark) if url is not None else None


def image_from_url(
    fields: Fields, name: str, url: str, detail: str | None = None, mark: dict[str, Any] | None = None
) -> ImagePart | None:
    """Read an image's address: http, https, or a data URL in base64; anything else is complained of at `name`."""
    if url[:8].lower().startswith(("http://", "https://")):
        return ImagePart(url=url, detail=detail, cache_control=mark)
    head, comma, data = url.partition(",")
    if head[:5].lower() == "data:" and head.lower().endswith(";base64") and comma and data:
        media_type = head[5:].split(";")[0].lower()
        if media_type.startswith("image/"):
            return ImagePart(data=data, media_type=media_type, detail=detail, cache_control=mark)
    fields.complain(name, "must be an http(s) address or data:image/<type>;base64,<data>")
    return None


def read_tool_calls(fields: Fields) -> tuple[ToolCall, ...]:
    """Read the calls of an assistant's message; flat ones (without `function`) are taken too."""
    calls: list[ToolCall] = []
    for item in fields.objects("tool_calls"):
        if "custom" in item.members:
            calls += _read_custom_call(item)
            continue
        function = item.inner("function") if item.has("function") else item
        call_id = item.text("id", required=True, empty=False)
        if function is None:
            continue
        if function is item:
            item.lose_rest(_CALL | _CALLED)
        else:
            if not _CALL.issuperset(item.members):
                item.lose_rest(_CALL)
            if len(function.members) > 1 + ("arguments" in function.members):
                function.lose_rest(_CALLED)
        name = function.text("name", required=True, empty=False)
        arguments = read_arguments(function)
        if call_id is not None and name is not None:
            calls.append(ToolCall(id=call_id, name=name, arguments=arguments, signature=read_signature(item)))
    return tuple(calls)


def _read_custom_call(item: Fields) -> list[ToolCall]:
    call_id, custom = item.text("id", required=True, empty=False), item.inner("custom")
    name = custom.text("name", required=True, empty=False) if custom is not None else None
    if custom is None or call_id is None or name is None:
        return []
    arguments = write_arguments(custom.text("input") or "")
    return [ToolCall(id=call_id, name=name, arguments=arguments, signature=read_signature(item))]


def read_arguments(function: Fields) -> str:
    """Read the arguments of a call: JSON text, or an object that is written as such; `{}` if there are none."""
    value = function.get("arguments")
    if isinstance(value, dict):
        return msgspec.json.encode(value).decode()
    return function.text("arguments") or "{}"


def _read_function_call(fields: Fields, call_id: str) -> tuple[ToolCall, ...]:
    function = fields.inner("function_call")
    name = function.text("name", required=True, empty=False) if function else None
    if function is None or name is None:
        return ()
    return (ToolCall(id=call_id, name=name, arguments=read_arguments(function)),)


def read_signature(call: Fields) -> str | None:
    """Read the proof that goes with a call, from where `openai_answers.write_signature` puts it."""
    extra = call.get("extra_content")
    google = extra.get("google") if isinstance(extra, dict) else None
    signature = google.get("thought_signature") if isinstance(google, dict) else None
    return signature if isinstance(signature, str) else None


def _read_reasoning(fields: Fields) -> tuple[ReasoningPart, ...]:
    text = fields.text("reasoning_content" if fields.has("reasoning_content") else "reasoning") or ""
    parts: list[ReasoningPart] = []
    for item in fields.objects("reasoning_details"):
        if item.get("type") == "reasoning.encrypted":
            if data := item.text("data"):
                parts.append(ReasoningPart(redacted=data))
        elif (said := item.text("text") or item.text("summary") or "") or item.has("signature"):
            parts.append(ReasoningPart(text=said, signature=item.text("signature")))
    if not parts or not text or any(part.text for part in parts):
        return tuple(parts) or ((ReasoningPart(text=text),) if text else ())
    # Streams give the text in `reasoning_content` and only the proof in the details: put them together again.
    for place, part in enumerate(parts):
        if part.signature is not None:
            parts[place] = ReasoningPart(text=text, signature=part.signature)
            return tuple(parts)
    return (ReasoningPart(text=text), *parts)
