"""What a provider cannot take is named in the warnings, whichever provider it is."""

from typing import Any

import pytest

from gateway.messages.chat import ChatRequest, Message, Options, ReasoningPart, TextPart, Tool
from gateway.providers import VENDORS
from gateway.providers.base import Chat
from gateway.settings import Kind
from tests.gateway.providers.exchange import WEATHER, user

KINDS: tuple[Kind, ...] = ("openai", "openai-compatible", "lmstudio", "anthropic", "gemini", "ollama")


def asked(kind: Kind, *messages: Message, **options: Any) -> tuple[str, list[str]]:
    vendor = VENDORS[kind]
    assert isinstance(vendor, Chat)
    request = vendor.chat_request(ChatRequest(model="m", messages=messages, options=Options(**options)))
    return request.body.decode(), [warning.partition(":")[0] for warning in request.warnings]


@pytest.mark.parametrize("kind", KINDS)
def test_a_schema_that_has_to_be_kept_to_is_sent_or_named(kind: Kind):
    body, warnings = asked(kind, user("hi"), tools=(Tool(name="f", strict=True),))
    assert ('"strict":true' in body) != ("strict of a tool" in warnings)
    assert asked(kind, user("hi"), tools=(WEATHER, Tool(name="f", strict=False)))[1] == []


@pytest.mark.parametrize("kind", KINDS)
def test_reasoning_that_only_another_can_read_is_named(kind: Kind):
    hidden = Message(role="assistant", content=(ReasoningPart(redacted="eA=="), TextPart(text="hi")))
    body, warnings = asked(kind, user("hi"), hidden, user("go on"))
    assert ("eA==" in body) == (kind == "anthropic")
    assert any("reasoning of earlier turns" in warning for warning in warnings) == (kind != "anthropic")
