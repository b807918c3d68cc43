"""The stub: a provider inside this process that needs no key and no network, and always answers the same.

It is what answers until a provider is configured, what placeholder mode puts in every provider's place, and a test
double for users. It speaks OpenAI's wire format: chat whole and streamed, tools, structured output, images,
reasoning, `n`, `stop`, `max_tokens`, embeddings, models. Any model id is answered. Those that do something of
their own:

    stub                    says back what it was told
    stub-tools              calls the first tool, with arguments made from its schema; after a result, tells it
    stub-reasoning          thinks before it answers (others do when asked with reasoning_effort, thinking or think)
    stub-slow               waits 100 ms before each chunk
    stub-cut                streams end after two chunks, without a finish; whole answers hold nothing usable
    stub-error              refuses with status 500
    stub-error-<status>     refuses with that status; 429, 503 and 529 carry `Retry-After: 1`
    stub-error-midstream    streams fail after two chunks; whole answers are refused with status 500

An option `stub` tells any model what to do: `{"delay_ms": 50, "reply": "text", "reasoning": "text",
"error": {"status": 429, "message": "text", "retry_after": 2}, "fail_after": 3, "cut_after": 3}`; the last two count
chunks. Tools are also called when `tool_choice` asks for it.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any
from zlib import crc32

import httpx
import msgspec

from gateway.providers import lenient, stub_answers
from gateway.providers.openai_body import Profile
from gateway.providers.openai_compatible import OpenAICompatible
from gateway.providers.stub_answers import StubError

VENDOR = OpenAICompatible(Profile(name="stub"))

MAX_DELAY_MS = 10_000
_KINDS = {400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}


class StubTransport(httpx.AsyncBaseTransport):
    """Answers requests for `…/chat/completions`, `…/embeddings` and `…/models` without a socket."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        path = request.url.path.rstrip("/")
        try:
            if path.endswith("/chat/completions"):
                return await _chat(_body(await request.aread()))
            if path.endswith("/embeddings"):
                body = _body(await request.aread())
                _refuse_if_told(body)
                return _json(stub_answers.embeddings(body))
            if path.endswith("/models"):
                return _json({"object": "list", "data": [_model(name) for name in stub_answers.MODELS]})
            if "/models/" in path:
                return _json(_model(path.partition("/models/")[2]))
            raise StubError(404, "the stub provider has no such path", code="not_found")
        except StubError as refusal:
            return _refused(refusal)


class _Chunks(httpx.AsyncByteStream):
    """The bytes of a streamed answer, with a pause before each chunk."""

    def __init__(self, chunks: list[bytes], delay: float) -> None:
        self._chunks = chunks
        self._delay = delay

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            # A pause of none still lets others run, so that chunks come one by one.
            await asyncio.sleep(self._delay)
            yield chunk


async def _chat(body: dict[str, Any]) -> httpx.Response:
    _refuse_if_told(body)
    identity = f"chatcmpl-stub-{crc32(msgspec.json.encode(body)):08x}"
    created, delay = int(time.time()), _delay(body)
    if body.get("stream") is True:
        events = _with_failure(body, [_event(chunk) for chunk in stub_answers.chunks(body, identity, created)])
        headers = {"content-type": "text/event-stream"}
        return httpx.Response(200, headers=headers, stream=_Chunks(events, delay))
    if delay:
        await asyncio.sleep(delay * len(stub_answers.chunks(body, identity, created)))
    if _told(body, "fail_after", "stub-error-midstream") is not None:
        raise StubError(500, "the stub provider was told to fail")
    if _told(body, "cut_after", "stub-cut") is not None:
        return _json({"choices": []})
    return _json(stub_answers.whole(body, identity, created))


def _with_failure(body: dict[str, Any], events: list[bytes]) -> list[bytes]:
    fail_after = _told(body, "fail_after", "stub-error-midstream")
    if fail_after is not None:
        error = _error_body(StubError(500, "the stub provider was told to fail here"))
        return [*events[:fail_after], _event(error)]
    cut_after = _told(body, "cut_after", "stub-cut")
    return [*events, b"data: [DONE]\n\n"] if cut_after is None else events[:cut_after]


def _told(body: dict[str, Any], option: str, model: str) -> int | None:
    """Give the number of chunks before something goes wrong, None when nothing is to."""
    told = lenient.integer(lenient.mapping(body.get("stub")).get(option))
    if told is not None:
        return max(told, 0)
    # The first chunk says only that an answer begins.
    return 3 if body.get("model") == model else None


def _delay(body: dict[str, Any]) -> float:
    told = lenient.mapping(body.get("stub")).get("delay_ms")
    if isinstance(told, int | float):
        return min(max(told, 0), MAX_DELAY_MS) / 1000
    return 0.1 if body.get("model") == "stub-slow" else 0.0


def _refuse_if_told(body: dict[str, Any]) -> None:
    told = lenient.mapping(body.get("stub")).get("error")
    if isinstance(told, dict):
        after = told.get("retry_after")
        raise StubError(
            _error_status(told.get("status")),
            lenient.text(told.get("message")) or "the stub provider was told to fail",
            code=lenient.text_or_none(told.get("code")),
            param=lenient.text_or_none(told.get("param")),
            retry_after=after if isinstance(after, int | float) else None,
        )
    model = lenient.text(body.get("model"))
    number = model.removeprefix("stub-error").lstrip("-")
    if model == "stub-error" or (model.startswith("stub-error-") and number.isdecimal()):
        status = _error_status(int(number or 500))
        raise StubError(
            status,
            f"the stub provider was told to fail with status {status}",
            retry_after=1 if status in {429, 503, 529} else None,
        )


def _error_status(status: Any) -> int:
    return status if isinstance(status, int) and 400 <= status < 600 else 500


def _body(data: bytes) -> dict[str, Any]:
    body = lenient.parse_or_none(data)
    if not isinstance(body, dict):
        raise StubError(400, "the body is not a JSON object")
    if not lenient.text(body.get("model")):
        raise StubError(400, "model must be the name of a model", param="model")
    return body


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "stub"}


def _json(body: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> httpx.Response:
    all_headers = {"content-type": "application/json", **(headers or {})}
    return httpx.Response(status, headers=all_headers, content=msgspec.json.encode(body))


def _refused(refusal: StubError) -> httpx.Response:
    headers = {} if refusal.retry_after is None else {"retry-after": f"{refusal.retry_after:g}"}
    return _json(_error_body(refusal), refusal.status, headers)


def _error_body(refusal: StubError) -> dict[str, Any]:
    kind = _KINDS.get(refusal.status, "invalid_request_error" if refusal.status < 500 else "server_error")
    error = {"message": refusal.message, "type": kind, "param": refusal.param, "code": refusal.code}
    return {"error": error}


def _event(chunk: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(chunk) + b"\n\n"
