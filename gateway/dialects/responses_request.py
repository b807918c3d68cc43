"""OpenAI's Responses request (API reference, "Create a model response"), read: stateless, function tools only."""

from collections.abc import Sequence
from typing import Any, cast

from gateway.dialects.custom_tools import write_arguments
from gateway.dialects.openai_messages import ROLES, read_arguments, read_content, read_signature
from gateway.dialects.openai_options import read_response_format, read_tool_choice, read_tools
from gateway.dialects.reading import Fields, kind_of
from gateway.dialects.tool_names import ToolNames, flat_name
from gateway.messages.chat import ChatRequest, Message, Options, Part, ReasoningPart, Role, TextPart, Tool, ToolCall

SIGNED, REDACTED = "sandgate.signed.", "sandgate.redacted."
"""How `encrypted_content` begins that holds a provider's proof, or reasoning that only the provider can read."""

_KNOWN = (
    "model", "input", "instructions", "stream", "stream_options", "max_output_tokens", "temperature", "top_p", "tools",
    "tool_choice", "parallel_tool_calls", "text", "reasoning", "store", "metadata", "user", "top_logprobs", "include",
    "truncation", "previous_response_id", "conversation", "background", "prompt", "max_tool_calls",
)  # fmt: skip
_ITEMS: dict[str | None, frozenset[str]] = {
    "message": frozenset({"type", "role", "content", "id", "status"}),
    "reasoning": frozenset({"type", "id", "summary", "content", "encrypted_content", "status"}),
    "function_call": frozenset({"type", "id", "call_id", "name", "namespace", "arguments", "status", "extra_content"}),
    "function_call_output": frozenset({"type", "id", "call_id", "output", "status"}),
}
_ITEMS["custom_tool_call"] = _ITEMS["function_call"] - {"arguments"} | {"input"}
_ITEMS["custom_tool_call_output"] = _ITEMS["function_call_output"]
_STATEFUL = {
    "previous_response_id": "responses are not kept here: send the whole conversation as input",
    "conversation": "conversations are not kept here: send the whole conversation as input",
    "prompt": "prompts are not kept here: send the text itself",
}
_LOGPROBS = "message.output_text.logprobs"
_ENCRYPTED = "reasoning.encrypted_content"


def read_chat(fields: Fields) -> tuple[ChatRequest, tuple[str, ...]]:
    """Read a request, and warnings of what could not be taken over."""
    for name, message in _STATEFUL.items():
        if fields.has(name):
            fields.complain(name, message)
    if fields.flag("background"):
        fields.complain("background", "answers are given at once here, not in the background")
    options, warnings = _read_options(fields)
    instructions = fields.text("instructions")
    system = (Message(role="system", content=(TextPart(text=instructions),)),) if instructions else ()
    chat = ChatRequest(
        model=fields.text("model", required=True, empty=False) or "",
        messages=system + _read_input(fields),
        options=options,
        stream=bool(fields.flag("stream")),
    )
    return chat, warnings


def _read_options(fields: Fields) -> tuple[Options, tuple[str, ...]]:
    text = fields.inner("text") or Fields({}, fields.at("text"), fields.complaints)
    reasoning = fields.inner("reasoning") or Fields({}, fields.at("reasoning"), fields.complaints)
    include = fields.texts("include")
    ignored = [f"include: {name}" for name in include if name not in (_LOGPROBS, _ENCRYPTED)]
    ignored += [text.at(name) for name in text.rest(("format", "verbosity"))]
    ignored += [reasoning.at(name) for name in reasoning.rest(("effort", "summary", "generate_summary"))]
    if fields.has("max_tool_calls"):
        ignored.append("max_tool_calls")
    if fields.choice("truncation", ("auto", "disabled")) == "auto":
        ignored.append("truncation: auto")
    extra = fields.rest(_KNOWN)
    if verbosity := text.text("verbosity"):
        extra["verbosity"] = verbosity
    top_logprobs = fields.integer("top_logprobs", 0, 20)
    tools = read_tools(fields, custom=True)
    options = Options(
        temperature=fields.number("temperature", 0, 2),
        top_p=fields.number("top_p", 0, 1),
        max_tokens=fields.integer("max_output_tokens", 1),
        user=fields.text("user"),
        logprobs=True if top_logprobs or _LOGPROBS in include else None,
        top_logprobs=top_logprobs,
        tools=tools,
        tool_choice=read_tool_choice(fields, tools),
        parallel_tool_calls=fields.flag("parallel_tool_calls"),
        response_format=read_response_format(text, "format"),
        reasoning_effort=reasoning.text("effort", empty=False),
        effort_at=reasoning.at("effort"),
        extra=extra,
    )
    return options, tuple(f"{name}: not known here and ignored." for name in ignored)


def _read_input(fields: Fields) -> tuple[Message, ...]:
    value = fields.get("input")
    if value is None:
        fields.complain("input", "is required")
    elif isinstance(value, str):
        if not value:
            fields.complain("input", "must not be empty")
        return (Message(role="user", content=(TextPart(text=value),)),)
    elif isinstance(value, list):
        turns = _Turns()
        for item in fields.objects("input", required=True):
            _read_item(item, turns)
        turns.end_assistant()
        return tuple(turns.messages)
    else:
        fields.complain("input", f"must be a string or a list, not {kind_of(value)}")
    return ()


class _Turns:
    """Messages so far; reasoning, text and calls of the assistant that follow one another become one message."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.parts: list[Part] = []
        self.calls: list[ToolCall] = []

    def end_assistant(self) -> None:
        """Make a message of what the assistant has said and asked for."""
        if self.parts or self.calls:
            content, calls = tuple(self.parts), tuple(self.calls)
            self.messages.append(Message(role="assistant", content=content, tool_calls=calls))
        self.parts, self.calls = [], []

    def add(self, message: Message) -> None:
        """Add a message of somebody else."""
        self.end_assistant()
        self.messages.append(message)


def _read_item(item: Fields, turns: _Turns) -> None:
    kind = item.text("type") or ("message" if item.has("role") else None)
    known = _ITEMS.get(kind)
    if known is not None and not known.issuperset(item.members):
        item.lose_rest(known)
    match kind:
        case "message":
            role = item.choice("role", ROLES[:-1], required=True)
            content = read_content(item, empty=True)
            if role == "assistant":
                turns.parts += content
            elif role is not None:
                turns.add(Message(role=cast(Role, role), content=content))
        case "reasoning":
            turns.parts += _read_reasoning(item)
        case "function_call" | "custom_tool_call":
            call_id = item.text("call_id", required=True, empty=False)
            name = item.text("name", required=True, empty=False)
            if name is not None and (group := item.text("namespace")):
                name = flat_name(group, name)
            is_text = kind == "custom_tool_call"
            arguments = write_arguments(item.text("input") or "") if is_text else read_arguments(item)
            if call_id is not None and name is not None:
                turns.calls.append(ToolCall(id=call_id, name=name, arguments=arguments, signature=read_signature(item)))
        case "function_call_output" | "custom_tool_call_output":
            call_id = item.text("call_id", required=True, empty=False)
            turns.add(Message(role="tool", content=read_content(item, "output", empty=True), tool_call_id=call_id))
        case None:
            item.complain("type", "is required")
        case _:
            names = ", ".join(filter(None, _ITEMS))
            item.complain("type", f"{kind} cannot be passed to other providers' models; known here are {names}")


def _read_reasoning(item: Fields) -> list[ReasoningPart]:
    lists = [item.objects(name) for name in ("content", "summary") if item.has(name)]
    texts = [part.text("text") or "" for parts in lists for part in parts]
    proof = item.text("encrypted_content") or ""
    if proof.startswith(REDACTED):
        return [ReasoningPart(redacted=proof[len(REDACTED) :])]
    # A proof that is not of our writing is of no use to any other provider.
    if proof and not proof.startswith(SIGNED):
        item.lose("encrypted_content")
    signature = proof[len(SIGNED) :] if proof.startswith(SIGNED) else None
    text = "\n\n".join(filter(None, texts))
    return [ReasoningPart(text=text, signature=signature)] if text or signature else []


def echo_request(fields: Fields, chat: ChatRequest, names: ToolNames) -> dict[str, Any]:
    """Give those members of the request that the answer repeats, the tools in the form that the client knows."""
    options = chat.options
    text = fields.get("text") if isinstance(fields.get("text"), dict) else {}
    effort = options.reasoning_effort
    reasoning = fields.get("reasoning") if isinstance(fields.get("reasoning"), dict) else {}
    return {
        "instructions": fields.get("instructions"),
        "max_output_tokens": options.max_tokens,
        "metadata": fields.get("metadata") if isinstance(fields.get("metadata"), dict) else {},
        "parallel_tool_calls": options.parallel_tool_calls is not False,
        "previous_response_id": None,
        "reasoning": {"effort": effort, "summary": reasoning.get("summary")},
        "store": False,
        "temperature": options.temperature,
        "text": {**text, "format": text.get("format") or {"type": "text"}},
        "tool_choice": fields.get("tool_choice") or "auto",
        "tools": _echo_tools(fields, options.tools, names),
        "top_p": options.top_p,
        "truncation": "disabled",
        "user": options.user,
    }


def _echo_tools(fields: Fields, tools: Sequence[Tool], names: ToolNames) -> list[dict[str, Any]]:
    others = [
        item
        for item in fields.items("tools")
        if item.get("type") in ("custom", "namespace") and "input_schema" not in item
    ]
    return [
        {
            "type": "function",
            "name": tool.name,
            "description": tool.description,
            "parameters": tool.parameters,
            "strict": tool.strict,
        }
        for tool in tools
        if tool.name not in names.custom and tool.name not in names.grouped
    ] + others
