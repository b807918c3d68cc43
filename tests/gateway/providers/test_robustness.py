"""Whatever bytes a provider sends, the answer is events, a reply or one of our errors; nothing else ever comes out."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import GatewayError
from gateway.messages.chat import ChatReply
from gateway.providers import VENDORS
from gateway.providers.base import Chat, Embeddings, Models
from gateway.settings import Kind

WORDS = [
    "choices", "message", "delta", "content", "text", "finish_reason", "tool_calls", "function", "name", "arguments",
    "id", "index", "error", "code", "type", "usage", "prompt_tokens", "response", "output", "data", "embedding",
    "embeddings", "models", "role", "reasoning_content", "refusal", "logprobs", "created", "done", "done_reason",
    "thinking", "model", "created_at", "candidates", "parts", "functionCall", "args", "thought", "finishReason",
    "usageMetadata", "promptFeedback", "blockReason", "details", "reason", "retryDelay", "status", "param",
    "stop_reason", "content_block", "partial_json", "signature", "message_start", "content_block_start",
    "content_block_delta", "content_block_stop", "message_delta", "tool_use", "text_delta", "values",
    "input_json_delta", "inlineData", "logprobsResult", "chosenCandidates", "topCandidates", "extra_content",
    "google", "has_more", "last_id",
]  # fmt: skip
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 10**30)
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=5),
    max_leaves=15,
)


@pytest.mark.parametrize("kind", VENDORS)
@settings(max_examples=120, deadline=None)
@given(values=st.lists(VALUES, min_size=1, max_size=4), status=st.sampled_from([400, 401, 404, 429, 500]))
def test_no_json_brings_a_reader_down(kind: Kind, values: list[Any], status: int):
    vendor = VENDORS[kind]
    body = json.dumps(values[0]).encode()
    assert isinstance(vendor.explain_error(status, {}, body), GatewayError)
    assert isinstance(vendor, Chat)
    assert isinstance(vendor, Models)
    readers = [vendor.chat_reply, vendor.models_reply]
    if isinstance(vendor, Embeddings):
        readers.append(vendor.embeddings_reply)
    for read in readers:
        try:
            reply = read(body)
        except GatewayError:
            continue
        assert not isinstance(reply, ChatReply) or reply.choices
    decoder = vendor.chat_events()
    try:
        for value in values:
            line = json.dumps(value).encode()
            decoder.feed(line + b"\n" if kind == "ollama" else b"data: " + line + b"\n\n")
        decoder.finish()
    except GatewayError:
        pass


@pytest.mark.parametrize("kind", VENDORS)
@settings(max_examples=60, deadline=None)
@given(pieces=st.lists(st.binary(max_size=40), max_size=5))
def test_no_bytes_bring_a_stream_down(kind: Kind, pieces: list[bytes]):
    vendor = VENDORS[kind]
    assert isinstance(vendor, Chat)
    decoder = vendor.chat_events()
    try:
        for piece in pieces:
            decoder.feed(piece)
        decoder.finish()
    except GatewayError:
        pass
