"""Each family of paths: how it is asked, and what its errors look like."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

SAID = [{"role": "user", "content": "hello"}]


@dataclass(frozen=True)
class Family:
    """One path, the body that asks `model` there, and the check of its errors (message, code)."""

    path: str
    write: Callable[[str], dict[str, Any]]
    read_error: Callable[[httpx.Response], tuple[str, str | None]]


def openai_error(answer: httpx.Response) -> tuple[str, str | None]:
    error = answer.json()["error"]
    assert {"message", "type", "param", "code", "request_id"} <= set(error)
    assert error["request_id"] == answer.headers["x-request-id"]
    return error["message"], error["code"]


def anthropic_error(answer: httpx.Response) -> tuple[str, str | None]:
    body = answer.json()
    assert set(body) == {"type", "error", "request_id"}
    assert body["type"] == "error"
    assert set(body["error"]) == {"type", "message"}
    assert body["request_id"] == answer.headers["x-request-id"] == answer.headers["request-id"]
    return body["error"]["message"], None


def ollama_error(answer: httpx.Response) -> tuple[str, str | None]:
    body = answer.json()
    assert isinstance(body["error"], str)
    assert body["request_id"] == answer.headers["x-request-id"]
    return body["error"], body["code"]


def plain_error(answer: httpx.Response) -> tuple[str, str | None]:
    body = answer.json()
    assert {"error", "message", "code", "request_id"} <= set(body)
    assert body["request_id"] == answer.headers["x-request-id"]
    return body["message"], body["code"]


FAMILIES = {
    "chat": Family("/v1/chat/completions", lambda model: {"model": model, "messages": SAID}, openai_error),
    "chat without /v1": Family("/chat/completions", lambda model: {"model": model, "messages": SAID}, openai_error),
    "completions": Family("/v1/completions", lambda model: {"model": model, "prompt": "hello"}, openai_error),
    "two completions": Family("/v1/completions", lambda model: {"model": model, "prompt": ["a", "b"]}, openai_error),
    "responses": Family("/v1/responses", lambda model: {"model": model, "input": "hello"}, openai_error),
    "embeddings": Family("/v1/embeddings", lambda model: {"model": model, "input": "hello"}, openai_error),
    "messages": Family(
        "/v1/messages", lambda model: {"model": model, "max_tokens": 100, "messages": SAID}, anthropic_error
    ),
    "ollama chat": Family("/api/chat", lambda model: {"model": model, "messages": SAID, "stream": False}, ollama_error),
    "ollama generate": Family(
        "/api/generate", lambda model: {"model": model, "prompt": "hello", "stream": False}, ollama_error
    ),
    "ollama embed": Family("/api/embed", lambda model: {"model": model, "input": "hello"}, ollama_error),
    "conversation": Family(
        "/api/conversation_with_model",
        lambda model: {"model_name": model, "user_last_statement": "hello", "stream": False},
        plain_error,
    ),
    "proxy": Family("/proxy", lambda model: {"model": model, "messages": SAID}, plain_error),
    "llm": Family("/llm", lambda model: {"type": "chat", "model": model, "messages": SAID}, plain_error),
}
BEARER = {"authorization": "nobody"}
"""`/proxy` wants some Authorization; this one is no key of anybody's."""


def read_events(text: str) -> list[Any]:
    """The payloads of a text/event-stream; the end mark as it is."""
    data = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    return [entry if entry == "[DONE]" else json.loads(entry) for entry in data]


def read_lines(text: str) -> list[Any]:
    """The objects of an NDJSON stream."""
    return [json.loads(line) for line in text.splitlines()]
