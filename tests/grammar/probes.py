"""What is asked of a gateway to see its streams: a request of each dialect, and the checker of what comes back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tests.grammar.anthropic import check_anthropic
from tests.grammar.ollama import check_ollama
from tests.grammar.openai_chat import check_openai_chat
from tests.grammar.openai_responses import check_openai_responses

WISHES = ("text", "tools", "thought")
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "degrees": {"type": "integer"}},
    "required": ["city", "degrees"],
}
FUNCTION = {"name": "weather", "description": "Tells the weather of a city", "parameters": PARAMETERS}


@dataclass(frozen=True)
class Probe:
    """One dialect: where it is asked, what is asked (for a model, a text and a wish), and how to judge the stream."""

    name: str
    path: str
    write: Callable[[str, str, str], dict[str, Any]]
    check: Callable[[bytes], list[str]]
    headers: Mapping[str, str] = field(default_factory=dict)


def _chat(model: str, said: str, wish: str, *, usage: bool) -> dict[str, Any]:
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": said}], "stream": True}
    if usage:
        body["stream_options"] = {"include_usage": True}
    if wish == "tools":
        body |= {"tools": [{"type": "function", "function": FUNCTION}], "tool_choice": "required"}
    return body | ({"reasoning_effort": "low"} if wish == "thought" else {})


def _response(model: str, said: str, wish: str) -> dict[str, Any]:
    body: dict[str, Any] = {"model": model, "input": said, "stream": True}
    if wish == "tools":
        body |= {"tools": [{"type": "function", "strict": False, **FUNCTION}], "tool_choice": "required"}
    return body | ({"reasoning": {"effort": "low", "summary": "auto"}} if wish == "thought" else {})


def _message(model: str, said: str, wish: str) -> dict[str, Any]:
    body: dict[str, Any] = {"model": model, "max_tokens": 2048, "stream": True}
    body["messages"] = [{"role": "user", "content": said}]
    if wish == "tools":
        tool = {"name": "weather", "input_schema": PARAMETERS}
        body |= {"tools": [tool], "tool_choice": {"type": "any"}}
    return body | ({"thinking": {"type": "enabled", "budget_tokens": 1024}} if wish == "thought" else {})


def _ollama(model: str, said: str, wish: str) -> dict[str, Any]:
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": said}]}
    if wish == "tools":
        body["tools"] = [{"type": "function", "function": FUNCTION}]
    return body | ({"think": True} if wish == "thought" else {})


def _generate(model: str, said: str, wish: str) -> dict[str, Any]:
    return {"model": model, "prompt": said, **({"think": True} if wish == "thought" else {})}


def make_probes(prefix: str = "/api") -> tuple[Probe, ...]:
    """Give the probes of all dialects; `prefix` is where Ollama's API is."""
    version = {"anthropic-version": "2023-06-01"}
    return (
        Probe("openai chat", "/v1/chat/completions", partial(_chat, usage=False), check_openai_chat),
        Probe(
            "openai chat with usage",
            "/v1/chat/completions",
            partial(_chat, usage=True),
            partial(check_openai_chat, include_usage=True),
        ),
        Probe("openai responses", "/v1/responses", _response, check_openai_responses),
        Probe("anthropic messages", "/v1/messages", _message, check_anthropic, version),
        Probe("ollama chat", f"{prefix}/chat", _ollama, check_ollama),
        Probe("ollama generate", f"{prefix}/generate", _generate, partial(check_ollama, generate=True)),
    )
