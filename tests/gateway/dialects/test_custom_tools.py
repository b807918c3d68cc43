"""Tools that take free text, and tools that only their vendor's models know, on the way to other providers."""

import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects import anthropic, openai_chat, openai_responses, unified
from gateway.dialects.base import Head
from gateway.dialects.custom_tools import InputReader, read_input, write_arguments
from gateway.dialects.tool_names import flat_name
from gateway.errors import InvalidRequest
from gateway.messages.chat import Finished, Message, TextPart, ToolCall, ToolCallDelta, ToolChoice
from tests.gateway.serving import GATEWAY_KEY, Town, town
from tests.grammar import check_openai_chat, check_openai_responses

pytestmark = pytest.mark.anyio

HEAD = Head(id="0123", created=1_700_000_000, model="m", provider="p")
GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"}
PATCH = {"type": "custom", "name": "apply_patch", "description": "Applies a patch", "format": GRAMMAR}
NESTED = {"syntax": "regex", "definition": ".+"}
CHAT_PATCH = {"name": "apply_patch", "format": {"type": "grammar", "grammar": NESTED}}
SEARCH = {"type": "web_search", "external_web_access": False}
FUNCTION = {"type": "function", "name": "f", "parameters": {"type": "object"}}
USER = {"role": "user", "content": "hi"}
TEXT = '*** Begin Patch\n"Zażółć" \\ 🦆\t\u2028'


def respond(**members: Any) -> openai_responses.ParsedResponse:
    return openai_responses.parse(json.dumps({"model": "m", "input": "hi", **members}).encode())


def chat(**members: Any) -> openai_chat.ParsedChat:
    return openai_chat.parse(json.dumps({"model": "m", "messages": [USER], **members}).encode())


def test_a_tool_that_takes_text_is_a_function_with_one_text_and_its_grammar_is_told() -> None:
    parsed = respond(tools=[PATCH, FUNCTION], tool_choice={"type": "custom", "name": "apply_patch"})
    tool, function = parsed.chat.options.tools
    assert tool.name == "apply_patch"
    assert tool.parameters["required"] == ["input"]
    assert "Applies a patch" in (tool.description or "")
    assert "start: /.+/" in (tool.description or "")
    assert function.name == "f"
    assert parsed.chat.options.tool_choice == ToolChoice(mode="function", name="apply_patch")
    assert [warning.partition(":")[0] for warning in parsed.warnings] == ["tools[0].format"]
    assert PATCH in parsed.echo["tools"]


def test_without_a_grammar_there_is_nothing_to_warn_of() -> None:
    assert respond(tools=[{"type": "custom", "name": "t", "format": {"type": "text"}}]).warnings == ()
    assert respond(tools=[{"type": "custom", "name": "t"}]).warnings == ()


def test_chats_nest_what_responses_write_flat() -> None:
    parsed = chat(tools=[{"type": "custom", "custom": CHAT_PATCH}])
    assert ".+" in (parsed.chat.options.tools[0].description or "")
    assert parsed.custom == {"apply_patch"}
    assert [warning.partition(":")[0] for warning in parsed.warnings] == ["tools[0].custom.format"]


@pytest.mark.parametrize(
    ("tool", "field"),
    [
        ({"type": "custom"}, r"tools\[0\].name"),
        ({"type": "custom", "name": "t", "format": {"type": "zzz"}}, r"tools\[0\].format.type"),
        ({"type": "custom", "name": "t", "format": {"type": "grammar"}}, r"tools\[0\].format.syntax"),
    ],
)
def test_a_tool_that_says_too_little_is_refused(tool: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest, match=field):
        respond(tools=[tool])


def test_tools_that_take_text_have_no_place_where_there_is_no_form_for_their_calls() -> None:
    options = {"tools": [{"type": "custom", "custom": CHAT_PATCH}]}
    body = {"type": "chat", "model": "m", "messages": [USER], "options": options}
    with pytest.raises(InvalidRequest, match=r"options.tools\[0\].type"):
        unified.parse(json.dumps(body).encode())


def test_calls_and_their_results_are_read_back() -> None:
    items = [
        {"type": "custom_tool_call", "id": "ctc", "call_id": "1", "name": "apply_patch", "input": TEXT},
        {"type": "custom_tool_call_output", "call_id": "1", "output": "done"},
    ]
    read = (
        Message(role="assistant", tool_calls=(ToolCall(id="1", name="apply_patch", arguments=write_arguments(TEXT)),)),
        Message(role="tool", tool_call_id="1", content=(TextPart(text="done"),)),
    )
    assert respond(input=items).chat.messages == read
    call = {"id": "1", "type": "custom", "custom": {"name": "apply_patch", "input": TEXT}}
    messages = [{"role": "assistant", "content": None, "tool_calls": [call]}]
    messages.append({"role": "tool", "tool_call_id": "1", "content": "done"})
    assert chat(messages=messages).chat.messages == read


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ('{"input": "a"}', "a"),
        (' {\n "input" : "a\\n\\u00e9"}', "a\né"),
        ('{"other": 1, "input": "a"}', "a"),
        ('{"patch": "a"}', "a"),
        ('"a"', "a"),
        ("a", "a"),
        ('{"a": 1, "b": 2}', '{"a": 1, "b": 2}'),
        ('{"input": 3}', '{"input": 3}'),
        ("{}", ""),
        ("", ""),
        ('{"input": "cut of', "cut of"),
        ('{"input": "cut of\\', "cut of"),
        ('{"input": "cut of\\ud83e', "cut of"),
        ('{"input": "\\ud83e\\udd86"}', "🦆"),
    ],
)
def test_whatever_a_model_writes_its_text_is_found(arguments: str, text: str) -> None:
    assert read_input(arguments) == text


@given(text=st.text(), cuts=st.lists(st.integers(1, 7)), ascii_only=st.booleans())
def test_the_text_is_the_same_wherever_the_arguments_are_cut(text: str, cuts: list[int], ascii_only: bool) -> None:
    arguments, reader, told = json.dumps({"input": text}, ensure_ascii=ascii_only), InputReader(), ""
    for cut in cuts:
        told += reader.feed(arguments[:cut])
        arguments = arguments[cut:]
    told += reader.feed(arguments)
    told += reader.finish()
    assert told == reader.text == text


@given(text=st.text(), cuts=st.lists(st.integers(1, 7)), as_input=st.booleans())
def test_a_streamed_call_is_well_formed_and_whole(text: str, cuts: list[int], as_input: bool) -> None:
    arguments = write_arguments(text) if as_input else json.dumps({"text": text})
    events: list[Any] = [ToolCallDelta(call=0, id="1", name="apply_patch")]
    for cut in cuts:
        events.append(ToolCallDelta(call=0, arguments=arguments[:cut]))
        arguments = arguments[cut:]
    events += [ToolCallDelta(call=0, arguments=arguments), ToolCallDelta(call=1, id="2", name="f", arguments="{}")]
    events.append(Finished(finish_reason="tool_calls"))

    encoder: Any = openai_responses.events(respond(stream=True, tools=[PATCH, FUNCTION]), HEAD)
    stream = b"".join([frame for event in events for frame in encoder.encode(event)] + encoder.finish())
    assert check_openai_responses(stream) == []
    first, second = json.loads(stream.rpartition(b"data: ")[2])["response"]["output"]
    assert (first["type"], first["call_id"], first["input"]) == ("custom_tool_call", "1", text)
    assert second["type"] == "function_call"

    encoder = openai_chat.events(chat(stream=True, tools=[{"type": "custom", "custom": CHAT_PATCH}, FUNCTION]), HEAD)
    stream = b"".join([frame for event in events for frame in encoder.encode(event)] + encoder.finish())
    assert check_openai_chat(stream) == []
    chunks = [json.loads(line[6:]) for line in stream.splitlines() if line.startswith(b'data: {"')]
    deltas = [call for chunk in chunks for call in chunk["choices"][0]["delta"].get("tool_calls", ())]
    assert "".join(call["custom"]["input"] for call in deltas if call["index"] == 0) == text
    assert [call["function"]["name"] for call in deltas if call["index"] == 1] == ["f"]


@pytest.mark.parametrize(
    "kind",
    ["web_search", "web_search_preview_2025_03_11", "file_search", "code_interpreter", "mcp", "local_shell",
     "image_generation", "tool_search", "web_search_20250305", "bash_20250124", "mcp_toolset",
     "computer_use_preview"],
)  # fmt: skip
def test_a_tool_that_only_its_vendors_models_know_is_left_out_by_name(kind: str) -> None:
    parsed = respond(tools=[FUNCTION, {"type": kind, "name": "x"}], tool_choice="auto")
    assert [tool.name for tool in parsed.chat.options.tools] == ["f"]
    assert parsed.warnings == (f"tools[1]: {kind} is known to its vendor's own models only, left out.",)
    alone = respond(tools=[{"type": kind, "name": "x"}])
    assert (alone.chat.options.tools, len(alone.warnings)) == ((), 1)
    assert respond(tools=[FUNCTION, {"type": kind}], tool_choice="required").chat.options.tools


@pytest.mark.parametrize(
    ("dialect", "tools", "choice"),
    [
        (openai_responses, [SEARCH], "required"),
        (openai_responses, [FUNCTION, SEARCH], {"type": "web_search"}),
        (openai_chat, [SEARCH], "required"),
        (anthropic, [{"type": "web_search_20250305", "name": "web_search"}], {"type": "any"}),
        (
            anthropic,
            [{"type": "web_search_20250305", "name": "web_search"}, {"name": "f", "input_schema": {}}],
            {"type": "tool", "name": "web_search"},
        ),
    ],
)
def test_a_call_of_such_a_tool_cannot_be_demanded(dialect: Any, tools: list[Any], choice: Any) -> None:
    body = {"model": "m", "max_tokens": 9, "tools": tools, "tool_choice": choice}
    body |= {"input": "hi"} if dialect is openai_responses else {"messages": [USER]}
    with pytest.raises(InvalidRequest, match="tool_choice"):
        dialect.parse(json.dumps(body).encode())


REPL = {
    "type": "namespace",
    "name": "mcp__node_repl__",
    "description": "A REPL",
    "tools": [
        {"type": "function", "name": "js", "description": "Runs", "parameters": {"type": "object"}, "strict": False},
        {"type": "custom", "name": "raw"},
    ],
}


def test_the_tools_of_a_group_are_functions_whose_names_begin_with_its_name() -> None:
    parsed = respond(tools=[FUNCTION, REPL])
    tools = parsed.chat.options.tools
    assert [tool.name for tool in tools] == ["f", "mcp__node_repl__js", "mcp__node_repl__raw"]
    assert tools[1].description == "Runs\n\nA REPL"
    assert parsed.warnings == ()
    assert [tool["type"] for tool in parsed.echo["tools"]] == ["function", "namespace"]
    items = [
        {"type": "function_call", "call_id": "1", "namespace": "mcp__node_repl__", "name": "js", "arguments": "{}"}
    ]
    assert respond(input=items).chat.messages[0].tool_calls == (ToolCall(id="1", name="mcp__node_repl__js"),)


def test_a_name_that_would_be_too_long_for_some_provider_is_cut_and_still_found() -> None:
    names = [flat_name("mcp__" + "x" * 50, f"{'y' * 20}{place}") for place in range(3)]
    assert len(set(names)) == 3
    assert max(map(len, names)) == 64
    assert flat_name("mcp__a__", "b") == flat_name("mcp__a", "b") == "mcp__a__b"


@pytest.mark.parametrize("place", [0, 1], ids=["function", "free text"])
def test_a_call_of_a_grouped_tool_names_group_and_tool(place: int) -> None:
    """openai/codex#26234, #33263: Codex finds the tool of an MCP server only by `namespace` and `name`."""
    tool = REPL["tools"][place]  # type: ignore[index]  # a dictionary of this file
    arguments = write_arguments("1+1") if place else '{"code": "1+1"}'
    events: list[Any] = [
        ToolCallDelta(call=0, id="1", name=f"mcp__node_repl__{tool['name']}", arguments=arguments),
        Finished(finish_reason="tool_calls"),
    ]
    encoder: Any = openai_responses.events(respond(stream=True, tools=[REPL]), HEAD)
    frames = [frame for event in events for frame in encoder.encode(event)] + encoder.finish()
    assert check_openai_responses(b"".join(frames)) == []
    (item,) = json.loads(frames[-1].partition(b"data: ")[2])["response"]["output"]
    assert (item["namespace"], item["name"]) == ("mcp__node_repl__", tool["name"])
    assert item["type"] == ("custom_tool_call" if place else "function_call")
    told = [json.loads(frame.partition(b"data: ")[2]) for frame in frames]
    assert all(event.get("name", tool["name"]) == tool["name"] for event in told)


MODELS = [
    "openai:gpt-4o-mini",
    "anthropic:claude-sonnet-4-5",
    "gemini:gemini-3-pro",
    "ollama:llama3:8b",
    "lmstudio:qwen2.5-7b-instruct",
    "compat:some-model",
    "stub:stub-tools",
]
TRANSLATED = ("anthropic", "gemini", "ollama")


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def place(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    async with town(tmp_path_factory.mktemp("custom"), "--key", GATEWAY_KEY) as served:
        served.client.headers["authorization"] = f"Bearer {GATEWAY_KEY}"
        yield served


@pytest.fixture(scope="module")
async def sdk(place: Town) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{place.url}/v1", api_key=GATEWAY_KEY, max_retries=0) as client:
        yield client


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_what_codex_sends_works_with_every_provider(sdk: openai.AsyncOpenAI, model: str, streamed: bool) -> None:
    asked: list[Any] = [{"role": "user", "content": "Patch it"}]
    told: dict[str, Any] = {"model": model, "tools": [PATCH, FUNCTION, SEARCH], "tool_choice": "auto", "store": False}
    seen: list[str] = []
    if streamed:
        async with sdk.responses.stream(input=asked, **told) as stream:
            seen = [event.type async for event in stream]
            whole: Any = await stream.get_final_response()
        assert seen.count("response.custom_tool_call_input.done") == 1
        assert "response.custom_tool_call_input.delta" in seen
    else:
        whole = await sdk.responses.create(input=asked, **told)
    (call,) = [item for item in whole.output if item.type == "custom_tool_call"]
    assert (call.name, bool(call.call_id)) == ("apply_patch", True)
    assert call.input
    assert "{" not in call.input
    handed_back = [item.model_dump(exclude_none=True) for item in whole.output]
    result = {"type": "custom_tool_call_output", "call_id": call.call_id, "output": "Done patching"}
    end = await sdk.responses.create(input=[*asked, *handed_back, result], **told)
    assert "Done patching" in end.output_text
    assert [warning.partition(":")[0] for warning in (end.model_extra or {})["warnings"]][:2] == [
        "tools[0].format",
        "tools[2]",
    ]


@pytest.mark.parametrize("model", MODELS)
async def test_the_tool_of_an_mcp_server_can_be_called_and_answered(sdk: openai.AsyncOpenAI, model: str) -> None:
    asked: list[Any] = [{"role": "user", "content": "Count"}]
    told: dict[str, Any] = {"model": model, "tools": [REPL], "store": False}
    async with sdk.responses.stream(input=asked, **told) as stream:
        whole: Any = await stream.get_final_response()
    (call,) = [item for item in whole.output if item.type == "function_call"]
    assert (call.namespace, call.name) == ("mcp__node_repl__", "js")
    handed_back = [item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in whole.output]
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "two"}
    end = await sdk.responses.create(input=[*asked, *handed_back, result], **told)
    assert "two" in end.output_text


@pytest.mark.parametrize("model", [model for model in MODELS if model.startswith(TRANSLATED)])
async def test_a_chat_with_a_tool_that_takes_text_works_with_every_other_provider(
    sdk: openai.AsyncOpenAI, model: str
) -> None:
    asked: list[Any] = [{"role": "user", "content": "Patch it"}]
    told: dict[str, Any] = {"model": model, "tools": [{"type": "custom", "custom": CHAT_PATCH}]}
    whole = await sdk.chat.completions.create(messages=asked, **told)
    message = whole.choices[0].message
    assert message.tool_calls is not None
    (call,) = message.tool_calls
    assert call.type == "custom"
    assert (call.custom.name, bool(call.custom.input)) == ("apply_patch", True)
    result = {"role": "tool", "tool_call_id": call.id, "content": "Done patching"}
    end = await sdk.chat.completions.create(
        messages=[*asked, message.model_dump(exclude_none=True), result],  # type: ignore[list-item]  # as users do
        **told,
    )
    assert "Done patching" in (end.choices[0].message.content or "")


@pytest.mark.parametrize("model", MODELS)
async def test_the_streams_of_such_calls_keep_to_the_grammar(place: Town, model: str) -> None:
    body = {"model": model, "input": "Patch it", "tools": [PATCH], "stream": True}
    answer = await place.client.post("/v1/responses", json=body)
    assert check_openai_responses(answer.content) == []
    assert b'"custom_tool_call"' in answer.content
    if model.startswith(TRANSLATED):
        body = {"model": model, "messages": [USER], "tools": [{"type": "custom", "custom": CHAT_PATCH}], "stream": True}
        answer = await place.client.post("/v1/chat/completions", json=body)
        assert check_openai_chat(answer.content) == []
        assert b'"type":"custom"' in answer.content
