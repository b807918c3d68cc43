"""OpenAI's paths over HTTP: exact shapes whatever the provider, models, mending, fallbacks, whose key goes where."""

import asyncio
import base64
import struct
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.gateway.api.asking import SAID, read_events
from tests.gateway.serving import GATEWAY_KEY, PROVIDER_KEY, Town, gateway, town

pytestmark = pytest.mark.anyio

MODELS = ["openai:gpt-4o-mini", "anthropic:claude-sonnet-4-5", "gemini:gemini-2.5-flash", "ollama:llama3:8b",
          "lmstudio:qwen2.5-7b-instruct", "compat:some-model", "stub:stub"]  # fmt: skip
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}]


async def chat(client: httpx.AsyncClient, model: str, headers: dict[str, str] | None = None, **more: Any) -> Any:
    body = {"model": model, "messages": SAID, **more}
    return await client.post("/v1/chat/completions", json=body, headers=headers)


@pytest.mark.parametrize("model", MODELS)
async def test_an_answer_is_exactly_openais_whatever_the_provider(place: Town, model: str) -> None:
    body = (await chat(place.client, model)).json()
    assert {"id", "object", "created", "model", "choices", "usage"} <= set(body)
    assert set(body) - {"id", "object", "created", "model", "choices", "usage"} <= {"system_fingerprint", "warnings"}
    assert body["object"] == "chat.completion"
    assert isinstance(body["created"], int)
    assert isinstance(body["id"], str)
    assert body["id"]
    (choice,) = body["choices"]
    assert set(choice) == {"index", "message", "finish_reason", "logprobs"}
    assert choice["index"] == 0
    assert choice["finish_reason"] == "stop"
    assert {"role", "content", "refusal"} <= set(choice["message"])
    assert choice["message"]["role"] == "assistant"
    assert "hello" in choice["message"]["content"]
    usage = body["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


@pytest.mark.parametrize("model", MODELS)
async def test_a_stream_is_role_content_finish_usage_done(place: Town, model: str) -> None:
    answer = await chat(place.client, model, stream=True, stream_options={"include_usage": True})
    *chunks, usage, done = read_events(answer.text)
    assert done == "[DONE]"
    assert usage["choices"] == []
    assert usage["usage"]["total_tokens"] > 0
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert "hello" in "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)
    assert {(chunk["id"], chunk["created"], chunk["model"], chunk["object"]) for chunk in chunks} == {
        (usage["id"], usage["created"], usage["model"], "chat.completion.chunk")
    }


@pytest.mark.parametrize("model", [name for name in MODELS if not name.startswith("stub")])
async def test_tool_call_deltas_have_index_id_and_type(place: Town, model: str) -> None:
    answer = await chat(place.client, model, stream=True, tools=TOOLS)
    deltas = [
        call for event in read_events(answer.text)[:-1] for call in event["choices"][0]["delta"].get("tool_calls") or ()
    ]
    assert {delta["index"] for delta in deltas} == {0}
    assert deltas[0]["id"]
    assert deltas[0]["type"] == "function"
    assert deltas[0]["function"]["name"] == "weather"
    assert "".join(delta["function"].get("arguments") or "" for delta in deltas) == "{}"


async def test_the_same_without_v1(place: Town) -> None:
    with_prefix = (await chat(place.client, "openai:gpt-4o-mini")).json()
    without = (
        await place.client.post("/chat/completions", json={"model": "openai:gpt-4o-mini", "messages": SAID})
    ).json()
    assert without == with_prefix
    listed = (await place.client.get("/models")).json()
    assert listed == (await place.client.get("/v1/models")).json()


async def test_several_prompts_are_completed_by_a_call_each_in_their_order(place: Town) -> None:
    body = {"model": "openai:gpt-4o-mini", "prompt": [f"prompt {number}" for number in range(12)], "echo": True}
    answer = (await place.client.post("/v1/completions", json=body)).json()
    assert [choice["index"] for choice in answer["choices"]] == list(range(12))
    assert all(f"prompt {number}" in choice["text"] for number, choice in enumerate(answer["choices"]))
    assert answer["usage"] == {"prompt_tokens": 132, "completion_tokens": 84, "total_tokens": 216}
    assert answer["object"] == "text_completion"
    assert len(place.openai.received) == 12


async def test_one_prompt_that_fails_fails_all(place: Town) -> None:
    place.openai.fail(400, {"error": {"message": "Not this.", "type": "t", "code": "c"}})
    body = {"model": "openai:gpt-4o-mini", "prompt": ["a", "b", "c"]}
    answer = await place.client.post("/v1/completions", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "c")


async def test_embeddings_are_floats_or_base64_as_asked(place: Town) -> None:
    for model in ("openai:text-embedding-3-small", "ollama:nomic-embed-text:latest", "gemini:gemini-embedding-001"):
        asked = {"model": model, "input": ["a", "b"], "dimensions": 3}
        plain = (await place.client.post("/v1/embeddings", json={**asked, "encoding_format": "float"})).json()
        packed = (await place.client.post("/v1/embeddings", json={**asked, "encoding_format": "base64"})).json()
        assert set(plain) - {"warnings"} == {"object", "data", "model", "usage"}
        assert [(entry["object"], entry["index"]) for entry in plain["data"]] == [("embedding", 0), ("embedding", 1)]
        for one, other in zip(plain["data"], packed["data"], strict=True):
            unpacked = struct.unpack("<3f", base64.b64decode(other["embedding"]))
            assert unpacked == pytest.approx(one["embedding"])


async def test_models_are_listed_with_their_provider_and_aliases_with_where_they_lead(place: Town) -> None:
    body = (await place.client.get("/v1/models")).json()
    assert set(body) == {"object", "data"}
    listed = {entry["id"]: entry for entry in body["data"]}
    assert all(set(entry) == {"id", "object", "created", "owned_by"} for entry in body["data"])
    assert all(isinstance(entry["created"], int) for entry in body["data"])
    assert listed["ollama:llama3:8b"]["owned_by"] == "ollama"
    assert listed["compat:org/team-model:7b"]["owned_by"] == "compat"
    assert listed["anthropic:claude-think-4-5"]["owned_by"] == "anthropic"  # from the last page
    assert listed["fast"]["owned_by"] == "ollama"
    assert len(listed) == len(body["data"])


@pytest.mark.parametrize("name", ["ollama:llama3:8b", "compat:org/team-model:7b", "fast", "org/team-model:7b"])
async def test_a_model_is_found_by_its_id_with_colons_and_slashes(place: Town, name: str) -> None:
    for path in (name, quote(name, safe="")):
        answer = await place.client.get(f"/v1/models/{path}")
        assert answer.status_code == 200
        assert answer.json()["id"] == name


async def test_a_model_that_nobody_has_is_404(place: Town) -> None:
    for name in ("nothing", "openai:nothing", "nobody:nothing", "a/b"):
        answer = await place.client.get(f"/v1/models/{name}")
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "model_not_found"


async def test_an_alias_leads_to_its_model_with_its_options(place: Town) -> None:
    answer = await chat(place.client, "careful")
    assert answer.json()["choices"]
    sent = place.openai.last.body
    assert sent["model"] == "gpt-4o-mini"
    assert sent["temperature"] == 0.2
    assert sent.get("max_tokens", sent.get("max_completion_tokens")) == 50
    await chat(place.client, "careful", temperature=1)
    assert place.openai.last.body["temperature"] == 1


async def test_a_name_without_provider_goes_where_it_is_listed_or_to_the_default(place: Town) -> None:
    assert (await chat(place.client, "llama3:8b")).status_code == 200
    assert place.fakes["ollama"].last.body["model"] == "llama3:8b"
    assert (await chat(place.client, "never-heard-of")).status_code == 200
    assert place.openai.last.body["model"] == "never-heard-of"  # the first that is configured is the default


async def test_a_filter_shows_and_serves_only_what_it_lets_through(tmp_path: Path) -> None:
    models = {"fast": "ollama:llama3:8b", "slow": "openai:gpt-4o-mini"}
    async with town(tmp_path, "--model", "ollama:llama3:8b", models=models) as place:
        await place.settle()
        listed = [entry["id"] for entry in (await place.client.get("/v1/models")).json()["data"]]
        tags = [entry["name"] for entry in (await place.client.get("/api/tags")).json()["models"]]
        assert sorted(listed) == sorted(tags) == ["fast", "ollama:llama3:8b"]
        assert (await chat(place.client, "fast")).status_code == 200
        assert (await chat(place.client, "ollama:llama3:8b")).status_code == 200
        for hidden in ("slow", "openai:gpt-4o-mini", "gpt-4o-mini"):
            refused = await chat(place.client, hidden)
            assert (refused.status_code, refused.json()["error"]["code"]) == (404, "model_not_found")
        assert (await place.client.get("/v1/models/slow")).status_code == 404
        assert (await place.client.get("/v1/models/fast")).status_code == 200
        direct = await place.client.post("/openai/chat/completions", json={"model": "gpt-4o-mini", "messages": SAID})
        assert direct.status_code in (403, 404)
        assert place.openai.received == []


async def test_in_placeholder_mode_nobody_is_asked_and_every_model_is_there(tmp_path: Path) -> None:
    async with town(tmp_path, USE_PLACEHOLDER_MODE="true") as place:
        assert (await place.client.get("/v1/models/any/model:7b")).json()["id"] == "any/model:7b"
        assert len((await chat(place.client, "gpt-4o", n=3)).json()["choices"]) == 3
        assert "[DONE]" in (await chat(place.client, "anthropic:claude", stream=True)).text
        embedded = await place.client.post("/v1/embeddings", json={"model": "x", "input": "a"})
        assert embedded.status_code == 200
        assert all(fake.received == [] for fake in place.fakes.values())


async def test_unknown_fields_survive_where_the_provider_speaks_the_same_dialect(place: Town) -> None:
    await chat(place.client, "openai:gpt-4o-mini", brand_new={"x": [1, 2]}, metadata={"a": "b"})
    assert place.openai.last.body["brand_new"] == {"x": [1, 2]}
    assert place.openai.last.body["metadata"] == {"a": "b"}
    assert place.openai.last.body["model"] == "gpt-4o-mini"


@pytest.mark.parametrize("given", [
    {"response": "So."}, {"text": "So."}, {"content": "So."}, {"output": "So."}, {"message": {"content": "So."}}, "So.",
    {"choices": [{"message": {"content": "So."}}]}, {"choices": [{"text": "So."}]},
])  # fmt: skip
async def test_half_an_answer_is_made_a_whole_one(place: Town, given: Any) -> None:
    place.fakes["compat"].fail(200, given)
    body = (await chat(place.client, "compat:some-model")).json()
    (choice,) = body["choices"]
    assert choice["message"] == {"role": "assistant", "content": "So.", "refusal": None}
    assert choice["finish_reason"] == "stop"
    assert choice["index"] == 0
    assert body["object"] == "chat.completion"
    assert body["id"]
    assert body["created"]
    assert body["usage"] == {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}


async def test_what_a_provider_cannot_do_is_refused_or_named_in_warnings(place: Town) -> None:
    refused = await chat(place.client, "anthropic:claude-sonnet-4-5", n=2)
    assert refused.status_code == 400
    assert "n" in refused.json()["error"]["message"]
    assert refused.json()["error"]["param"] == "n"
    dropped = (await chat(place.client, "anthropic:claude-sonnet-4-5", seed=7)).json()
    assert any("seed" in warning for warning in dropped["warnings"])


async def test_a_failing_provider_is_tried_again_then_its_fallbacks_in_order(tmp_path: Path) -> None:
    steady = {"model": "openai:gpt-4o-mini", "fallbacks": ["anthropic:claude-sonnet-4-5", "ollama:llama3:8b"]}
    async with town(tmp_path, models={"steady": steady}, LLM_RETRIES="1") as place:
        await place.settle()
        place.openai.fail(503, {"error": {"message": "Down."}})
        assert (await chat(place.client, "steady")).status_code == 200
        assert [request.path for request in place.openai.received] == ["/v1/chat/completions"] * 2
        place.clear()
        place.openai.fail(500, {"error": {"message": "Down."}}, times=2)
        place.fakes["anthropic"].fail(529, {"type": "error", "error": {"type": "overloaded_error", "message": "x"}},
                                      times=2)  # fmt: skip
        whole = await chat(place.client, "steady")
        assert whole.status_code == 200
        assert len(place.openai.received) == len(place.fakes["anthropic"].received) == 2
        assert place.fakes["ollama"].last.body["model"] == "llama3:8b"
        place.clear()
        place.openai.fail(500, {"error": {"message": "Down."}}, times=2)
        streamed = read_events((await chat(place.client, "steady", stream=True)).text)
        assert streamed[-1] == "[DONE]"
        assert {event["model"] for event in streamed[:-1]} == {"steady"}


async def test_after_the_last_fallback_the_last_error_goes_out_and_says_not_to_retry(place: Town) -> None:
    place.openai.fail(503, {"error": {"message": "First."}})
    place.fakes["anthropic"].fail(529, {"type": "error", "error": {"type": "overloaded_error", "message": "Second."}})
    place.fakes["ollama"].fail(503, {"error": "Third."})
    answer = await chat(place.client, "steady")
    assert (answer.status_code, answer.json()["error"]["message"]) == (503, "Third.")
    assert answer.headers["x-should-retry"] == "false"


async def test_an_error_of_the_callers_own_is_neither_retried_nor_answered_by_a_fallback(place: Town) -> None:
    place.openai.fail(400, {"error": {"message": "Yours.", "type": "t", "param": "messages", "code": "c"}})
    answer = await chat(place.client, "steady")
    assert answer.status_code == 400
    assert answer.json()["error"] | {"request_id": ""} == {
        "message": "Yours.", "type": "t", "param": "messages", "code": "c", "request_id": "",
    }  # fmt: skip
    assert place.fakes["anthropic"].received == []


async def test_retry_after_is_waited_for_when_short_and_passed_on_when_long(tmp_path: Path) -> None:
    limited = {"error": {"message": "Slow down."}}
    async with town(tmp_path, LLM_RETRIES="1") as place:
        await place.settle()
        place.openai.fail(429, limited, {"retry-after": "0.3"})
        began = asyncio.get_running_loop().time()
        assert (await chat(place.client, "openai:gpt-4o-mini")).status_code == 200
        assert asyncio.get_running_loop().time() - began > 0.3
        place.clear()
        place.openai.fail(429, limited, {"retry-after": "60"})
        answer = await chat(place.client, "openai:gpt-4o-mini")
        assert (answer.status_code, answer.headers["retry-after"], len(place.openai.received)) == (429, "60", 1)


async def test_a_provider_that_keeps_failing_is_rested(tmp_path: Path) -> None:
    async with town(tmp_path, PROVIDER_REST_SECONDS="30") as place:
        await place.settle()
        place.openai.fail(503, {"error": {"message": "Down."}}, times=5)
        for _ in range(5):
            assert (await chat(place.client, "openai:gpt-4o-mini")).status_code == 503
        rested = await chat(place.client, "openai:gpt-4o-mini")
        assert rested.status_code == 503
        assert int(rested.headers["retry-after"]) <= 30
        assert len(place.openai.received) == 5
        assert (await chat(place.client, "compat:some-model")).status_code == 200


OWN_KEY = "sk-the-callers-own"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/llm"])
async def test_without_auth_the_callers_own_key_wins_where_it_may_go(place: Town, path: str) -> None:
    headers = {"authorization": f"Bearer {OWN_KEY}"}
    for provider in ("openai", "compat"):
        place.fakes[provider].key = OWN_KEY
        try:
            body = {"model": f"{provider}:some-model", "messages": SAID, "type": "chat"}
            assert (await place.client.post(path, json=body, headers=headers)).status_code == 200
        finally:
            place.fakes[provider].key = PROVIDER_KEY
    for model in MODELS:
        body = {"model": model, "messages": SAID, "type": "chat"}
        if not model.startswith(("openai", "compat")):
            assert (await place.client.post(path, json=body, headers=headers)).status_code == 200, model
    assert place.fakes["lmstudio"].last.headers["authorization"] == f"Bearer {OWN_KEY}"
    for provider in ("anthropic", "gemini", "ollama"):
        assert OWN_KEY not in str(place.fakes[provider].received)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/llm"])
async def test_without_auth_an_authorization_of_any_scheme_goes_where_a_key_may_go(place: Town, path: str) -> None:
    headers = {"authorization": "Basic Y2FsbGVyOnMzY3JldA=="}
    for model in MODELS:
        answer = await place.client.post(path, json={"model": model, "messages": SAID, "type": "chat"}, headers=headers)
        refuses = model.startswith(("openai", "compat"))  # these want a bearer
        assert answer.status_code == (502 if refuses else 200), model
    for provider in ("openai", "compat", "lmstudio"):
        assert place.fakes[provider].last.headers["authorization"] == headers["authorization"]
    for provider in ("anthropic", "gemini", "ollama"):
        assert "Y2FsbGVyOnMzY3JldA" not in str(place.fakes[provider].received)
    await place.client.get("/lmstudio/v1/models", headers=headers)
    assert place.fakes["lmstudio"].last.headers["authorization"] == headers["authorization"]


async def test_without_auth_other_ways_of_giving_a_key_do_not_count(place: Town) -> None:
    headers = {"x-api-key": "sk-x", "x-goog-api-key": "sk-y"}
    for model in MODELS:
        assert (await chat(place.client, model, headers)).status_code == 200
    seen = str([fake.received for fake in place.fakes.values()])
    assert "sk-x" not in seen
    assert "sk-y" not in seen


async def test_with_auth_the_gateways_credential_stays_here_and_another_header_carries_the_callers_key(
    tmp_path: Path,
) -> None:
    async with town(tmp_path, "--key", GATEWAY_KEY) as place:
        place.openai.key = OWN_KEY
        mine = {"authorization": f"Bearer {GATEWAY_KEY}"}
        own = {**mine, "x-provider-authorization": f"Bearer {OWN_KEY}"}
        assert (await chat(place.client, "openai:gpt-4o-mini", own)).status_code == 200
        assert (await chat(place.client, "openai:gpt-4o-mini", mine)).status_code == 502  # the configured one is wrong
        assert (await chat(place.client, "anthropic:claude-sonnet-4-5", {"x-api-key": GATEWAY_KEY})).status_code == 200
        body = {"model": "gpt-4o-mini", "messages": SAID}
        assert (await place.client.post("/openai/chat/completions", json=body, headers=own)).status_code == 200
        assert (await place.client.get(f"/gemini/v1beta/models?key={GATEWAY_KEY}")).status_code == 200
        assert all(GATEWAY_KEY not in str(fake.received) for fake in place.fakes.values())


async def test_a_gateway_without_any_provider_answers_as_the_stub(tmp_path: Path) -> None:
    async with gateway(tmp_path) as client:
        assert "stub" in (await chat(client, "gpt-4o")).json()["choices"][0]["message"]["content"]


@pytest.mark.parametrize(
    "change",
    [
        {"messages": [{"role": "user", "content": [{"type": {"a": 1}, "text": "x"}]}]},
        {"response_format": {"type": {}}},
        {"reasoning_effort": {}, "think": {}},
        {"tools": [{"type": [], "function": {}}]},
    ],
)
async def test_values_of_the_wrong_kind_are_never_a_500(tmp_path: Path, change: dict[str, Any]) -> None:
    chat = {"model": "stub", "messages": [{"role": "user", "content": "hi"}], **change}
    async with gateway(tmp_path) as client:
        answers = [await client.post(path, json=chat) for path in ("/v1/chat/completions", "/api/chat", "/llm")]
    assert [answer.status_code for answer in answers if answer.status_code >= 500] == []
