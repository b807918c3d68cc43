"""What OpenAI does differently from those that imitate it."""

import json
from typing import Any

import pytest

from gateway.messages.chat import ChatRequest, Message, Options, ReasoningPart, TextPart
from gateway.messages.embeddings import EmbeddingsRequest
from gateway.providers.base import UpstreamRequest
from gateway.providers.openai import VENDOR
from tests.gateway.providers.exchange import user


def request_of(*messages: Message, model: str = "gpt-4o", **options: Any) -> UpstreamRequest:
    return VENDOR.chat_request(ChatRequest(model=model, messages=messages, options=Options(**options)))


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("gpt-4o", "max_tokens"),
        ("gpt-3.5-turbo", "max_tokens"),
        ("ft:gpt-4o:me", "max_tokens"),
        ("gpt-oss-20b", "max_tokens"),
        ("o3-mini", "max_completion_tokens"),
        ("gpt-5", "max_completion_tokens"),
        ("ft:o4-mini:me", "max_completion_tokens"),
    ],
)
def test_models_that_think_get_their_limit_under_its_new_name(model: str, name: str):
    body = json.loads(request_of(user("hi"), model=model, max_tokens=5).body)
    assert {key: value for key, value in body.items() if key.startswith("max")} == {name: 5}


def test_the_developers_role_is_kept():
    body = json.loads(request_of(Message(role="developer", content=(TextPart(text="x"),))).body)
    assert body["messages"][0]["role"] == "developer"


def test_what_openai_knows_is_passed_on_and_the_rest_named():
    request = request_of(user("hi"), extra={"service_tier": "flex", "top_k": 5, "thinking": {"type": "disabled"}})
    body = json.loads(request.body)
    assert body["service_tier"] == "flex"
    assert "top_k" not in body
    assert "thinking" not in body
    assert request.warnings == ("top_k: not known to openai, left out",)


@pytest.mark.parametrize(
    ("extra", "effort"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "low"),
        ({"thinking": {"type": "enabled", "budget_tokens": 8000}}, "medium"),
        ({"thinking": {"type": "adaptive"}}, "medium"),
        ({"think": "high"}, "high"),
    ],
)
def test_a_wish_to_think_becomes_an_effort_where_the_model_thinks(extra: dict[str, Any], effort: str):
    request = request_of(user("hi"), model="gpt-5", extra=extra)
    assert json.loads(request.body)["reasoning_effort"] == effort
    assert request.warnings == ()
    request = request_of(user("hi"), model="gpt-4o", extra=extra)
    assert "reasoning_effort" not in json.loads(request.body)
    assert len(request.warnings) == 1


def test_marks_and_thoughts_that_openai_does_not_take_are_named():
    marked = Message(role="user", content=(TextPart(text="x", cache_control={"type": "ephemeral"}),))
    thought = Message(role="assistant", content=(ReasoningPart(text="hm"), TextPart(text="hi")))
    failed = Message(role="tool", tool_call_id="a", content=(TextPart(text="no"),), is_error=True)
    request = request_of(marked, thought, failed)
    assert json.loads(request.body)["messages"] == [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": "hi"},
        {"role": "tool", "tool_call_id": "a", "content": "no"},
    ]
    assert {warning.split(":")[0] for warning in request.warnings} == {
        "cache_control",
        "reasoning of earlier turns",
        "is_error of a tool's result",
    }


def test_embeddings_take_what_openai_knows():
    request = VENDOR.embeddings_request(
        EmbeddingsRequest(model="e", input=("a",), user="u", extra={"encoding_format": "float", "truncate": True})
    )
    assert json.loads(request.body) == {"model": "e", "input": ["a"], "user": "u", "encoding_format": "float"}
    assert request.warnings == ("truncate: not known to openai, left out",)
