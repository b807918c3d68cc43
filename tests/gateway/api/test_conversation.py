"""Talks with a prompt of the library over HTTP (API.md 3.5), and the liveness check."""

from pathlib import Path
from typing import Any

import pytest

from tests.gateway.api.asking import read_lines
from tests.gateway.serving import Town, town
from tests.secret_watch import MARK

pytestmark = pytest.mark.anyio

ASKED = {"model_name": "openai:gpt-4o-mini", "user_last_statement": "hello"}


async def ask(place: Town, *, extended: bool = False, **more: Any) -> Any:
    path = f"/api/{'extended_' if extended else ''}conversation_with_model"
    return await place.client.post(path, json={**ASKED, **more})


async def test_a_whole_answer_tells_what_it_was_and_what_it_cost(place: Town) -> None:
    body = (await ask(place, stream=False)).json()
    assert body["response"] == "You said: hello"
    assert (body["model"], body["provider"], body["language"]) == ("openai:gpt-4o-mini", "openai", "en")
    assert body["usage"]["total_tokens"] == 18
    assert body["generation_time"] > 0


async def test_it_streams_lines_unless_told_otherwise(place: Town) -> None:
    answer = await ask(place)
    assert answer.headers["content-type"] == "application/x-ndjson"
    *lines, last = read_lines(answer.text)
    assert all(set(line) == {"response", "done"} and line["done"] is False for line in lines)
    assert "".join(line["response"] for line in lines) == "You said: hello"
    assert (last["response"], last["done"], last["usage"]["total_tokens"]) == ("", True, 18)


async def test_the_system_prompt_comes_from_the_library_in_the_language_asked_for(place: Town) -> None:
    systems = {}
    for language in ("en", "pl", "xx"):
        body = (await ask(place, stream=False, language=language)).json()
        systems[language] = (place.openai.last.body["messages"][0], body["language"])
    assert all(message["role"] == "system" and message["content"] for message, _ in systems.values())
    assert systems["en"][0] != systems["pl"][0]
    assert systems["xx"] == systems["en"]  # an unknown language falls back to the default one


async def test_the_talk_so_far_comes_before_the_last_statement(place: Town) -> None:
    by_pairs = [{"user": "a", "assistant": "b"}]
    by_roles = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    for history in (by_pairs, by_roles):
        assert (await ask(place, stream=False, historical_messages=history)).status_code == 200
        turns = [(turn["role"], turn["content"]) for turn in place.openai.last.body["messages"][1:]]
        assert turns == [("user", "a"), ("assistant", "b"), ("user", "hello")]


async def test_model_is_another_name_of_model_name(place: Town) -> None:
    body = {"model": "openai:gpt-4o-mini", "user_last_statement": "hello", "stream": False}
    assert (await place.client.post("/api/conversation_with_model", json=body)).status_code == 200


async def test_an_unknown_prompt_is_400_and_the_names_are_told(place: Town) -> None:
    answer = await ask(place, prompt_name="nothing-of-that-name")
    assert answer.status_code == 400
    assert "default" in answer.json()["message"]
    assert place.openai.received == []
    for name in ("../default", "/etc/passwd", "default\x00", "..\\default"):
        assert (await ask(place, prompt_name=name)).status_code == 400


async def test_the_extended_form_takes_a_system_prompt_and_options(place: Town) -> None:
    options = {"temperature": 0.3, "top_k": 7, "top_p": 0.9, "repetition_penalty": 1.1, "max_new_tokens": 33}
    asked = {**options, "model_name": "ollama:llama3:8b", "system_prompt": "Only this.", "stream": False}
    body = (await ask(place, extended=True, **asked)).json()
    sent = place.fakes["ollama"].last.body
    assert sent["messages"][0] == {"role": "system", "content": "Only this."}
    assert sent["options"] == {
        "temperature": 0.3, "top_k": 7, "top_p": 0.9, "repeat_penalty": 1.1, "num_predict": 33
    }  # fmt: skip
    assert body["response"] == "You said: hello"


async def test_prompts_of_the_users_own_are_read_again_when_they_change(tmp_path: Path) -> None:
    prompt = tmp_path / "prompts" / "en" / "deep" / "nested.prompt"
    prompt.parent.mkdir(parents=True)
    prompt.write_text("First.", encoding="utf-8")
    async with town(tmp_path, PROMPTS_DIR=str(tmp_path / "prompts")) as place:
        for text in ("First.", "Second, and longer: żółw."):
            prompt.write_text(text, encoding="utf-8")
            assert (await ask(place, stream=False, prompt_name="deep/nested")).status_code == 200
            assert place.openai.last.body["messages"][0]["content"] == text


async def test_ping_is_open_and_says_pong(tmp_path: Path) -> None:
    async with town(tmp_path, "--key", f"sk-{MARK}-that-nobody-sends") as place:
        answer = await place.client.get("/api/ping")
        assert answer.status_code == 200
        assert answer.json() == {"status": True, "body": "pong"}
        assert (await ask(place)).status_code == 401
