"""Each error in the dialect of its path, with its status and an id, and nothing that is nobody's business."""

from pathlib import Path
from typing import Any

import pytest

from gateway import errors
from gateway.api.errors import STATUSES, judge
from tests.gateway.serving import gateway

pytestmark = pytest.mark.anyio


def every_error(kind: type[errors.GatewayError] = errors.GatewayError) -> set[type[errors.GatewayError]]:
    return {kind}.union(*(every_error(child) for child in kind.__subclasses__()))


async def test_every_error_stands_in_the_table_of_statuses() -> None:
    assert every_error() <= set(STATUSES)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (400, 400),
        (404, 404),
        (408, 408),
        (422, 400),
        (429, 429),
        (500, 502),
        (502, 502),
        (503, 503),
        (504, 504),
        (529, 529),
        (302, 502),
        (499, 502),
        (599, 502),
    ],
)
async def test_a_providers_status_is_passed_on_where_it_speaks_of_the_request(given: int, shown: int) -> None:
    assert judge(errors.ProviderError("no", status=given)).status == shown


def is_plain(body: dict[str, Any], title: str, code: str) -> bool:
    return body["error"] == title and body["code"] == code and bool(body["message"]) and bool(body["request_id"])


async def test_an_unknown_path_is_404_in_our_own_shape(tmp_path: Path) -> None:
    async with gateway(tmp_path) as client:
        answer = await client.get("/nowhere")
    assert answer.status_code == 404
    assert is_plain(answer.json(), "Not Found", "not_found")
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


async def test_a_wrong_method_is_405_and_says_which_are_right(tmp_path: Path) -> None:
    async with gateway(tmp_path) as client:
        answer = await client.get("/llm")
    assert answer.status_code == 405
    assert "POST" in answer.headers["allow"]
    assert is_plain(answer.json(), "Method Not Allowed", "method_not_allowed")


async def test_a_known_v1_path_with_a_wrong_method_is_405_in_openais_shape(tmp_path: Path) -> None:
    async with gateway(tmp_path) as client:
        answer = await client.get("/v1/chat/completions")
    assert answer.status_code == 405
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert answer.json()["error"]["message"]


async def test_a_body_that_is_not_json_is_400_invalid_json(tmp_path: Path) -> None:
    async with gateway(tmp_path) as client:
        answer = await client.post("/llm", content=b'{"type": "chat"', headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert is_plain(answer.json(), "Invalid JSON", "invalid_json")


async def test_a_body_over_the_limit_is_413_whether_declared_or_counted(tmp_path: Path) -> None:
    async def pieces() -> Any:
        for _ in range(64):
            yield b" " * 64

    async with gateway(tmp_path, MAX_REQUEST_BYTES="2048") as client:
        declared = await client.post("/llm", content=b" " * 4096, headers={"content-type": "application/json"})
        counted = await client.post("/llm", content=pieces(), headers={"content-type": "application/json"})
        dialect = await client.post(
            "/v1/chat/completions", content=b" " * 4096, headers={"content-type": "application/json"}
        )
        after = await client.get("/health")
    assert declared.status_code == counted.status_code == dialect.status_code == 413
    assert is_plain(declared.json(), "Request Too Large", "request_too_large")
    assert is_plain(counted.json(), "Request Too Large", "request_too_large")
    assert dialect.json()["error"]["code"] == "request_too_large"
    assert after.text == "ok"


async def test_zero_switches_the_body_limit_off(tmp_path: Path) -> None:
    body = b'{"provider": "stub", "type": "chat", "model": "stub", "messages": [{"role": "user", "content": "hi"}]}'
    async with gateway(tmp_path, MAX_REQUEST_BYTES="0") as client:
        answer = await client.post("/llm", content=body + b" " * 100, headers={"content-type": "application/json"})
    assert answer.status_code == 200


async def test_a_body_of_another_content_type_is_415(tmp_path: Path) -> None:
    async with gateway(tmp_path) as client:
        answers = [
            await client.post("/llm", content=b"{}", headers={"content-type": "text/plain"}),
            await client.post("/execute", content=b"{}", headers={"content-type": "text/plain"}),
            await client.post("/execute", content=b"{}"),
        ]
    assert [answer.status_code for answer in answers] == [415, 415, 415]


async def test_every_answer_has_the_callers_request_id_if_it_is_sane(tmp_path: Path) -> None:
    async with gateway(tmp_path) as client:
        sane = await client.get("/health", headers={"x-request-id": "my-id_1.2"})
        wild = await client.get("/nowhere", headers={"x-request-id": "no spaces, please"})
        long = await client.get("/nowhere", headers={"x-request-id": "x" * 129})
    assert sane.headers["x-request-id"] == "my-id_1.2"
    assert wild.headers["x-request-id"] not in ("", "no spaces, please")
    assert len(long.headers["x-request-id"]) < 129


async def test_an_unforeseen_error_says_nothing_of_the_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def explode(*_args: object, **_kwargs: object) -> None:
        raise RuntimeError("the secret of /home/somebody")

    monkeypatch.setattr("gateway.routing.router.Router.chat", explode)
    async with gateway(tmp_path) as client:
        answer = await client.post(
            "/llm", json={"type": "chat", "model": "stub", "messages": [{"role": "user", "content": "hi"}]}
        )
        after = await client.get("/health")
    assert answer.status_code == 500
    assert is_plain(answer.json(), "Internal Server Error", "internal_error")
    assert "secret" not in answer.text
    assert after.text == "ok"


@pytest.mark.parametrize("path", ["/llm", "/health", "/nothing"])
async def test_a_preflight_with_a_body_is_answered_without_a_complaint_in_the_log(
    tmp_path: Path, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with gateway(tmp_path) as client:
        answer = await client.request("OPTIONS", path, json={"a": 1})
        assert (answer.status_code, answer.content) == (204, b"")
        assert (await client.get("/health")).text == "ok"
    assert not [told for told in caplog.records if told.levelname in ("WARNING", "ERROR")]


async def test_a_head_that_is_too_large_is_refused_in_the_dialect_of_its_path(tmp_path: Path) -> None:
    async with gateway(tmp_path) as client:
        long = {"x-long": "a" * 17_000}
        openai = (await client.post("/v1/chat/completions", headers=long)).json()
        anthropic = (await client.post("/v1/messages?beta=true", headers=long)).json()
        ollama = (await client.post("/api/chat", headers=long)).json()
        plain = (await client.post("/llm", headers=long)).json()
        broken = await client.get("/" + "a" * 17_000)
    assert openai["error"]["code"] == "request_too_large"
    assert anthropic["error"]["type"] == "request_too_large"
    assert ollama["error"].startswith("The head of the request")
    assert is_plain(plain, "Request Too Large", "request_too_large")
    assert broken.status_code == 413


async def test_a_head_that_is_too_large_is_said_to_be_the_head(tmp_path: Path) -> None:
    async with gateway(tmp_path) as client:
        answer = await client.get("/v1/models", headers={"x-long": "a" * 17_000})
    assert answer.status_code == 413
    assert "The head of the request is larger than 16384 bytes" in answer.text
    assert "body" not in answer.text


async def test_figures_can_be_asked_for_without_their_body(tmp_path: Path) -> None:
    async with gateway(tmp_path) as client:
        answer = await client.head("/metrics")
    assert answer.status_code == 200
    assert answer.content == b""
