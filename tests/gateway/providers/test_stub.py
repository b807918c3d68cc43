"""The stub answers everything that its docstring says, in OpenAI's form and without a socket."""

import json
import math
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from gateway.errors import ProviderError, UnusableAnswer
from gateway.messages.chat import (
    ChatReply,
    ChatRequest,
    ImagePart,
    Message,
    Options,
    ResponseFormat,
    StreamEvent,
    ToolChoice,
)
from gateway.providers import stub_answers
from gateway.providers.stub import VENDOR, StubTransport
from gateway.providers.stub_instances import instance_of
from tests.gateway.providers.exchange import PIXEL, WEATHER, heard, result_of, user

pytestmark = pytest.mark.anyio


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=StubTransport(), base_url="http://stub/v1") as client:
        yield client


def request_of(*messages: Message, model: str, stream: bool, **options: Any) -> Any:
    return VENDOR.chat_request(ChatRequest(model=model, messages=messages, options=Options(**options), stream=stream))


async def ask(client: httpx.AsyncClient, *messages: Message, model: str = "stub", **options: Any) -> ChatReply:
    request = request_of(*messages, model=model, stream=False, **options)
    answer = await client.post(request.path, content=request.body)
    if answer.status_code != 200:
        raise VENDOR.explain_error(answer.status_code, answer.headers, answer.content)
    return VENDOR.chat_reply(answer.content)


async def listen(
    client: httpx.AsyncClient, *messages: Message, model: str = "stub", **options: Any
) -> list[StreamEvent]:
    request = request_of(*messages, model=model, stream=True, **options)
    decoder = VENDOR.chat_events()
    events: list[StreamEvent] = []
    async with client.stream("POST", request.path, content=request.body) as answer:
        async for piece in answer.aiter_raw():
            events += decoder.feed(piece)
    return [*events, *decoder.finish()]


@pytest.mark.parametrize("model", ["stub", "gpt-4o", "anything/at:all"])
async def test_any_model_says_back_what_it_was_told(client: httpx.AsyncClient, model: str):
    reply = await ask(client, user("zażółć  gęślą"), model=model)
    assert reply.choices[0].message.text == 'This is the stub provider: you said "zażółć  gęślą"'
    assert reply.model == model
    assert reply.usage is not None
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (2, 9)
    whole = heard(await listen(client, user("zażółć  gęślą"), model=model))
    assert whole.text == reply.choices[0].message.text
    assert whole.usage == reply.usage


async def test_the_same_question_has_the_same_answer(client: httpx.AsyncClient):
    first, second = [await ask(client, user("hi")) for _ in range(2)]
    assert (first.id, first.choices) == (second.id, second.choices)


async def test_tools_are_called_when_asked_for_and_their_results_told(client: httpx.AsyncClient):
    plain = await ask(client, user("hi"), tools=(WEATHER,))
    assert plain.choices[0].message.tool_calls == ()
    required = ToolChoice(mode="required")
    for options in ({"model": "stub-tools"}, {"tool_choice": required}):
        asked = await ask(client, user("hi"), tools=(WEATHER,), **options)
        (call,) = asked.choices[0].message.tool_calls
        assert (call.name, json.loads(call.arguments)) == ("weather", {"city": "text"})
        assert heard(await listen(client, user("hi"), tools=(WEATHER,), **options)).calls == [call]
        told = await ask(
            client, user("hi"), asked.choices[0].message, result_of(call, "rain"), tools=(WEATHER,), **options
        )
        assert told.choices[0].message.text == "The tool answered: rain"
    forbidden = await ask(client, user("hi"), model="stub-tools", tools=(WEATHER,), tool_choice=ToolChoice(mode="none"))
    assert forbidden.choices[0].finish_reason == "stop"


async def test_options_are_followed(client: httpx.AsyncClient):
    assert len((await ask(client, user("hi"), n=3)).choices) == 3
    cut = (await ask(client, user("hi"), max_tokens=3)).choices[0]
    assert (cut.message.text, cut.finish_reason) == ("This is the", "length")
    assert (await ask(client, user("hi"), stop=("stub",))).choices[0].message.text == "This is the "
    seen = await ask(client, user("look", ImagePart(data=PIXEL, media_type="image/png")))
    assert seen.choices[0].message.text.endswith('you said "look" and showed 1 image')
    assert (await ask(client, user("hi"), reasoning_effort="low")).choices[0].reasoning
    assert (await ask(client, user("hi"), model="stub-reasoning")).choices[0].reasoning
    assert not (await ask(client, user("hi"), reasoning_effort="none")).choices[0].reasoning
    reply = (await ask(client, user("hi"), extra={"stub": {"reply": "a b", "reasoning": "hm"}})).choices[0]
    assert (reply.message.text, reply.reasoning) == ("a b", "hm")


async def test_a_schema_is_filled(client: httpx.AsyncClient):
    schema = {"type": "object", "properties": {"age": {"type": "integer", "minimum": 18}}}
    reply = await ask(client, user("hi"), response_format=ResponseFormat(kind="json_schema", schema=schema))
    assert json.loads(reply.choices[0].message.text) == {"age": 18}
    reply = await ask(client, user("hi"), response_format=ResponseFormat(kind="json_object"))
    assert json.loads(reply.choices[0].message.text)["you_said"] == "hi"


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string", "format": "date"}, "2024-01-01"),
        ({"type": "string", "minLength": 6, "maxLength": 6}, "textxx"),
        ({"enum": ["b", "a"]}, "b"),
        ({"const": 4}, 4),
        ({"type": ["null", "number"]}, 1),
        ({"type": "integer", "exclusiveMinimum": 4, "multipleOf": 5}, 5),
        ({"type": "number", "maximum": 0.5}, 0.5),
        ({"type": "array", "items": {"type": "boolean"}, "minItems": 2}, [True, True]),
        ({"anyOf": [{"type": "null"}, {"type": "string"}]}, None),
        (
            {"allOf": [{"properties": {"a": {"type": "string"}}}, {"properties": {"b": {"const": 1}}}]},
            {"a": "text", "b": 1},
        ),
        ({"$ref": "#/$defs/P", "$defs": {"P": {"const": "p"}}}, "p"),
        (None, "text"),
    ],
)
def test_the_plainest_value_of_a_schema_is_given(schema: Any, value: Any):
    assert instance_of(schema) == value


def test_a_schema_without_an_end_has_a_value_all_the_same():
    tree = {"type": "object", "properties": {"next": {"$ref": "#"}, "all": {"type": "array", "items": {"$ref": "#"}}}}
    assert len(json.dumps(instance_of(tree))) < 1_000_000
    assert len(instance_of({"type": "array", "items": {"type": "null"}, "minItems": 10**9})) < 100_000
    loop = {"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}}
    assert instance_of(loop) == "text"


@pytest.mark.parametrize("status", [400, 429, 503])
async def test_it_fails_when_told_to(client: httpx.AsyncClient, status: int):
    with pytest.raises(ProviderError) as raised:
        await ask(client, user("hi"), model=f"stub-error-{status}")
    assert raised.value.status == status
    told = {"stub": {"error": {"status": status, "message": "as told", "retry_after": 2.5}}}
    request = request_of(user("hi"), model="stub", stream=True, extra=told)
    answer = await client.post(request.path, content=request.body)
    assert (answer.status_code, answer.headers["retry-after"]) == (status, "2.5")
    assert answer.json()["error"]["message"] == "as told"


async def test_it_fails_in_mid_stream_when_told_to(client: httpx.AsyncClient):
    with pytest.raises(ProviderError):
        await listen(client, user("hi"), model="stub-error-midstream")
    with pytest.raises(ProviderError):
        await listen(client, user("hi"), extra={"stub": {"fail_after": 1}})
    with pytest.raises(UnusableAnswer):
        await listen(client, user("hi"), model="stub-cut")
    with pytest.raises(UnusableAnswer):
        await ask(client, user("hi"), extra={"stub": {"cut_after": 1}})


async def test_it_is_slow_when_told_to(client: httpx.AsyncClient):
    start = time.monotonic()
    await listen(client, user("hi"), extra={"stub": {"delay_ms": 20}})
    assert time.monotonic() - start >= 0.2


async def test_embeddings_are_unit_vectors_made_from_the_text(client: httpx.AsyncClient):
    answer = await client.post("/embeddings", json={"model": "x", "input": ["a", "b", "a"], "dimensions": 300})
    vectors = VENDOR.embeddings_reply(answer.content).vectors
    assert vectors[0] == vectors[2] != vectors[1]
    assert all(len(vector) == 300 and math.isclose(math.hypot(*vector), 1) for vector in vectors)
    packed = await client.post("/embeddings", json={"model": "x", "input": [[1, 2]], "encoding_format": "base64"})
    assert len(VENDOR.embeddings_reply(packed.content).vectors[0]) == stub_answers.DEFAULT_DIMENSIONS


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/chat/completions", b"{"),
        ("/chat/completions", b'{"model": "m"}'),
        ("/chat/completions", b'{"messages": [{"role": "user", "content": "x"}]}'),
        ("/chat/completions", b'{"model": "m", "n": 0, "messages": [{"role": "user", "content": "x"}]}'),
        ("/embeddings", b'{"model": "m", "input": []}'),
        ("/embeddings", b'{"model": "m", "input": "x", "dimensions": 0}'),
    ],
)
async def test_a_request_that_makes_no_sense_is_refused(client: httpx.AsyncClient, path: str, body: bytes):
    answer = await client.post(path, content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert (await client.get("/elsewhere")).status_code == 404


def test_a_long_word_is_cut_into_pieces_in_no_time():
    text = "x" * 1_000_000 + " y\n\n" + " " * 1000
    assert "".join(stub_answers.pieces_of(text)) == text


async def test_openais_own_types_take_its_answers(client: httpx.AsyncClient):
    answer = await client.post("/chat/completions", content=request_of(user("x"), model="m", stream=False).body)
    completion = ChatCompletion.model_validate(answer.json())
    assert completion.choices[0].message.content == 'This is the stub provider: you said "x"'
    streamed = await client.post("/chat/completions", content=request_of(user("x"), model="m", stream=True).body)
    *events, end = streamed.text.strip().split("\n\n")
    assert end == "data: [DONE]"
    chunks = [ChatCompletionChunk.model_validate_json(event.removeprefix("data: ")) for event in events]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].usage is not None
