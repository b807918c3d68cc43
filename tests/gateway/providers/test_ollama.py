"""Ollama's own API: what is sent, and what its answers mean."""

import json
from typing import Any

import pytest

from gateway.errors import ModelNotFound, ProviderError, Unsupported, UnusableAnswer
from gateway.messages.chat import (
    ChatRequest,
    Finished,
    ImagePart,
    Message,
    Options,
    ReasoningPart,
    ResponseFormat,
    Started,
    TextDelta,
    TextPart,
    Tool,
    ToolCall,
    ToolChoice,
    Usage,
    UsageReport,
)
from gateway.messages.embeddings import EmbeddingsRequest
from gateway.providers.base import UpstreamRequest
from gateway.providers.ollama import VENDOR
from tests.gateway.providers.exchange import WEATHER, decode, heard, line, user

pytestmark = pytest.mark.anyio


def request_of(*messages: Message, stream: bool = False, **options: Any) -> UpstreamRequest:
    chat = ChatRequest(model="llama3:8b", messages=messages, options=Options(**options), stream=stream)
    return VENDOR.chat_request(chat)


def body_of(*messages: Message, **options: Any) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(request_of(*messages, **options).body)
    return body


def written(**fields: Any) -> bytes:
    return json.dumps({"model": "m", "created_at": "2024-05-01T12:00:00Z", **fields}).encode() + b"\n"


def test_a_conversation_is_written_in_full():
    call = ToolCall(id="call_1", name="weather", arguments='{"city":"Łódź"}')
    request = request_of(
        Message(role="developer", content=(TextPart(text="be brief"),)),
        user("look", ImagePart(data="QUJD", media_type="image/jpeg")),
        Message(role="assistant", content=(ReasoningPart(text="hm"),), tool_calls=(call,)),
        Message(role="tool", tool_call_id="call_1", content=(TextPart(text="rain"), TextPart(text="wind"))),
        stream=True,
        temperature=0.5,
        top_p=0.9,
        max_tokens=10,
        stop=("a",),
        seed=1,
        n=1,
        frequency_penalty=0.1,
        presence_penalty=0.2,
        tools=(WEATHER,),
        parallel_tool_calls=True,
        response_format=ResponseFormat(kind="json_schema", schema={"type": "object"}, name="x"),
        extra={"num_ctx": 8192, "keep_alive": "35m", "top_k": 3, "repetition_penalty": 1.1, "options": {"min_p": 0.1}},
    )
    assert request.path == "/api/chat"
    assert request.warnings == ()
    assert json.loads(request.body) == {
        "model": "llama3:8b",
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "look", "images": ["QUJD"]},
            {
                "role": "assistant",
                "content": "",
                "thinking": "hm",
                "tool_calls": [{"id": "call_1", "function": {"name": "weather", "arguments": {"city": "Łódź"}}}],
            },
            {"role": "tool", "content": "rain\nwind", "tool_name": "weather", "tool_call_id": "call_1"},
        ],
        "stream": True,
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "weather",
                    "description": "Tells the weather",
                    "parameters": WEATHER.parameters,
                },
            }
        ],
        "options": {
            "min_p": 0.1,
            "num_ctx": 8192,
            "top_k": 3,
            "repeat_penalty": 1.1,
            "temperature": 0.5,
            "top_p": 0.9,
            "seed": 1,
            "frequency_penalty": 0.1,
            "presence_penalty": 0.2,
            "num_predict": 10,
            "stop": ["a"],
        },
        "keep_alive": "35m",
        "format": {"type": "object"},
    }


def test_what_was_not_given_is_not_sent():
    assert body_of(user("hi")) == {
        "model": "llama3:8b",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": False,
    }


def test_an_image_address_is_refused_naming_the_message():
    with pytest.raises(Unsupported) as raised:
        request_of(user("hi"), user("look", ImagePart(url="https://example.com/x.png")))
    assert raised.value.details[0].field == "messages[1].content"


def test_a_result_finds_the_name_of_the_latest_call_of_its_id():
    def called(name: str) -> Message:
        return Message(role="assistant", tool_calls=(ToolCall(id="call_0", name=name),))

    answer = Message(role="tool", tool_call_id="call_0", content=(TextPart(text="x"),))
    messages = body_of(called("f"), answer, called("g"), answer)["messages"]
    assert [message.get("tool_name") for message in messages] == [None, "f", None, "g"]


@pytest.mark.parametrize(
    ("options", "think"),
    [
        ({"reasoning_effort": "low"}, "low"),
        ({"reasoning_effort": "minimal"}, "low"),
        ({"reasoning_effort": "xhigh"}, "high"),
        ({"reasoning_effort": "none"}, False),
        ({"extra": {"think": True}}, True),
        ({"extra": {"think": "medium"}}, "medium"),
        ({"extra": {"think": False}}, False),
        ({"extra": {"thinking": {"type": "enabled", "budget_tokens": 2048}}}, True),
        ({"extra": {"thinking": {"type": "disabled"}}}, False),
    ],
)
def test_a_wish_to_think_is_understood_in_everybodys_words(options: dict[str, Any], think: bool | str):
    assert body_of(user("hi"), **options)["think"] == think


def test_json_is_asked_for():
    assert body_of(user("hi"), response_format=ResponseFormat(kind="json_object"))["format"] == "json"
    assert "format" not in body_of(user("hi"), response_format=ResponseFormat(kind="text"))


def test_tool_choice_is_followed_as_far_as_ollama_can():
    tools = (Tool(name="clock"), WEATHER)
    assert "tools" not in body_of(user("hi"), tools=tools, tool_choice=ToolChoice(mode="none"))
    request = request_of(user("hi"), tools=tools, tool_choice=ToolChoice(mode="function", name="weather"))
    assert [tool["function"]["name"] for tool in json.loads(request.body)["tools"]] == ["weather"]
    assert "tool_choice" in request.warnings[0]
    assert request_of(user("hi"), tools=tools, tool_choice=ToolChoice(mode="auto")).warnings == ()


def test_what_ollama_does_not_know_is_named():
    marked = Message(role="user", name="Eve", content=(TextPart(text="x", cache_control={"type": "ephemeral"}),))
    request = request_of(marked, logit_bias={"1": 2}, user="u", parallel_tool_calls=False, extra={"service_tier": "x"})
    assert {warning.split(":")[0] for warning in request.warnings} == {
        "logit_bias",
        "user",
        "parallel_tool_calls",
        "service_tier",
        "cache_control",
        "name of a message",
    }


def test_arguments_that_are_no_object_are_not_lost():
    call = ToolCall(id="a", name="f", arguments="[1]")
    message = body_of(Message(role="assistant", tool_calls=(call,)))["messages"][0]
    assert message["tool_calls"][0]["function"]["arguments"] == {"arguments": [1]}


async def test_thinking_is_heard_and_handed_back():
    async with line("ollama") as to:
        asked = heard(await to.listen(user("hi"), reasoning_effort="high"))
        assert asked.thought == "Let me think."
        await to.ask(user("hi"), asked.message, user("more"))
        assert to.fake.last.body["messages"][1]["thinking"] == "Let me think."


def test_a_stream_gives_its_events_in_order():
    pieces = [
        written(message={"role": "assistant", "content": "he"}, done=False),
        b"not json\n\n",
        written(message={"role": "assistant", "content": "llo"}, done=False),
        written(message={"content": ""}, done=True, done_reason="length", prompt_eval_count=1, eval_count=2),
        written(message={"content": "late"}, done=False),
    ]
    assert decode(VENDOR, pieces) == [
        Started(model="m", created=1714564800),
        TextDelta(text="he"),
        TextDelta(text="llo"),
        Finished(finish_reason="length"),
        UsageReport(usage=Usage(prompt_tokens=1, completion_tokens=2)),
    ]


def test_an_error_line_in_mid_stream_is_an_error():
    with pytest.raises(ProviderError, match="runner"):
        decode(VENDOR, [written(message={"content": "x"}), b'{"error": "llama runner process has terminated"}\n'])


def test_calls_get_ids_and_the_answer_ends_with_them():
    calls = [{"function": {"name": "f", "arguments": {"a": 1}}}, {"function": {"name": "f", "arguments": {}}}]
    answer = {"message": {"role": "assistant", "content": "", "tool_calls": calls}, "done": True, "done_reason": "stop"}
    (choice,) = VENDOR.chat_reply(written(**answer)).choices
    first, second = choice.message.tool_calls
    assert first.id.startswith("call_0_")
    assert second.id.startswith("call_1_")
    assert (first.arguments, second.arguments) == ('{"a":1}', "{}")
    assert choice.finish_reason == "tool_calls"
    assert heard(decode(VENDOR, [written(**answer)])).calls == [first, second]


def test_an_empty_answer_with_an_end_is_an_answer_and_one_without_is_not():
    answer = {"message": {"role": "assistant", "content": ""}}
    (choice,) = VENDOR.chat_reply(written(**answer, done=True, done_reason="load")).choices
    assert (choice.message.text, choice.finish_reason) == ("", "stop")
    with pytest.raises(UnusableAnswer):
        VENDOR.chat_reply(written(**answer))


def test_log_probabilities_come_in_openais_form():
    entry = {"token": "hé", "logprob": -0.5, "top_logprobs": [{"token": "x", "logprob": -1.0}]}
    answer = written(message={"content": "hé"}, done=True, logprobs=[entry])
    (choice,) = VENDOR.chat_reply(answer).choices
    assert choice.logprobs == {
        "content": [
            {
                "token": "hé",
                "logprob": -0.5,
                "bytes": [104, 195, 169],
                "top_logprobs": [{"token": "x", "logprob": -1.0, "bytes": [120], "top_logprobs": []}],
            }
        ],
        "refusal": None,
    }


def test_an_unknown_model_is_told_from_other_errors():
    assert isinstance(VENDOR.explain_error(404, {}, b'{"error":"model \'x\' not found"}'), ModelNotFound)
    error = VENDOR.explain_error(400, {}, b'{"error":"registry.ollama.ai/library/x does not support tools"}')
    assert isinstance(error, ProviderError)
    assert "does not support tools" in error.message


def test_embeddings_take_what_ollama_knows():
    asked = EmbeddingsRequest(
        model="e", input=("a",), user="u", extra={"truncate": True, "num_ctx": 9, "encoding_format": "float", "x": 1}
    )
    request = VENDOR.embeddings_request(asked)
    assert json.loads(request.body) == {"model": "e", "input": ["a"], "truncate": True, "options": {"num_ctx": 9}}
    assert request.warnings == ("x: not known to ollama, left out", "user: not known to ollama, left out")
    with pytest.raises(Unsupported):
        VENDOR.embeddings_request(EmbeddingsRequest(model="e", input=((1, 2),)))


async def test_models_keep_what_ollama_tells_of_them():
    async with line("ollama") as to:
        models, _ = VENDOR.models_reply((await to.send(VENDOR.models_request())).content)
    assert models[0].created == 1714557600
    assert models[0].details["size"] == 4661224676
    assert models[0].details["details"]["family"] == "llama"
