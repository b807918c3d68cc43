"""OpenAI's embeddings."""

import base64
import json
import struct
from typing import Any

import pytest
from openai.types import CreateEmbeddingResponse

from gateway.dialects import embeddings
from gateway.errors import InvalidRequest
from gateway.messages.chat import Usage
from gateway.messages.embeddings import EmbeddingsReply

REPLY = EmbeddingsReply(
    model="m", vectors=((0.5, -1.0), (2.0, 0.25)), usage=Usage(prompt_tokens=3, completion_tokens=0)
)


def parse(**members: Any) -> embeddings.ParsedEmbeddings:
    return embeddings.parse(json.dumps({"model": "m", **members}).encode())


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("a", ("a",)),
        (["a", "b"], ("a", "b")),
        ([1, 2], ((1, 2),)),
        ([[1, 2], [3]], ((1, 2), (3,))),
    ],
)
def test_texts_and_token_ids_are_read_in_all_their_forms(given: Any, read: Any) -> None:
    assert parse(input=given).request.input == read


@pytest.mark.parametrize(
    "given", [None, "", [], [""], [[]], ["a", 1], [1, "a"], [[1], "a"], [-1], [1.5], {}, 3, [True]]
)
def test_what_cannot_be_embedded_is_refused(given: Any) -> None:
    with pytest.raises(InvalidRequest, match="input"):
        parse(input=given)


def test_options_are_read_and_unknown_ones_kept() -> None:
    request = parse(input="a", dimensions=3, user="u", keep_alive="5m", encoding_format="float").request
    assert (request.dimensions, request.user, request.extra) == (3, "u", {"keep_alive": "5m"})


def test_vectors_are_written_as_lists() -> None:
    written = embeddings.write_reply(REPLY, "m")
    CreateEmbeddingResponse.model_validate(written, strict=True)
    assert written == {
        "object": "list",
        "data": [
            {"object": "embedding", "index": 0, "embedding": [0.5, -1.0]},
            {"object": "embedding", "index": 1, "embedding": [2.0, 0.25]},
        ],
        "model": "m",
        "usage": {"prompt_tokens": 3, "total_tokens": 3},
    }


def test_vectors_are_written_as_little_endian_floats_in_base64() -> None:
    assert parse(input="a", encoding_format="base64").as_base64
    written = embeddings.write_reply(REPLY, "m", as_base64=True)
    packed = [base64.b64decode(entry["embedding"]) for entry in written["data"]]
    assert [struct.unpack("<2f", entry) for entry in packed] == [(0.5, -1.0), (2.0, 0.25)]


def test_what_the_provider_left_out_is_named() -> None:
    reply = EmbeddingsReply(model="m", vectors=((1.0,),), warnings=("dimensions: left out",))
    assert embeddings.write_reply(reply, "m")["warnings"] == ["dimensions: left out"]
