"""Generation options under OpenAI's names, read for chat completions, legacy completions and `/llm`.

Names and ranges: OpenAI API reference, "Create chat completion". What has no place in `Options` goes to `extra`,
so that a provider takes it or names it in its warnings.
"""

from collections.abc import Collection
from typing import Any, Literal, cast

from gateway.dialects.reading import Fields, kind_of
from gateway.messages.chat import Options, ResponseFormat, Tool, ToolChoice

MAX_ANSWERS = 128

_KNOWN = frozenset(Options.__struct_fields__) - {"extra"} | {"max_completion_tokens"}
_LEGACY = frozenset({"functions", "function_call"})


def read_options(fields: Fields, beside: Collection[str] = (), *, legacy: bool = False) -> Options:
    """Read options from the members of `fields`, except those named `beside`; `legacy` takes `functions` too."""
    tools = read_tools(fields)
    choice = read_tool_choice(fields)
    parallel = fields.flag("parallel_tool_calls")
    known = {*_KNOWN, *beside}
    if legacy:
        known |= _LEGACY
        if functions := tuple(tool for item in fields.objects("functions") if (tool := _read_function(item))):
            tools, parallel = tools + functions, False
        choice = choice or _read_function_choice(fields)
    newer = fields.integer("max_completion_tokens", 1)
    older = fields.integer("max_tokens", 1)
    return Options(
        temperature=fields.number("temperature", 0, 2),
        top_p=fields.number("top_p", 0, 1),
        max_tokens=older if newer is None else newer,
        stop=fields.texts("stop"),
        seed=fields.integer("seed"),
        n=fields.integer("n", 1, MAX_ANSWERS),
        frequency_penalty=fields.number("frequency_penalty", -2, 2),
        presence_penalty=fields.number("presence_penalty", -2, 2),
        logit_bias=_read_logit_bias(fields),
        logprobs=fields.flag("logprobs"),
        top_logprobs=fields.integer("top_logprobs", 0, 20),
        user=fields.text("user"),
        tools=tools,
        tool_choice=choice,
        parallel_tool_calls=parallel,
        response_format=read_response_format(fields, "response_format"),
        reasoning_effort=fields.text("reasoning_effort", empty=False),
        extra=fields.rest(known),
    )


def _read_logit_bias(fields: Fields) -> dict[str, float] | None:
    bias = fields.inner("logit_bias")
    if bias is None:
        return None
    read = {token: bias.number(token, -100, 100) for token in bias.members}
    return {token: value for token, value in read.items() if value is not None}


def read_tools(fields: Fields) -> tuple[Tool, ...]:
    """Read `tools`: OpenAI's functions, flat functions as in Responses, and Anthropic's, told apart by shape."""
    return tuple(tool for item in fields.objects("tools") if (tool := _read_tool(item)) is not None)


def _read_tool(fields: Fields) -> Tool | None:
    kind = fields.text("type")
    if kind not in (None, "function") and not (kind == "custom" and fields.has("input_schema")):
        fields.complain("type", f"only tools of type function can be used here, not {kind}")
        return None
    function = fields.inner("function") if fields.has("function") else fields
    return _read_function(function, fields.mapping("cache_control")) if function is not None else None


def _read_function(fields: Fields, mark: dict[str, Any] | None = None) -> Tool | None:
    name = fields.text("name", required=True, empty=False)
    schema = fields.mapping("input_schema" if fields.has("input_schema") else "parameters")
    description, strict = fields.text("description"), fields.flag("strict")
    if name is None:
        return None
    mark = mark or fields.mapping("cache_control")
    return Tool(name=name, description=description, parameters=schema or {}, strict=strict, cache_control=mark)


def read_tool_choice(fields: Fields) -> ToolChoice | None:
    """Read `tool_choice`: a word, or an object that names a function; Anthropic's and Mistral's words are taken."""
    value = fields.get("tool_choice")
    if value is None:
        return None
    word = value.get("type") if isinstance(value, dict) else value
    if word == "any":
        word = "required"
    if word in ("auto", "none", "required"):
        return ToolChoice(mode=cast(Literal["auto", "none", "required"], word))
    if isinstance(value, dict) and word in ("function", "tool"):
        choice = Fields(value, fields.at("tool_choice"), fields.complaints)
        named = choice.inner("function") if choice.has("function") else choice
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
    if kind != "json_schema":
        return ResponseFormat(kind=cast(Literal["text", "json_object"], kind))
    inner = form.inner("json_schema") if form.has("json_schema") else form
    if inner is None:
        return None
    schema = inner.get("schema")
    if schema is None:
        inner.complain("schema", "is required")
    elif not isinstance(schema, dict):
        inner.complain("schema", f"must be an object, not {kind_of(schema)}")
        schema = None
    return ResponseFormat(kind="json_schema", schema=schema, name=inner.text("name"), strict=inner.flag("strict"))
