"""API.md from outside: which paths answer, to which methods, and in which dialect they refuse a body."""

import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.gateway.serving import Town, town

pytestmark = pytest.mark.anyio

CHAT = {"model": "stub:stub", "max_tokens": 20, "messages": [{"role": "user", "content": "Hello"}]}
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def served(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    async with town(tmp_path_factory.mktemp("town")) as place:
        await place.settle()
        yield place


@pytest.fixture
def place(served: Town) -> Town:
    served.clear()
    return served


def says_what_is_wrong(path: str, body: Any) -> bool:
    """Whether an error has the shape that API.md 2 gives it on this path."""
    if path.startswith("/v1/messages"):
        return body["type"] == "error" and {"type", "message"} <= body["error"].keys() and bool(body["request_id"])
    if path.startswith("/v1/"):
        return {"message", "type", "param", "code", "request_id"} <= body["error"].keys()
    if path in ("/api/chat", "/api/generate", "/api/embed"):
        return isinstance(body["error"], str)
    return {"error", "message", "code", "request_id"} <= body.keys() and isinstance(body["error"], str)


# --- slashes at the end ---


@pytest.mark.parametrize(
    "path", ["/v1/chat/completions/", "/v1/completions/", "/v1/messages/", "/proxy/", "/api/chat/"]
)
async def test_a_slash_at_the_end_of_a_known_path_changes_nothing(place: Town, path: str) -> None:
    body = {**CHAT, "prompt": "Hello"} if "completions" in path else CHAT
    answer = await place.client.post(path, json=body, headers={"authorization": "Bearer any"})
    assert answer.status_code == 200
    assert all(not fake.received for fake in place.fakes.values())


async def test_a_known_path_with_a_slash_still_wants_its_method_and_json(place: Town) -> None:
    wrong_method = await place.client.get("/v1/chat/completions/")
    assert wrong_method.status_code == 405
    assert wrong_method.headers["allow"] == "POST"
    wrong_type = await place.client.post("/v1/messages/", content=b"{}", headers={"content-type": "text/plain"})
    assert wrong_type.status_code == 415
    assert says_what_is_wrong("/v1/messages", wrong_type.json())
    assert all(not fake.received for fake in place.fakes.values())


@pytest.mark.parametrize("path", ["/v1/models/", "/models/"])
async def test_the_list_of_models_may_be_asked_for_with_a_slash(place: Town, path: str) -> None:
    answer = await place.client.get(path)
    assert answer.json() == (await place.client.get("/v1/models")).json()
    one = await place.client.get(f"{path}stub:stub/")
    assert one.json()["id"] == "stub:stub"


async def test_a_slash_at_the_end_of_an_unknown_path_goes_through(place: Town) -> None:
    await place.client.get("/v1/something/")
    assert place.fakes["lmstudio"].last.path == "/v1/something/"


# --- HEAD ---


@pytest.mark.parametrize("path", ["/lmstudio/v1/models", "/v1/something"])
async def test_a_head_passes_through_without_a_fault(place: Town, path: str, caplog: pytest.LogCaptureFixture) -> None:
    place.fakes["lmstudio"].fail(200, b"", {"content-length": "77", "x-told": "yes"})
    with caplog.at_level(logging.WARNING):
        answer = await place.client.head(path)
        again = await place.client.get("/health")
    assert (answer.status_code, answer.headers["content-length"], answer.headers["x-told"]) == (200, "77", "yes")
    assert again.text == "ok"
    assert [record.getMessage() for record in caplog.records if record.name.startswith("sanic")] == []


async def test_a_described_head_is_an_answer_without_a_body(place: Town) -> None:
    place.fakes["lmstudio"].fail(200, b"", {"content-length": "77", "x-told": "yes"})
    call = {"provider": "lmstudio", "method": "HEAD", "path": "/v1/models"}
    answer = await place.client.post("/api/passthrough", json=call)
    assert (answer.status_code, answer.content, answer.headers["x-told"]) == (200, b"", "yes")
    assert place.fakes["lmstudio"].last.method == "HEAD"


@pytest.mark.parametrize("path", ["/execute/limits", "/executions"])
async def test_what_can_be_got_of_the_executor_has_a_head(place: Town, path: str) -> None:
    assert (await place.client.head(path)).status_code == (await place.client.get(path)).status_code == 503


# --- bodies ---

POSTED = (
    "/llm", "/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses", "/v1/messages",
    "/v1/messages/count_tokens", "/api/chat", "/api/generate", "/api/embed", "/api/conversation_with_model",
    "/api/passthrough", "/proxy",
)  # fmt: skip
NOT_JSON = {
    "empty": b"",
    "cut short": b"{",
    "not a number": b'{"model": NaN}',
    "half a character": b'{"model": "\\ud800"}',
    "a key twice": b'{"model": "a", "model": "b"}',
    "too deep": b'{"model": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    "a byte order mark": b"\xef\xbb\xbf{}",
}


@pytest.mark.parametrize("kind", NOT_JSON)
async def test_what_is_not_json_is_400_in_the_dialect_of_the_path(place: Town, kind: str) -> None:
    for path in POSTED:
        headers = {**JSON, "authorization": "Bearer any"}
        answer = await place.client.post(path, content=NOT_JSON[kind], headers=headers)
        assert answer.status_code == 400, path
        assert says_what_is_wrong(path, answer.json()), path
        assert "not valid JSON" in answer.text, path


@pytest.mark.parametrize("given", [[], None, "text", 5, True])
async def test_json_that_is_no_object_is_400(place: Town, given: Any) -> None:
    for path in POSTED:
        headers = {**JSON, "authorization": "Bearer any"}
        answer = await place.client.post(path, content=json.dumps(given), headers=headers)
        assert answer.status_code == 400, path
        assert says_what_is_wrong(path, answer.json()), path


@pytest.mark.parametrize("given", [None, "", 5, ["stub"], {"a": 1}])
async def test_a_model_that_is_no_name_is_400_and_named(place: Town, given: Any) -> None:
    for path in ("/llm", "/v1/chat/completions", "/v1/responses", "/v1/messages", "/api/chat", "/proxy"):
        body = {**CHAT, "type": "chat", "input": "Hello", "model": given}
        answer = await place.client.post(path, json=body, headers={"authorization": "Bearer any"})
        assert answer.status_code == 400, path
        assert says_what_is_wrong(path, answer.json()), path
        assert "model" in answer.text, path


async def test_an_empty_body_to_execute_is_not_json(place: Town) -> None:
    answer = await place.client.post("/execute", content=b"", headers=JSON)
    assert answer.status_code == 400
    assert (answer.json()["error"], answer.json()["code"]) == ("Invalid JSON", "invalid_json")


async def test_every_refusal_has_a_request_id_of_its_own_or_the_callers(place: Town) -> None:
    for path in (*POSTED, "/execute", "/nowhere"):
        answer = await place.client.post(path, content=b"{", headers={**JSON, "x-request-id": "mine-1"})
        assert answer.headers["x-request-id"] == "mine-1"
        assert "mine-1" in answer.text
        strange = await place.client.post(path, content=b"{", headers={**JSON, "x-request-id": "not sane"})
        assert strange.headers["x-request-id"] not in ("", "not sane")
