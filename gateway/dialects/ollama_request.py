"""Ollama's requests (docs/api.md and api/types.go), read: chat, generate, embed, embeddings."""

from typing import Any

from gateway.dialects.infill import FILL, mark_gap
from gateway.dialects.openai_messages import read_arguments, read_content, read_signature
from gateway.dialects.openai_options import read_tools
from gateway.dialects.reading import Fields, kind_of
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
    ToolCall,
)
from gateway.messages.embeddings import EmbeddingsRequest

ROLES = ("system", "user", "assistant", "tool")

_OPTIONS = ("temperature", "top_p", "seed", "num_predict", "stop", "presence_penalty", "frequency_penalty")
_BESIDE = ("model", "messages", "stream", "options", "format", "tools", "logprobs", "top_logprobs")
_MESSAGE = frozenset({"role", "content", "images"})
_MEMBERS = {
    "system": _MESSAGE,
    "user": _MESSAGE,
    "assistant": _MESSAGE | {"thinking", "tool_calls"},
    "tool": _MESSAGE | {"tool_name", "name", "tool_call_id"},
}
_CALL = frozenset({"id", "type", "function", "extra_content"})
_CALLED = frozenset({"index", "name", "arguments"})
_GENERATE = (*_BESIDE, "prompt", "system", "suffix", "images")
# How the images that providers take begin, in base64.
_MAGIC = (("iVBORw0KGgo", "image/png"), ("/9j/", "image/jpeg"), ("R0lGOD", "image/gif"), ("UklGR", "image/webp"))


def read_chat(fields: Fields) -> ChatRequest:
    """Read a chat; it streams unless told otherwise."""
    return ChatRequest(
        model=fields.text("model", required=True, empty=False) or "",
        messages=_read_messages(fields),
        options=_read_options(fields, _BESIDE, read_tools(fields)),
        stream=fields.flag("stream") is not False,
    )


def read_generate(fields: Fields) -> ChatRequest:
    """Read a prompt as a chat; without a prompt it has no messages."""
    system, suffix = fields.text("system"), fields.text("suffix")
    prompt = fields.text("prompt") or ""
    images = _read_images(fields)
    messages: list[Message] = []
    if suffix:
        prompt = mark_gap(prompt, suffix)
        system = f"{system}\n\n{FILL}" if system else FILL
    if prompt or images:
        if system:
            messages.append(Message(role="system", content=(TextPart(text=system),)))
        text: tuple[Part, ...] = (TextPart(text=prompt),) if prompt else ()
        messages.append(Message(role="user", content=text + images))
    return ChatRequest(
        model=fields.text("model", required=True, empty=False) or "",
        messages=tuple(messages),
        options=_read_options(fields, _GENERATE, ()),
        stream=fields.flag("stream") is not False,
    )


def read_embed(fields: Fields, name: str) -> EmbeddingsRequest:
    """Read texts to embed from the member `name`; the rest goes to `extra`."""
    texts = fields.texts(name)
    if not texts and not fields.complaints:
        fields.complain(name, "must not be empty" if fields.has(name) else "is required")
    options = fields.inner("options")
    return EmbeddingsRequest(
        model=fields.text("model", required=True, empty=False) or "",
        input=texts,
        dimensions=fields.integer("dimensions", 1),
        extra={**(options.rest(()) if options else {}), **fields.rest(("model", name, "dimensions", "options"))},
    )


def _read_options(fields: Fields, beside: tuple[str, ...], tools: tuple[Tool, ...]) -> Options:
    given = fields.inner("options") or Fields({}, "options", fields.complaints)
    limit = given.integer("num_predict", -2)
    return Options(
        temperature=given.number("temperature", 0),
        top_p=given.number("top_p", 0, 1),
        # 0 and below ask for no limit of their own: as much as the model and its context hold.
        max_tokens=limit if limit is not None and limit > 0 else None,
        stop=given.texts("stop"),
        seed=given.integer("seed"),
        frequency_penalty=given.number("frequency_penalty"),
        presence_penalty=given.number("presence_penalty"),
        logprobs=fields.flag("logprobs"),
        top_logprobs=fields.integer("top_logprobs", 0, 20),
        tools=tools,
        response_format=_read_format(fields),
        extra={**given.rest(_OPTIONS), **fields.rest(beside)},
    )


def _read_format(fields: Fields) -> ResponseFormat | None:
    value = fields.get("format")
    if value is None or value == "":
        return None
    if value == "json":
        return ResponseFormat(kind="json_object")
    if isinstance(value, dict):
        return ResponseFormat(kind="json_schema", schema=value)
    fields.complain("format", "must be json or a JSON Schema")
    return None


def _read_messages(fields: Fields) -> tuple[Message, ...]:
    messages: list[Message] = []
    pending: list[ToolCall] = []  # calls that have no result yet
    for item in fields.objects("messages"):
        role = item.choice("role", ROLES, required=True)
        content = read_content(item, empty=True, optional=True) + _read_images(item)
        if role is not None and not _MEMBERS[role].issuperset(item.members):
            item.lose_rest(_MEMBERS[role])
        match role:
            case "assistant":
                calls = _read_calls(item, len(messages))
                pending = [*pending, *calls]
                thinking = item.text("thinking")
                thought: tuple[Part, ...] = (ReasoningPart(text=thinking),) if thinking else ()
                messages.append(Message(role="assistant", content=thought + content, tool_calls=calls))
            case "tool":
                name = item.text("tool_name") or item.text("name")
                call_id = _answered(pending, item.text("tool_call_id"), name)
                messages.append(Message(role="tool", content=content, tool_call_id=call_id, name=name))
            case "system" | "user":
                messages.append(Message(role="system" if role == "system" else "user", content=content))
    return tuple(messages)


def _read_calls(fields: Fields, place: int) -> tuple[ToolCall, ...]:
    calls: list[ToolCall] = []
    for item in fields.objects("tool_calls"):
        function = item.inner("function", required=True)
        name = function.text("name", required=True, empty=False) if function is not None else None
        if function is not None and name is not None:
            item.lose_rest(_CALL)
            function.lose_rest(_CALLED)
            call_id = item.text("id") or f"call_{place}_{len(calls)}"
            signature = read_signature(item)
            calls.append(ToolCall(id=call_id, name=name, arguments=read_arguments(function), signature=signature))
    return tuple(calls)


def _answered(pending: list[ToolCall], call_id: str | None, name: str | None) -> str:
    """Find which call a result answers: by its id, else the first open one of that name, else the first open one."""
    by_id = [call for call in pending if call.id == call_id]
    by_name = [call for call in pending if call.name == name]
    if call_id is not None and not by_id:
        return call_id
    found = next(iter(by_id or by_name or pending), None)
    if found is None:
        return f"call_{name or 0}"
    pending.remove(found)
    return found.id


def _read_images(fields: Fields) -> tuple[Part, ...]:
    images: list[Part] = []
    for place, value in enumerate(fields.items("images")):
        if isinstance(value, str) and value:
            images.append(_read_image(value))
        else:
            fields.complain(f"images[{place}]", f"must be an image in base64, not {_what(value)}")
    return tuple(images)


def _what(value: Any) -> str:
    return "empty" if value == "" else kind_of(value)


def _read_image(value: str) -> ImagePart:
    head, comma, data = value.partition(",")
    if comma and head.startswith("data:"):
        return ImagePart(data=data, media_type=head[5:].split(";")[0] or None)
    kind = next((media_type for magic, media_type in _MAGIC if value.startswith(magic)), "image/png")
    return ImagePart(data=value, media_type=kind)
