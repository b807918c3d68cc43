"""The proof that Gemini gives with a text: it comes back through every dialect with a place for it, and to no other."""

import json
from types import ModuleType
from typing import Any

import msgspec
import pytest

from gateway.dialects import anthropic, openai_chat, openai_responses, unified
from gateway.dialects.base import Head
from gateway.messages.chat import ChatRequest, Message, ReasoningPart, TextPart
from gateway.providers import VENDORS, proofs
from gateway.providers.base import Chat
from gateway.providers.gemini import VENDOR as GEMINI
from gateway.settings import Kind
from tests.gateway.providers.exchange import decode, heard, user

HEAD = Head(id="0123", created=1_700_000_000, model="m", provider="gemini")
QUESTION = {"role": "user", "content": "hi"}


def sent(*parts: dict[str, Any], reason: str | None = "STOP") -> bytes:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
    if reason:
        candidate["finishReason"] = reason
    return json.dumps({"candidates": [candidate], "modelVersion": "m"}).encode()


def written(kind: Kind, *messages: Message) -> tuple[Any, tuple[str, ...]]:
    vendor = VENDORS[kind]
    assert isinstance(vendor, Chat)
    request = vendor.chat_request(ChatRequest(model="claude-sonnet-4-5", messages=messages))
    return json.loads(request.body), request.warnings


def turn_of_gemini(message: Message) -> list[dict[str, Any]]:
    body, _ = written("gemini", user("hi"), message)
    parts: list[dict[str, Any]] = body["contents"][1]["parts"]
    return parts


def handed_back(dialect: ModuleType, reply: Any) -> Message:
    """What the dialect reads when a client hands back the answer as it got it."""
    asked: dict[str, Any] = {"model": "m", "messages": [QUESTION], "max_tokens": 9, "type": "chat"}
    if dialect is openai_responses:
        asked = {"model": "m", "input": [QUESTION]}
    answer = msgspec.to_builtins(dialect.write_reply(dialect.parse(json.dumps(asked).encode()), reply, HEAD))
    match dialect.__name__.rpartition(".")[2]:
        case "openai_chat":
            asked["messages"].append(answer["choices"][0]["message"])
        case "anthropic":
            asked["messages"].append({"role": "assistant", "content": answer["content"]})
        case "openai_responses":
            asked["input"] += answer["output"]
        case "unified":
            asked["messages"].append(answer)
    message: Message = dialect.parse(json.dumps(asked).encode()).chat.messages[-1]
    return message


@pytest.mark.parametrize("dialect", [openai_chat, anthropic, openai_responses, unified], ids=lambda d: d.__name__)
@pytest.mark.parametrize("thought", ["", "Hm."], ids=["silent", "thinking"])
def test_the_proof_of_a_text_comes_back_to_gemini_through_the_dialect(dialect: ModuleType, thought: str):
    thinking = [{"text": thought, "thought": True}] if thought else []
    reply = GEMINI.chat_reply(sent(*thinking, {"text": "Hello", "thoughtSignature": "c2ln"}))
    assert reply.choices[0].message.text == "Hello"
    assert reply.choices[0].reasoning == thought
    assert turn_of_gemini(handed_back(dialect, reply)) == [{"text": "Hello", "thoughtSignature": "c2ln"}]


def test_a_stream_gives_the_proof_that_comes_with_its_last_and_empty_text():
    chunks = [
        sent({"text": "Hel"}, reason=None),
        sent({"text": "lo"}, reason=None),
        sent({"text": "", "thoughtSignature": "c2ln"}),
    ]
    events = decode(GEMINI, [b"data: " + chunk + b"\n\n" for chunk in chunks])
    message = heard(events).message
    assert message.text == "Hello"
    assert turn_of_gemini(message) == [{"text": "Hello", "thoughtSignature": "c2ln"}]
    encoder = anthropic.events(
        anthropic.parse(json.dumps({"model": "m", "max_tokens": 9, "messages": [QUESTION]}).encode()), HEAD
    )
    frames = b"".join(frame for event in events for frame in encoder.encode(event)) + b"".join(encoder.finish())
    assert b'"signature":"gemini:c2ln"' in frames


def test_several_proofs_of_a_turn_all_go_back():
    proofs_ = [ReasoningPart(signature=proofs.mark_gemini(name)) for name in ("a", "b")]
    message = Message(role="assistant", content=(proofs_[0], TextPart(text="Hello"), proofs_[1]))
    assert turn_of_gemini(message) == [
        {"text": "", "thoughtSignature": "a"},
        {"text": "Hello", "thoughtSignature": "b"},
    ]


def test_gemini_is_not_given_what_others_have_signed_and_says_so():
    foreign = Message(role="assistant", content=(ReasoningPart(text="Hm", signature="sig=="), TextPart(text="Hello")))
    body, warnings = written("gemini", user("hi"), foreign)
    assert body["contents"][1]["parts"] == [{"text": "Hello"}]
    assert any("reasoning of earlier turns" in warning for warning in warnings)


@pytest.mark.parametrize("kind", ["anthropic", "openai", "openai-compatible", "lmstudio", "ollama"])
def test_nobody_else_is_given_the_proof_of_gemini(kind: Kind):
    reply = GEMINI.chat_reply(sent({"text": "Hello", "thoughtSignature": "c2ln"}))
    body, warnings = written(kind, user("hi"), reply.choices[0].message)
    assert "Hello" in json.dumps(body)
    assert "c2ln" not in json.dumps(body)
    assert kind != "anthropic" or any("reasoning of earlier turns" in warning for warning in warnings)
