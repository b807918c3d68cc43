"""Errors, embeddings and models in OpenAI's wire format."""

import base64
import json
import struct
from typing import Any

import pytest

from gateway.errors import ModelNotFound, ProviderError, UnusableAnswer
from gateway.messages.chat import (
    Usage,
)
from gateway.messages.embeddings import EmbeddingsRequest
from gateway.providers.openai_compatible import VENDOR


@pytest.mark.parametrize(
    ("body", "message", "code", "kind", "param"),
    [
        (b'{"error": {"message": "m", "type": "t", "param": "p", "code": "c"}}', "m", "c", "t", "p"),
        (b'{"error": "m"}', "m", "upstream_error", None, None),
        (b'{"object": "error", "message": "m", "type": "t", "param": "p", "code": 422}', "m", "422", "t", "p"),
        (b'{"detail": "m"}', "m", "upstream_error", None, None),
        (b'{"detail": [{"loc": ["body"], "msg": "m"}]}', '[{"loc":["body"],"msg":"m"}]', "upstream_error", None, None),
        (b'[{"error": {"code": 429, "message": "m", "status": "QUOTA"}}]', "m", "429", "QUOTA", None),
    ],
)
def test_an_error_keeps_what_the_provider_said(body: bytes, message: str, code: str, kind: str, param: str):
    error = VENDOR.explain_error(422, {}, body)
    assert isinstance(error, ProviderError)
    assert (error.status, error.message, error.error_code, error.kind, error.param) == (422, message, code, kind, param)


def test_an_unknown_model_is_told():
    for body in (
        b'{"error": {"message": "model \'x\' not found", "type": "api_error"}}',
        b'{"error": "model not found"}',
    ):
        assert isinstance(VENDOR.explain_error(404, {}, body), ModelNotFound)


def test_embeddings_are_put_in_order_and_unpacked():
    packed = base64.b64encode(struct.pack("<2f", 0.5, -1.0)).decode()
    data = [{"index": 1, "embedding": [1, 2]}, {"index": 0, "embedding": packed}]
    reply = VENDOR.embeddings_reply(json.dumps({"data": data, "model": "e", "usage": {"prompt_tokens": 3}}).encode())
    assert reply.vectors == ((0.5, -1.0), (1.0, 2.0))
    assert reply.usage == Usage(prompt_tokens=3, completion_tokens=0)


@pytest.mark.parametrize("embedding", ["?", "QUJD", [], ["x"], None, {"a": 1}])
def test_an_embedding_that_is_no_vector_is_unusable(embedding: Any):
    with pytest.raises(UnusableAnswer):
        VENDOR.embeddings_reply(json.dumps({"data": [{"embedding": embedding}]}).encode())


def test_token_ids_are_passed_on():
    request = VENDOR.embeddings_request(EmbeddingsRequest(model="e", input=((1, 2), (3,)), extra={"truncate": True}))
    assert json.loads(request.body) == {"model": "e", "input": [[1, 2], [3]], "truncate": True}


def test_lists_of_models_are_read_in_all_their_forms():
    for body in ({"data": [{"id": "a", "created": 5, "owned_by": "me"}, {"x": 1}]}, ["a"], {"models": [{"name": "a"}]}):
        models, page = VENDOR.models_reply(json.dumps(body).encode())
        assert [model.id for model in models] == ["a"]
        assert page is None
    with pytest.raises(UnusableAnswer):
        VENDOR.models_reply(b'{"data": null}')
