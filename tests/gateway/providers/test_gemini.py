"""Gemini's API: what its answers mean, and that its proofs come back to it."""

import json
from typing import Any

import pytest

from gateway.errors import CredentialsRefused, ModelNotFound, ProviderError, UnusableAnswer
from gateway.messages.chat import (
    ChatRequest,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    Usage,
    UsageReport,
)
from gateway.messages.embeddings import EmbeddingsRequest
from gateway.providers.gemini import VENDOR
from tests.fakes.gemini import SIGNATURE, SKIPPED_SIGNATURE
from tests.gateway.providers.exchange import WEATHER, decode, heard, line, result_of, user

pytestmark = pytest.mark.anyio


def answer(*parts: dict[str, Any], reason: str | None = "STOP", **more: Any) -> bytes:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
    if reason is not None:
        candidate["finishReason"] = reason
    return json.dumps({"candidates": [candidate], "modelVersion": "m", "responseId": "r", **more}).encode()


def sent(body: bytes) -> bytes:
    return b"data: " + body + b"\n\n"


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_proof_goes_back_with_its_call(streamed: bool):
    async with line("gemini", model="gemini-3-pro") as to:
        if streamed:
            asked = heard(await to.listen(user("weather?"), tools=(WEATHER,))).message
        else:
            asked = (await to.ask(user("weather?"), tools=(WEATHER,))).choices[0].message
        assert asked.tool_calls[0].signature == SIGNATURE
        told = await to.ask(user("weather?"), asked, result_of(asked.tool_calls[0], "rain"), tools=(WEATHER,))
        assert told.choices[0].message.text == "The tool said: rain"
        assert to.fake.last.body["contents"][1]["parts"][0]["thoughtSignature"] == SIGNATURE


async def test_a_call_without_a_proof_says_so_where_one_is_wanted():
    async with line("gemini", model="gemini-3-pro") as to:
        asked = (await to.ask(user("weather?"), tools=(WEATHER,))).choices[0].message
        dropped = type(asked)(
            role="assistant", tool_calls=(type(asked.tool_calls[0])(id="call_x", name="weather", arguments="{}"),)
        )
        told = await to.ask(user("weather?"), dropped, result_of(dropped.tool_calls[0], "rain"), tools=(WEATHER,))
        assert told.choices[0].message.text == "The tool said: rain"
        assert to.fake.last.body["contents"][1]["parts"][0]["thoughtSignature"] == SKIPPED_SIGNATURE


async def test_the_key_is_never_in_the_address():
    async with line("gemini") as to:
        await to.listen(user("hi"))
    assert to.fake.last.headers["x-goog-api-key"] == to.key
    assert to.fake.last.query == {"alt": "sse"}


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("gemini-2.5-flash", "/v1beta/models/gemini-2.5-flash:generateContent"),
        ("models/gemini-2.5-flash", "/v1beta/models/gemini-2.5-flash:generateContent"),
        ("tunedModels/mine", "/v1beta/tunedModels/mine:generateContent"),
        ("../../files?x=", "/v1beta/models/..%2F..%2Ffiles%3Fx%3D:generateContent"),
    ],
)
def test_a_models_name_cannot_lead_elsewhere(model: str, path: str):
    assert VENDOR.chat_request(ChatRequest(model=model, messages=(user("hi"),))).path == path


def test_a_stream_gives_its_events_in_order():
    usage = {"promptTokenCount": 5, "candidatesTokenCount": 2, "thoughtsTokenCount": 3, "cachedContentTokenCount": 1}
    pieces = [
        answer({"text": "hm", "thought": True}, reason=None, usageMetadata={"promptTokenCount": 5}),
        answer({"text": "he"}, reason=None),
        b"not json",
        b"17",
        answer(
            {"text": "llo"}, {"functionCall": {"name": "f", "args": {"x": 1}}, "thoughtSignature": "s"}, reason=None
        ),
        answer({"functionCall": {"id": "b", "name": "g"}}, reason=None),
        answer({"text": ""}, usageMetadata=usage),
    ]
    events = decode(VENDOR, map(sent, pieces))
    made_up = events[4]
    assert isinstance(made_up, ToolCallDelta)
    assert made_up.id is not None
    assert events == [
        Started(id="r", model="m", usage=Usage(prompt_tokens=5, completion_tokens=0)),
        ReasoningDelta(text="hm"),
        TextDelta(text="he"),
        TextDelta(text="llo"),
        ToolCallDelta(call=0, id=made_up.id, name="f", arguments='{"x":1}', signature="s"),
        ToolCallDelta(call=1, id="b", name="g", arguments="{}"),
        Finished(finish_reason="tool_calls"),
        UsageReport(usage=Usage(prompt_tokens=5, completion_tokens=5, cached_tokens=1, reasoning_tokens=3)),
    ]


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("PROHIBITED_CONTENT", "content_filter"),
        ("SPII", "content_filter"),
        ("SOMETHING_NEW", "stop"),
    ],
)
def test_each_finish_reason_has_ours_even_of_an_empty_answer(reason: str, finish: str):
    (choice,) = VENDOR.chat_reply(answer(reason=reason)).choices
    assert (choice.message.text, choice.finish_reason) == ("", finish)
    assert heard(decode(VENDOR, [sent(answer(reason=reason))])).finish_reason == finish


@pytest.mark.parametrize("reason", ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL"])
def test_an_answer_that_gemini_could_not_read_itself_is_unusable_unless_it_says_something(reason: str):
    with pytest.raises(UnusableAnswer, match=reason):
        VENDOR.chat_reply(answer(reason=reason))
    with pytest.raises(UnusableAnswer, match=reason):
        decode(VENDOR, [sent(answer(reason=reason))])
    assert VENDOR.chat_reply(answer({"text": "x"}, reason=reason)).choices[0].finish_reason == "stop"


def test_a_blocked_prompt_is_an_answer_filtered_away():
    body = b'{"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 5}}'
    (choice,) = VENDOR.chat_reply(body).choices
    assert choice.finish_reason == "content_filter"
    assert "SAFETY" in (choice.refusal or "")
    assert decode(VENDOR, [sent(body)])[1:] == [
        RefusalDelta(text="the provider blocked the prompt (SAFETY)"),
        Finished(finish_reason="content_filter"),
        UsageReport(usage=Usage(prompt_tokens=5, completion_tokens=0)),
    ]


def test_a_drawn_image_is_not_lost():
    part = {"inlineData": {"mimeType": "image/png", "data": "QUJD"}}
    shown = "![image](data:image/png;base64,QUJD)"
    assert VENDOR.chat_reply(answer(part)).choices[0].message.text == shown
    assert heard(decode(VENDOR, [sent(answer(part))])).text == shown


def test_log_probabilities_come_in_openais_form():
    result = {
        "chosenCandidates": [{"token": "é", "logProbability": -0.5}],
        "topCandidates": [{"candidates": [{"token": "x", "logProbability": -1.0}]}],
    }
    body = json.loads(answer({"text": "é"}))
    body["candidates"][0]["logprobsResult"] = result
    expected = {
        "content": [
            {
                "token": "é",
                "logprob": -0.5,
                "bytes": [195, 169],
                "top_logprobs": [{"token": "x", "logprob": -1.0, "bytes": [120]}],
            }
        ],
        "refusal": None,
    }
    raw = json.dumps(body).encode()
    assert VENDOR.chat_reply(raw).choices[0].logprobs == expected
    assert TextDelta(text="é", logprobs=expected) in decode(VENDOR, [sent(raw)])


def error_body(status: int, word: str, *details: dict[str, Any]) -> bytes:
    return json.dumps({"error": {"code": status, "message": "sorry", "status": word, "details": details}}).encode()


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, error_body(400, "INVALID_ARGUMENT", {"reason": "API_KEY_INVALID"}), CredentialsRefused),
        (400, b"[" + error_body(400, "INVALID_ARGUMENT", {"reason": "API_KEY_INVALID"}) + b"]", CredentialsRefused),
        (403, error_body(403, "PERMISSION_DENIED"), CredentialsRefused),
        (404, error_body(404, "NOT_FOUND"), ModelNotFound),
        (400, error_body(400, "INVALID_ARGUMENT"), ProviderError),
        (503, error_body(503, "UNAVAILABLE"), ProviderError),
    ],
)
def test_each_error_becomes_ours(status: int, body: bytes, error: type[Exception]):
    assert type(VENDOR.explain_error(status, {}, body)) is error


def test_how_long_to_wait_is_read_from_the_body():
    retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "23.5s"}
    error = VENDOR.explain_error(429, {}, error_body(429, "RESOURCE_EXHAUSTED", retry))
    assert isinstance(error, ProviderError)
    assert (error.status, error.error_code, error.retry_after) == (429, "RESOURCE_EXHAUSTED", 23.5)


def test_an_error_in_mid_stream_has_its_status():
    with pytest.raises(ProviderError) as raised:
        decode(VENDOR, [sent(answer({"text": "x"}, reason=None)), sent(error_body(503, "UNAVAILABLE"))])
    assert (raised.value.status, raised.value.error_code) == (503, "UNAVAILABLE")


def test_embeddings_take_what_gemini_knows():
    asked = EmbeddingsRequest(
        model="e",
        input=("a",),
        dimensions=6,
        extra={"task_type": "RETRIEVAL_QUERY", "encoding_format": "float", "x": 1},
    )
    request = VENDOR.embeddings_request(asked)
    assert request.path == "/v1beta/models/e:batchEmbedContents"
    assert json.loads(request.body)["requests"] == [
        {
            "model": "models/e",
            "content": {"parts": [{"text": "a"}]},
            "taskType": "RETRIEVAL_QUERY",
            "outputDimensionality": 6,
        }
    ]
    assert request.warnings == ("x: not known to gemini, left out",)
