"""The case table: what a provider says of a failure, and what of it reaches the client (API.md 2, 3.8 and 6)."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.fakes.misbehaving import OK, Peer, misbehaving
from tests.gateway.serving import Town, gateway, town

pytestmark = pytest.mark.anyio

THEIRS = {"x-request-id": "req_theirs", "retry-after": "9"}


class Case(NamedTuple):
    """One failure: who says it and how, and what a client of OpenAI's dialect is to see."""

    provider: str
    status: int
    body: Any
    seen: int
    code: str | None
    kind: str
    param: str | None
    message: str


def said(message: str, kind: str | None, param: str | None, code: str | int | None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def gemini(code: int, status: str, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "status": status}}


def anthropic(kind: str, message: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_theirs"}


SILENT = "the provider answered with status {} and no explanation"
INVALID, SERVER, LIMIT = "invalid_request_error", "server_error", "rate_limit_error"
CASES = (
    # OpenAI's own shape, all of it kept
    Case("openai", 400, said("Too long.", INVALID, "messages", "context_length_exceeded"), 400,
         "context_length_exceeded", INVALID, "messages", "Too long."),
    Case("openai", 429, said("Slow down.", "tokens", None, "rate_limit_exceeded"), 429,
         "rate_limit_exceeded", "tokens", None, "Slow down."),
    Case("openai", 429, said("Pay first.", "insufficient_quota", None, "insufficient_quota"), 429,
         "insufficient_quota", "insufficient_quota", None, "Pay first."),
    Case("openai", 402, said("Pay first.", None, None, None), 402, "upstream_error", INVALID, None, "Pay first."),
    Case("openai", 404, said("No such thing.", INVALID, None, None), 404, "upstream_error", INVALID, None,
         "No such thing."),
    Case("openai", 404, said("The model `x` does not exist.", INVALID, None, "model_not_found"), 404,
         "model_not_found", INVALID, None, "The model `x` does not exist."),
    Case("openai", 404, said("The model `x` does not exist.", "gone", "model", "model_not_found"), 404,
         "model_not_found", "gone", "model", "The model `x` does not exist."),
    Case("openai", 409, said("Conflict.", INVALID, None, "conflict"), 409, "conflict", INVALID, None, "Conflict."),
    Case("openai", 413, said("Too large.", INVALID, None, None), 413, "upstream_error", INVALID, None, "Too large."),
    Case("openai", 422, said("Cannot.", INVALID, "stop", None), 400, "upstream_error", INVALID, "stop", "Cannot."),
    Case("openai", 500, said("Ours.", SERVER, None, "boom"), 502, "boom", SERVER, None, "Ours."),
    Case("openai", 502, said("Ours.", SERVER, None, None), 502, "upstream_error", SERVER, None, "Ours."),
    Case("openai", 503, said("Busy.", SERVER, None, None), 503, "upstream_error", SERVER, None, "Busy."),
    Case("openai", 504, said("Late.", SERVER, None, None), 504, "upstream_error", SERVER, None, "Late."),
    Case("openai", 529, said("Full.", "overloaded", None, None), 529, "upstream_error", "overloaded", None, "Full."),
    Case("openai", 401, said("Wrong key sk-abcdefghij0123.", INVALID, None, "invalid_api_key"), 502,
         "upstream_credentials_refused", SERVER, None, "the provider refused the credentials"),
    Case("openai", 403, said("Not you.", INVALID, None, None), 502,
         "upstream_credentials_refused", SERVER, None, "the provider refused the credentials"),
    # what imitations of it send
    Case("compat", 400, {"error": "Bad thing."}, 400, "upstream_error", INVALID, None, "Bad thing."),
    Case("compat", 400, {"object": "error", "message": "vLLM.", "type": "BadRequestError", "param": "n", "code": 400},
         400, "400", "BadRequestError", "n", "vLLM."),
    Case("compat", 400, {"detail": "FastAPI."}, 400, "upstream_error", INVALID, None, "FastAPI."),
    Case("compat", 400, [said("In a list.", INVALID, None, "odd")], 400, "odd", INVALID, None, "In a list."),
    Case("compat", 400, b"<html>nginx</html>", 400, "upstream_error", INVALID, None, SILENT.format(400)),
    Case("compat", 400, b"  <!doctype html>", 400, "upstream_error", INVALID, None, SILENT.format(400)),
    Case("compat", 500, b"Traceback (most recent call last):\n  File x", 502, "upstream_error", SERVER, None,
         SILENT.format(500)),
    Case("compat", 413, b"Too much of it,\nsays http://10.0.0.7:80/x to sk-abcdefgh12345678\n", 413, "upstream_error",
         INVALID, None, "Too much of it,\nsays (address left out) to …"),
    Case("anthropic", 502, b"upstream connect error", 502, "upstream_error", SERVER, None, "upstream connect error"),
    Case("gemini", 503, b"not now", 503, "upstream_error", SERVER, None, "not now"),
    Case("ollama", 400, b"bad request: no model", 400, "upstream_error", INVALID, None, "bad request: no model"),
    Case("compat", 400, b"", 400, "upstream_error", INVALID, None, SILENT.format(400)),
    Case("compat", 418, said("A teapot.", None, None, None), 418, "upstream_error", INVALID, None, "A teapot."),
    Case("compat", 503, b"\xff\xfe", 503, "upstream_error", SERVER, None, SILENT.format(503)),
    Case("compat", 599, b"{}", 502, "upstream_error", SERVER, None, SILENT.format(599)),
    Case("compat", 200, said("Late news.", SERVER, None, None), 502, "upstream_error", SERVER, None, "Late news."),
    Case("compat", 200, said("Late limit.", LIMIT, None, 429), 429, "429", LIMIT, None, "Late limit."),
    # the other vendors' shapes
    Case("anthropic", 400, anthropic(INVALID, "No."), 400, "upstream_error", INVALID, None, "No."),
    Case("anthropic", 429, anthropic(LIMIT, "Slow."), 429, "upstream_error", LIMIT, None, "Slow."),
    Case("anthropic", 529, anthropic("overloaded_error", "Full."), 529, "upstream_error", "overloaded_error", None,
         "Full."),
    Case("anthropic", 404, anthropic("not_found_error", "model: x"), 404, "model_not_found",
         "not_found_error", None, "model: x"),
    Case("gemini", 429, gemini(429, "RESOURCE_EXHAUSTED", "Slow."), 429, "RESOURCE_EXHAUSTED", "RESOURCE_EXHAUSTED",
         None, "Slow."),
    Case("gemini", 503, gemini(503, "UNAVAILABLE", "Full."), 503, "UNAVAILABLE", "UNAVAILABLE", None, "Full."),
    Case("ollama", 400, {"error": "no."}, 400, "upstream_error", INVALID, None, "no."),
    Case("ollama", 404, {"error": "model 'x' not found"}, 404, "model_not_found", INVALID, None, "model 'x' not found"),
)  # fmt: skip


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Town]:
    async with town(tmp_path_factory.mktemp("town")) as place:
        await place.settle()
        yield place


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.provider}-{case.status}-{case.message[:20]}")
async def test_what_a_provider_says_of_a_failure_reaches_the_client(place: Town, case: Case, stream: bool) -> None:
    place.clear()
    place.fakes[case.provider].fail(case.status, case.body, THEIRS)
    body = {"model": f"{case.provider}:m", "messages": [{"role": "user", "content": "hello"}], "stream": stream}
    answer = await place.client.post("/v1/chat/completions", json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["type"], error["param"]) == (
        case.seen, case.code, case.kind, case.param,
    )  # fmt: skip
    assert case.message in error["message"]
    assert "sk-abc" not in answer.text
    if case.status != 200:
        assert answer.headers["x-provider-request-id"] == "req_theirs"
        assert answer.headers["retry-after"] == "9"
    assert error["request_id"] == answer.headers["x-request-id"] != "req_theirs"


async def test_a_failure_in_mid_stream_is_its_last_event(tmp_path: Path) -> None:
    chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    begun = {**chunk, "choices": [{"index": 0, "delta": {"role": "assistant", "content": "hel"}}]}
    broken = said("It broke at http://10.0.0.1/v1.", SERVER, None, "broken")

    async def break_off(peer: Peer) -> None:
        await peer.request()
        head = OK + b"content-type: text/event-stream\r\n\r\n"
        await peer.send(head, *(b"data: " + json.dumps(event).encode() + b"\n\n" for event in (begun, broken)))

    async with misbehaving(break_off) as server, gateway(tmp_path, OPENAI_COMPAT_BASE_URL=f"{server.url}/v1") as client:
        for path, more in (("/v1/chat/completions", {}), ("/llm", {"type": "chat"})):
            body = {"model": "compat:m", "messages": [{"role": "user", "content": "hello"}], "stream": True, **more}
            answer = await client.post(path, json=body)
            assert answer.status_code == 200
            last = json.loads(answer.text.strip().split("\n\n")[-1].removeprefix("data: "))
            said_of_it = last["error"]["message"] if path != "/llm" else last["message"]
            code = last["error"]["code"] if path != "/llm" else last["code"]
            assert code == "broken"
            assert "It broke at" in said_of_it
            assert "10.0.0.1" not in answer.text
            assert "[DONE]" not in answer.text
