"""How much a model is to think: an effort that nobody knows is refused by the name under which the client gave it."""

import json
from typing import Any

import pytest

from gateway.dialects import anthropic, ollama, openai_chat, openai_responses, unified
from gateway.dialects.base import Parsed
from gateway.errors import InvalidRequest
from gateway.providers import VENDORS
from gateway.providers.base import Chat
from gateway.settings import Kind

MESSAGES = [{"role": "user", "content": "hi"}]
CHAT = {"model": "m", "max_tokens": 4096, "messages": MESSAGES}
ASKED = {"model": "m", "input": "hi"}
DIALECTS: list[tuple[Any, str, Any]] = [
    (openai_chat, "reasoning_effort", lambda effort: {**CHAT, "reasoning_effort": effort}),
    (openai_responses, "reasoning.effort", lambda effort: {**ASKED, "reasoning": {"effort": effort}}),
    (anthropic, "output_config.effort", lambda effort: {**CHAT, "output_config": {"effort": effort}}),
    (ollama, "think", lambda effort: {"model": "m", "messages": MESSAGES, "think": effort}),
    (
        unified,
        "options.reasoning_effort",
        lambda effort: {"type": "chat", "model": "m", "messages": MESSAGES, "options": {"reasoning_effort": effort}},
    ),
]
every_dialect = pytest.mark.parametrize(
    ("dialect", "field", "body"), DIALECTS, ids=["openai chat", "responses", "anthropic", "ollama", "llm"]
)
MODELS: dict[Kind, tuple[str, ...]] = {
    "anthropic": ("claude-sonnet-4-5", "claude-opus-5"),
    "gemini": ("gemini-2.5-flash", "gemini-3-pro"),
    "ollama": ("llama3:8b",),
}


def ask(dialect: Any, body: dict[str, Any], kind: Kind, model: str) -> dict[str, Any]:
    parsed = dialect.parse(json.dumps({**body, "model": model}).encode())
    assert isinstance(parsed, Parsed)
    vendor = VENDORS[kind]
    assert isinstance(vendor, Chat)
    written: dict[str, Any] = json.loads(vendor.chat_request(parsed.chat).body)
    return written


@every_dialect
@pytest.mark.parametrize("kind", MODELS)
def test_an_effort_that_has_to_be_translated_and_is_unknown_is_refused(
    dialect: Any, field: str, body: Any, kind: Kind
) -> None:
    for model in MODELS[kind]:
        with pytest.raises(InvalidRequest) as refused:
            ask(dialect, body("zzz"), kind, model)
        assert [detail.field for detail in refused.value.details] == [field]


@every_dialect
@pytest.mark.parametrize("kind", ["openai", "openai-compatible", "lmstudio"])
def test_a_provider_that_has_the_option_judges_it_itself(dialect: Any, field: str, body: Any, kind: Kind) -> None:
    written = ask(dialect, body("zzz"), kind, "o5")
    assert "zzz" in (written.get("reasoning_effort"), written.get("think")), field


@every_dialect
@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("effort", ["minimal", "low", "medium", "high", "xhigh", "max"])
def test_every_known_effort_makes_every_provider_think(
    dialect: Any, field: str, body: Any, kind: Kind, effort: str
) -> None:
    for model in MODELS[kind]:
        written = json.dumps(ask(dialect, body(effort), kind, model))
        assert '"think' in written, (field, written)
