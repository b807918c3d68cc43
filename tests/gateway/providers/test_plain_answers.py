"""The quick ways of reading whole answers see what the close ways see, or decline."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings

from gateway.messages.chat import ChatReply
from gateway.providers import anthropic, anthropic_plain, gemini_plain, gemini_reply
from tests.gateway.bent import ODD, bent

USUAL_ANTHROPIC = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "stop_reason": "end_turn",
    "content": [{"type": "text", "text": "Hello"}], "stop_sequence": None, "stop_details": None,
    "usage": {"input_tokens": 3, "output_tokens": 2, "cache_read_input_tokens": 0, "service_tier": "standard"},
}  # fmt: skip
CANDIDATE = {"content": {"role": "model", "parts": [{"text": "Hello"}]}, "finishReason": "STOP", "index": 0}
USUAL_GEMINI = {
    "candidates": [CANDIDATE],
    "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5},
    "modelVersion": "gemini", "responseId": "r",
}  # fmt: skip
NAMES_ANTHROPIC = (
    "type", "id", "model", "content", "text", "citations", "thinking", "stop_reason", "usage", "stop_details", "error",
    "object", "input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens",
    "output_tokens_details", "explanation", "name", "input",
)  # fmt: skip
NAMES_GEMINI = (
    "candidates", "content", "parts", "text", "thought", "thoughtSignature", "functionCall", "inlineData", "index",
    "finishReason", "logprobsResult", "usageMetadata", "promptTokenCount", "candidatesTokenCount", "createTime",
    "toolUsePromptTokenCount", "cachedContentTokenCount", "thoughtsTokenCount", "modelVersion", "responseId", "error",
    "promptFeedback",
)  # fmt: skip
ODDER = (
    *ODD, "max_tokens", "MAX_TOKENS", "SAFETY", "MALFORMED_RESPONSE", "tool_use", "refusal", {"explanation": "no"},
    {"name": "f"}, {"code": 429, "status": "X", "message": "m"}, {"type": "api_error"}, "2026-01-01T00:00:00Z",
    [{"text": "b"}], [{"type": "text", "text": "b"}], {"thinking_tokens": 3},
)  # fmt: skip

Reader = Callable[[bytes], ChatReply | None]


def read_anthropic(body: bytes) -> ChatReply | None:
    return anthropic_plain.read_plain_answer(body, anthropic._FINISH_REASONS)


def read_gemini(body: bytes) -> ChatReply | None:
    return gemini_plain.read_plain_answer(body, gemini_reply._read_finish_of_text)


def assert_agree(answer: dict[str, Any], at_a_glance: Reader, closely: Reader) -> None:
    body = json.dumps(answer).encode()
    plain = at_a_glance(body)
    if plain is not None:
        close = closely(body)
        assert plain == close
        assert msgspec.json.encode(plain) == msgspec.json.encode(close)


@settings(max_examples=500, deadline=None)
@given(bent(USUAL_ANTHROPIC, NAMES_ANTHROPIC, ODDER))
def test_an_answer_of_anthropics_is_the_same_at_a_glance(answer: dict[str, Any]) -> None:
    assert_agree(answer, read_anthropic, anthropic.VENDOR._read_closely)


@settings(max_examples=500, deadline=None)
@given(bent(USUAL_GEMINI, NAMES_GEMINI, ODDER))
def test_an_answer_of_geminis_is_the_same_at_a_glance(answer: dict[str, Any]) -> None:
    assert_agree(answer, read_gemini, gemini_reply._read_closely)


@pytest.mark.parametrize(
    ("answer", "at_a_glance", "closely"),
    [(USUAL_ANTHROPIC, read_anthropic, anthropic.VENDOR._read_closely),
     (USUAL_GEMINI, read_gemini, gemini_reply._read_closely)],
)  # fmt: skip
def test_the_usual_answer_is_read_at_a_glance(answer: dict[str, Any], at_a_glance: Reader, closely: Reader) -> None:
    body = json.dumps(answer).encode()
    assert at_a_glance(body) == closely(body) is not None


@pytest.mark.parametrize(
    ("change", "at_a_glance"),
    [
        ({"content": [{"type": "text", "text": "a", "citations": [{}]}]}, read_anthropic),
        ({"content": [{"type": "text", "text": "a"}, {"type": "tool_use", "name": "f", "text": "a"}]}, read_anthropic),
        ({"content": [{"type": "thinking", "thinking": "a", "text": "a"}]}, read_anthropic),
        ({"content": []}, read_anthropic),
        ({"stop_details": {"explanation": "no"}}, read_anthropic),
        ({"usage": {"input_tokens": 1, "output_tokens": 2, "output_tokens_details": {}}}, read_anthropic),
        ({"error": {"type": "api_error"}}, read_anthropic),
        ({"error": {"code": 500}}, read_gemini),
        ({"candidates": [CANDIDATE] * 2}, read_gemini),
        ({"candidates": [{**CANDIDATE, "content": {"parts": [{"text": "a", "thought": True}]}}]}, read_gemini),
        ({"candidates": [{**CANDIDATE, "logprobsResult": {}}]}, read_gemini),
        ({"createTime": "2026-01-01T00:00:00Z"}, read_gemini),
    ],
)  # fmt: skip
def test_an_answer_that_says_more_is_read_closely(change: dict[str, Any], at_a_glance: Reader) -> None:
    usual = USUAL_ANTHROPIC if at_a_glance is read_anthropic else USUAL_GEMINI
    assert at_a_glance(json.dumps({**usual, **change}).encode()) is None
