"""Generation options under OpenAI's names, read for chat completions, legacy completions and `/llm`.

Names and ranges: OpenAI API reference, "Create chat completion". What has no place in `Options` goes to `extra`,
so that a provider takes it or names it in its warnings.
"""

from collections.abc import Callable, Collection
from functools import cache
from typing import Any, Literal, cast

import msgspec

from gateway.dialects.custom_tools import is_custom, read_custom
from gateway.dialects.reading import MAX_NAME, Fields, kind_of
from gateway.dialects.tool_names import flat_name
from gateway.messages.chat import Options, ResponseFormat, Tool, ToolChoice

MAX_ANSWERS = 128

_KNOWN = frozenset(Options.__struct_fields__) - {"extra", "effort_at"} | {"max_completion_tokens"}
# Tools that are known to the models of one vendor only, or run at it: how the types of OpenAI's and Anthropic's begin.
_VENDORS_TOOLS = (
    "advisor_", "apply_patch", "bash_", "browser", "code_execution", "code_interpreter", "computer", "file_search",
    "image_generation", "local_shell", "mcp", "memory_", "namespace", "programmatic_tool_calling", "shell",
    "text_editor_", "tool_search", "web_fetch", "web_search",
)  # fmt: skip
_GROUP = frozenset({"type", "name", "description", "tools"})
_TOOL = frozenset({"type", "function", "cache_control"})
_FUNCTION = frozenset({"name", "description", "parameters", "strict", "cache_control"})
_FLAT = _FUNCTION | {"type", "input_schema"}
_FORM = frozenset({"type", "json_schema"})
_SCHEMA = frozenset({"type", "name", "schema", "strict", "description"})
_LEGACY = frozenset({"functions", "function_call"})


def read_options(
    fields: Fields, beside: tuple[str, ...] = (), *, legacy: bool = False, custom: bool = False
) -> Options:
    """Read options from the members of `fields`, except those named `beside`.

    `legacy` takes `functions` too, `custom` tools that take free text.
    """
    members = fields.members
    tools = read_tools(fields, custom=custom) if "tools" in members else ()
    choice = read_tool_choice(fields, tools) if "tool_choice" in members else None
    parallel = fields.flag("parallel_tool_calls")
    if legacy and not _LEGACY.isdisjoint(members):
        if functions := tuple(tool for item in fields.objects("functions") if (tool := _read_legacy(item))):
            tools, parallel = tools + functions, False
        choice = choice or _read_function_choice(fields)
    newer = fields.integer("max_completion_tokens", 1)
    older = fields.integer("max_tokens", 1)
    given = {name: read(fields) for name, read in _READERS.items() if name in members}
    known = _known(beside, legacy)
    return Options(
        max_tokens=older if newer is None else newer,
        tools=tools,
        tool_choice=choice,
        parallel_tool_calls=parallel,
        effort_at=fields.at("reasoning_effort"),
        extra={} if known.issuperset(members) else fields.rest(known),
        **given,
    )


@cache
def _known(beside: tuple[str, ...], legacy: bool) -> frozenset[str]:  # noqa: FBT001
    return _KNOWN.union(beside, _LEGACY if legacy else ())


def _read_logit_bias(fields: Fields) -> dict[str, float] | None:
    bias = fields.inner("logit_bias")
    if bias is None:
        return None
    read = {token: bias.number(token, -100, 100) for token in bias.members}
    return {token: value for token, value in read.items() if value is not None}


# In the order in which complaints are made.
_READERS: dict[str, Callable[[Fields], Any]] = {
    "temperature": lambda fields: fields.number("temperature", 0, 2),
    "top_p": lambda fields: fields.number("top_p", 0, 1),
    "stop": lambda fields: fields.texts("stop"),
    "seed": lambda fields: fields.integer("seed"),
    "n": lambda fields: fields.integer("n", 1, MAX_ANSWERS),
    "frequency_penalty": lambda fields: fields.number("frequency_penalty", -2, 2),
    "presence_penalty": lambda fields: fields.number("presence_penalty", -2, 2),
    "logit_bias": _read_logit_bias,
    "logprobs": lambda fields: fields.flag("logprobs"),
    "top_logprobs": lambda fields: fields.integer("top_logprobs", 0, 20),
    "user": lambda fields: fields.text("user"),
    "response_format": lambda fields: read_response_format(fields, "response_format"),
    "reasoning_effort": lambda fields: fields.text("reasoning_effort", empty=False),
}


def read_tools(fields: Fields, *, custom: bool = False) -> tuple[Tool, ...]:
    """Read `tools`: OpenAI's functions, flat functions as in Responses, and Anthropic's, told apart by shape.

    With `custom` those that take free text are read as functions, and those of a group one by one. A tool that only
    its vendor's models know is left out, with a warning.
    """
    tools: list[Tool] = []
    for item in fields.objects("tools"):
        if custom and item.get("type") == "namespace":
            tools += _read_group(item)
        elif (tool := _read_tool(item, custom=custom)) is not None:
            tools.append(tool)
    return tuple(tools)


def _read_group(fields: Fields) -> list[Tool]:
    """Read the tools of a group; what is said of the group is said of each of them."""
    fields.lose_rest(_GROUP)
    name, description = fields.text("name", required=True, empty=False), fields.text("description")
    tools = [_read_tool(item, custom=True) for item in fields.objects("tools")]
    return [
        msgspec.structs.replace(
            tool,
            name=flat_name(name, tool.name),
            description="\n\n".join(filter(None, (tool.description, description))) or None,
        )
        for tool in tools
        if tool is not None and name is not None
    ]


def _read_tool(fields: Fields, *, custom: bool) -> Tool | None:
    kind = fields.text("type")
    if kind not in (None, "function"):
        if custom and is_custom(fields):
            return read_custom(fields)
        if kind.startswith(_VENDORS_TOOLS):
            fields.lose("", f"{kind[:MAX_NAME]} is known to its vendor's own models only, left out.")
            return None
        if kind != "custom" or not fields.has("input_schema"):
            fields.complain("type", f"only tools of type function can be used here, not {kind}")
            return None
    if not fields.has("function"):
        fields.lose_rest(_FLAT)
        return _read_function(fields)
    fields.lose_rest(_TOOL)
    function = fields.inner("function")
    if function is None:
        return None
    function.lose_rest(_FUNCTION)
    return _read_function(function, fields.mapping("cache_control"))


def _read_function(fields: Fields, mark: dict[str, Any] | None = None) -> Tool | None:
    name = fields.text("name", required=True, empty=False)
    schema = fields.mapping("input_schema" if fields.has("input_schema") else "parameters")
    description, strict = fields.text("description"), fields.flag("strict")
    if name is None:
        return None
    mark = mark or fields.mapping("cache_control")
    return Tool(name=name, description=description, parameters=schema or {}, strict=strict, cache_control=mark)


def _read_legacy(fields: Fields) -> Tool | None:
    fields.lose_rest(_FUNCTION)
    return _read_function(fields)


def read_tool_choice(fields: Fields, tools: Collection[Tool]) -> ToolChoice | None:
    """Read `tool_choice`: a word, or an object that names one of `tools`; Anthropic's and Mistral's words are taken.

    What asks for a tool that has been left out is complained of.
    """
    choice = _read_tool_choice(fields)
    asks = choice is not None and choice.mode in ("required", "function")
    if asks and not fields.complaints and len(tools) < len(fields.items("tools")):
        names = {tool.name for tool in tools}
        if not names or (choice is not None and choice.mode == "function" and choice.name not in names):
            fields.complain("tool_choice", "asks for a tool that is known to its vendor's own models only")
    return choice


def _read_tool_choice(fields: Fields) -> ToolChoice | None:
    value = fields.get("tool_choice")
    if value is None:
        return None
    word = value.get("type") if isinstance(value, dict) else value
    if word == "any":
        word = "required"
    if word in ("auto", "none", "required"):
        return ToolChoice(mode=cast(Literal["auto", "none", "required"], word))
    if isinstance(value, dict) and word in ("function", "tool", "custom"):
        choice = Fields(value, fields.at("tool_choice"), fields.complaints)
        inner = next((name for name in ("function", "custom") if choice.has(name)), None)
        named = choice.inner(inner) if inner else choice
        name = named.text("name", required=True, empty=False) if named is not None else None
        return ToolChoice(mode="function", name=name) if name is not None else None
    fields.complain("tool_choice", "must be auto, none, required, or an object that names a function")
    return None


def _read_function_choice(fields: Fields) -> ToolChoice | None:
    value = fields.get("function_call")
    if value is None or value in ("auto", "none"):
        return ToolChoice(mode=value) if value else None
    named = fields.inner("function_call")
    name = named.text("name", required=True, empty=False) if named is not None else None
    return ToolChoice(mode="function", name=name) if name is not None else None


def read_response_format(fields: Fields, name: str) -> ResponseFormat | None:
    """Read the form of the answer: `json_schema` nested as in chat completions, or flat as in Responses."""
    form = fields.inner(name)
    if form is None:
        return None
    kind = form.choice("type", ("text", "json_object", "json_schema"), required=True)
    if kind is None:
        return None
    if form.has("json_schema") or kind != "json_schema":
        form.lose_rest(_FORM)
    if kind != "json_schema":
        return ResponseFormat(kind=cast(Literal["text", "json_object"], kind))
    inner = form.inner("json_schema") if form.has("json_schema") else form
    if inner is None:
        return None
    inner.lose_rest(_SCHEMA)
    schema = inner.get("schema")
    if schema is None:
        inner.complain("schema", "is required")
    elif not isinstance(schema, dict):
        inner.complain("schema", f"must be an object, not {kind_of(schema)}")
        schema = None
    elif description := inner.text("description"):
        # Not every provider has a place for it beside the schema, and every model reads what stands in one.
        schema = {"description": description, **schema}
    return ResponseFormat(kind="json_schema", schema=schema, name=inner.text("name"), strict=inner.flag("strict"))
