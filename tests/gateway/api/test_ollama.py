"""Ollama's paths over HTTP, for every provider: lines, counts, lists, loading without asking anybody."""

import json
from typing import Any

import pytest

from tests.gateway.api.asking import SAID, read_lines
from tests.gateway.serving import Town, town

pytestmark = pytest.mark.anyio

MODELS = ["ollama:llama3:8b", "openai:gpt-4o-mini", "anthropic:claude-sonnet-4-5", "gemini:gemini-2.5-flash",
          "lmstudio:qwen2.5-7b-instruct", "compat:some-model", "stub:stub"]  # fmt: skip
TOOL = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}


async def ask(place: Town, model: str, **more: Any) -> Any:
    return await place.client.post("/api/chat", json={"model": model, "messages": SAID, **more})


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("chat", {"model": "stub:stub", "messages": SAID}),
        ("generate", {"model": "stub:stub", "prompt": "hello"}),
        ("embed", {"model": "stub:stub", "input": "hello"}),
        ("embeddings", {"model": "stub:stub", "prompt": "hello"}),
        ("show", {"model": "stub:stub"}),
    ],
)
async def test_ollamas_own_examples_with_curl_are_answered_and_web_pages_that_send_the_same_are_not(
    place: Town, path: str, body: dict[str, Any]
) -> None:
    async def send(**headers: str) -> int:
        as_form = {"content-type": "application/x-www-form-urlencoded", **headers}
        content = json.dumps(body).encode()
        return (await place.client.post(f"/api/{path}", content=content, headers=as_form)).status_code

    here = str(place.client.base_url).rstrip("/")
    assert await send() == await send(**{"sec-fetch-site": "none"}) == 200
    assert await send(**{"sec-fetch-site": "cross-site"}) == await send(**{"sec-fetch-site": "same-site"}) == 415
    assert await send(origin="http://localhost:1") == await send(origin=here) == 415
    assert await send(origin="null") == await send(origin="https://elsewhere.example") == 403


@pytest.mark.parametrize("model", MODELS)
async def test_a_chat_streams_lines_unless_told_otherwise(place: Town, model: str) -> None:
    answer = await ask(place, model)
    assert answer.headers["content-type"] == "application/x-ndjson"
    *lines, last = read_lines(answer.text)
    assert len(lines) > 1
    for line in lines:
        assert {"model", "created_at", "message", "done"} <= set(line)
        assert (line["done"], line["message"]["role"]) == (False, "assistant")
    assert "hello" in "".join(line["message"]["content"] for line in lines)
    assert (last["done"], last["done_reason"]) == (True, "stop")
    assert last["prompt_eval_count"] > 0
    assert last["eval_count"] > 0
    assert last["total_duration"] > 0


@pytest.mark.parametrize("model", MODELS)
async def test_a_whole_answer_also_carries_openais_choices_and_usage(place: Town, model: str) -> None:
    body = (await ask(place, model, stream=False)).json()
    assert body["done"] is True
    assert body["choices"][0]["message"]["content"] == body["message"]["content"]
    assert body["choices"][0]["finish_reason"] == body["done_reason"] == "stop"
    assert body["usage"]["prompt_tokens"] == body["prompt_eval_count"]
    assert body["usage"]["completion_tokens"] == body["eval_count"]


@pytest.mark.parametrize("model", [name for name in MODELS if not name.startswith("stub")])
async def test_the_arguments_of_a_tool_call_are_an_object(place: Town, model: str) -> None:
    whole = (await ask(place, model, stream=False, tools=[TOOL])).json()
    lines = read_lines((await ask(place, model, tools=[TOOL])).text)
    calls = [call for line in lines for call in line["message"].get("tool_calls") or ()]
    for call in (*whole["message"]["tool_calls"], *calls):
        assert call["function"]["name"] == "weather"
        assert call["function"]["arguments"] == {"city": "Łódź"}
    assert len(calls) == 1


async def test_options_format_and_keep_alive_reach_ollama_and_are_translated_for_others(place: Town) -> None:
    asked = {"options": {"temperature": 0.5, "num_predict": 9, "num_ctx": 4096}, "format": "json", "keep_alive": "5m"}
    await ask(place, "ollama:llama3:8b", **asked)
    sent = place.fakes["ollama"].last.body
    assert sent["options"] == asked["options"]
    assert (sent["format"], sent["keep_alive"]) == ("json", "5m")
    answer = await ask(place, "openai:gpt-4o-mini", **asked)
    sent = place.openai.last.body
    assert sent["temperature"] == 0.5
    assert sent.get("max_tokens", sent.get("max_completion_tokens")) == 9
    assert sent["response_format"]["type"] == "json_object"
    assert answer.status_code == 200


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate"])
@pytest.mark.parametrize(
    ("more", "reason"), [({}, "load"), ({"keep_alive": 0}, "unload"), ({"keep_alive": "5m", "stream": False}, "load")]
)
async def test_a_request_that_only_loads_a_model_is_answered_without_asking_anybody(
    place: Town, path: str, more: dict[str, Any], reason: str
) -> None:
    for model in ("ollama:llama3:8b", "openai:gpt-4o-mini"):
        for empty in ({}, {"messages": []} if path == "/api/chat" else {"prompt": ""}):
            (body,) = read_lines((await place.client.post(path, json={"model": model, **empty, **more})).text)
            assert (body["done"], body["done_reason"], body["model"]) == (True, reason, model)
            assert body.get("response", body.get("message", {}).get("content")) == ""
    assert all(fake.received == [] for fake in place.fakes.values())


async def test_a_request_that_only_loads_still_wants_a_model_that_is_there(place: Town) -> None:
    assert (await place.client.post("/api/chat", json={"messages": []})).status_code == 400


async def test_generate_answers_a_prompt_whole_and_in_lines(place: Town) -> None:
    asked = {"model": "anthropic:claude-sonnet-4-5", "prompt": "hello", "system": "Be brief."}
    *lines, last = read_lines((await place.client.post("/api/generate", json=asked)).text)
    whole = (await place.client.post("/api/generate", json={**asked, "stream": False})).json()
    assert "".join(line["response"] for line in lines) == whole["response"] == "You said: hello"
    assert (last["done"], last["done_reason"], last["response"]) == (True, "stop", "")
    assert place.fakes["anthropic"].last.body["system"]


async def test_embeddings_come_in_the_newer_and_the_older_form(place: Town) -> None:
    model = "openai:text-embedding-3-small"
    new = (await place.client.post("/api/embed", json={"model": model, "input": ["a", "b"]})).json()
    old = (await place.client.post("/api/embeddings", json={"model": model, "prompt": "a"})).json()
    assert len(new["embeddings"]) == 2
    assert new["embeddings"][0] == old["embedding"]
    assert new["prompt_eval_count"] == 5


async def test_tags_list_all_models_with_provider_and_languages(place: Town) -> None:
    tags = {entry["name"]: entry for entry in (await place.client.get("/api/tags")).json()["models"]}
    for entry in tags.values():
        wanted = {"name", "model", "modified_at", "size", "digest", "details", "provider", "languages"}
        assert wanted <= set(entry)
        assert "family" in entry["details"]
        assert entry["languages"] == ["en", "pl"]
    assert tags["ollama:llama3:8b"]["details"]["family"] == "llama"
    assert tags["ollama:llama3:8b"]["size"] == 4661224676
    assert tags["compat:org/team-model:7b"]["provider"] == "compat"
    assert tags["fast"]["provider"] == "ollama"


@pytest.mark.parametrize("name", ["ollama:llama3:8b", "fast", "llama3:8b", "compat:org/team-model:7b"])
async def test_show_tells_of_a_model_by_any_of_its_names(place: Town, name: str) -> None:
    for asked in ({"model": name}, {"name": name}):
        body = (await place.client.post("/api/show", json=asked)).json()
        assert {"details", "model_info", "capabilities", "modified_at"} <= set(body)
        assert "completion" in body["capabilities"]


async def test_show_of_what_nobody_has_is_404_with_the_message_as_error(place: Town) -> None:
    answer = await place.client.post("/api/show", json={"model": "nothing"})
    assert answer.status_code == 404
    assert "nothing" in answer.json()["error"]


async def test_version_and_ps_answer_what_ollamas_clients_ask_first(place: Town) -> None:
    assert (await place.client.get("/api/version")).json()["version"].count(".") == 2
    assert (await place.client.get("/api/ps")).json() == {"models": []}
    assert (await place.client.head("/api/tags")).status_code == 200


async def test_the_prefix_can_be_another(tmp_path_factory: pytest.TempPathFactory) -> None:
    async with town(tmp_path_factory.mktemp("prefix"), API_PREFIX="/llm-api") as place:
        answer = await place.client.post("/llm-api/chat", json={"model": "openai:missing", "messages": SAID})
        assert answer.status_code == 404
        assert isinstance(answer.json()["error"], str)
        assert "missing" in answer.json()["error"]  # Ollama's shape, where error is the message
        assert (await place.client.get("/llm-api/ping")).json() == {"status": True, "body": "pong"}
        assert (await place.client.get("/api/tags")).status_code == 404
