"""`POST /proxy` and `/proxy/stream` over HTTP (API.md 3.5)."""

from pathlib import Path
from typing import Any

import pytest

from tests.gateway.api.asking import BEARER, SAID, read_events
from tests.gateway.serving import GATEWAY_KEY, Town, town

pytestmark = pytest.mark.anyio

CHAT = {"model": "openai:gpt-4o-mini", "messages": SAID}


@pytest.mark.parametrize("path", ["/proxy", "/proxy/"])
async def test_an_answer_is_openais_with_and_without_a_slash(place: Town, path: str) -> None:
    answer = await place.client.post(path, json=CHAT, headers=BEARER, follow_redirects=False)
    assert answer.status_code == 200
    assert answer.json()["object"] == "chat.completion"
    assert answer.json()["choices"][0]["message"]["content"] == "You said: hello"


async def test_a_stream_is_chunks_then_done(place: Town) -> None:
    answer = await place.client.post("/proxy/stream", json=CHAT, headers=BEARER)
    *chunks, done = read_events(answer.text)
    assert done == "[DONE]"
    text = "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])
    assert text == "You said: hello"


@pytest.mark.parametrize("path", ["/proxy", "/proxy/stream"])
async def test_an_authorization_header_must_be_there_whatever_it_says(place: Town, path: str) -> None:
    for headers in ({}, {"authorization": ""}):
        answer = await place.client.post(path, json=CHAT, headers=headers)
        assert answer.status_code == 401
        assert answer.json()["error"] == "Unauthorized"
        assert answer.headers["www-authenticate"] == "Bearer"
    assert (await place.client.post(path, json=CHAT, headers={"authorization": "anything"})).status_code == 200


async def test_its_value_is_judged_when_auth_is_on(tmp_path: Path) -> None:
    async with town(tmp_path, "--key", GATEWAY_KEY) as place:
        wrong = await place.client.post("/proxy", json=CHAT, headers={"authorization": "anything"})
        right = await place.client.post("/proxy", json=CHAT, headers={"authorization": f"Bearer {GATEWAY_KEY}"})
        assert [wrong.status_code, right.status_code] == [401, 200]


@pytest.mark.parametrize("path", ["/proxy", "/proxy/stream"])
@pytest.mark.parametrize(
    ("messages", "field"),
    [
        ([], "messages"),
        (None, "messages"),
        ([{"role": "tool", "content": "x"}], "messages[0].role"),
        ([{"role": "developer", "content": "x"}], "messages[0].role"),
        ([{"role": "user", "content": ""}], "messages[0].content"),
        ([{"role": "user"}], "messages[0].content"),
        ([*SAID, {"role": "assistant", "content": "x"}], "messages[1].role"),
    ],
)
async def test_what_is_wrong_is_named(place: Town, path: str, messages: Any, field: str) -> None:
    answer = await place.client.post(path, json={**CHAT, "messages": messages}, headers=BEARER)
    assert answer.status_code == 400
    assert field in [detail["field"] for detail in answer.json()["details"]]
    assert place.openai.received == []


@pytest.mark.parametrize("path", ["/proxy", "/proxy/stream"])
async def test_an_unknown_model_is_404_with_the_fixed_title(place: Town, path: str) -> None:
    answer = await place.client.post(path, json={**CHAT, "model": "openai:missing"}, headers=BEARER)
    assert answer.status_code == 404
    assert answer.json()["error"] == "Model Not Found"
    assert answer.json()["code"] == "model_not_found"
