"""Requests that go through as they are: only single members are looked at, and only those are changed."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects import envelope
from gateway.errors import InvalidRequest

NAMES = st.sampled_from(["model", "messages", "stream", "a", 'quote"', "\u00e9", "back\\"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


def test_the_model_is_changed_and_every_other_byte_stays() -> None:
    body = b' { "messages" : [ {"content":"\\"model\\": \\"x\\""} ] ,\n"x": 1.50e3, "model":"a:b" ,"\\u0079":[ ]}\n'
    read = envelope.read(body)
    assert (read.model, read.stream, read.include_usage) == ("a:b", False, False)
    assert envelope.rewrite(read, {"model": "b"}) == body.replace(b'"a:b"', b'"b"')


def test_members_are_added_at_the_end() -> None:
    read = envelope.read(b'{"model":"m","messages":[1]}')
    written = envelope.rewrite(read, {"stream_options": {"include_usage": True}})
    assert written == b'{"model":"m","messages":[1],"stream_options":{"include_usage":true}}'


@given(
    members=st.dictionaries(NAMES, VALUES), indent=st.sampled_from([None, 0, 3]), changes=st.dictionaries(NAMES, VALUES)
)
def test_any_body_is_rewritten_as_an_editor_would(
    members: dict[str, Any], indent: int | None, changes: dict[str, Any]
) -> None:
    members |= {"model": "m", "messages": [1], "stream": True}
    body = json.dumps(members, indent=indent, ensure_ascii=indent is None).encode()
    read = envelope.read(body)
    assert envelope.rewrite(read, {}) == body
    assert json.loads(envelope.rewrite(read, changes)) == {**members, **changes}


@given(
    members=st.dictionaries(NAMES, VALUES), indent=st.sampled_from([None, 0]), ascii_only=st.booleans(),
    model=st.text(min_size=1) | VALUES, messages=st.lists(VALUES, min_size=1) | VALUES,
    stream=st.none() | st.booleans() | st.text(), escaped=st.booleans(),
)  # fmt: skip
def test_a_glance_sees_what_a_close_look_sees(
    members: dict[str, Any], indent: int | None, ascii_only: bool, model: Any, messages: Any, stream: Any, escaped: bool
) -> None:
    members |= {"model": model, "messages": messages, "stream": stream}
    body = json.dumps(members, indent=indent, ensure_ascii=ascii_only).encode()
    if escaped:
        body = body.replace(b'"model"', b'"mod\\u0065l"')
    seen = envelope._read_at_a_glance(body, "messages", False)
    if seen is not None:
        looked = envelope._read_closely(body, "messages", False)
        assert (seen.model, seen.stream, seen.include_usage) == (looked.model, looked.stream, looked.include_usage)
        assert json.loads(envelope.rewrite(seen, {"model": "other"})) == {**members, "model": "other"}


@pytest.mark.parametrize(
    ("body", "glance"),
    [
        (b'{"model":"a","messages":[1]}', True),
        (
            b'{"messages" : [ {"role":"user","content":"\\"model\\" and \\u0142"} ], "model":"a","stream":true}',
            True,
        ),
        (b'{"model":"a","messages":[1],"model":"b"}', False),
        (b'{"model":"a","messages":[1],"stream":true,"stream":false}', False),
        (b'{"model":"a","messages":[1],"mod\\u0065l":"b"}', False),
        (b'{"model":"a","messages":[1],"stream\\u005foptions":{}}', False),
        (b'{"metadata":{"model":"a"},"messages":[1]}', False),
        (b'{"model":"","messages":[1]}', False),
        (b'{"model":"a","messages":[]}', False),
    ],
)
def test_only_a_body_that_can_be_read_in_one_way_is_read_at_a_glance(body: bytes, glance: bool) -> None:
    assert (envelope._read_at_a_glance(body, "messages", False) is not None) is glance


def test_what_streams_is_said_by_the_body_or_else_by_the_dialect() -> None:
    plain = b'{"model":"m","messages":[1]}'
    assert envelope.read(plain, stream=True).stream
    assert not envelope.read(b'{"model":"m","messages":[1],"stream":false}', stream=True).stream
    assert envelope.read(b'{"model":"m","messages":[1],"stream_options":{"include_usage":true}}').include_usage


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"model":"a","messages":[1],"model":"b"}', "'model' is given twice"),
        (b'{"model":"a","messages":[1],"mod\\u0065l":"b"}', "'model' is given twice"),
        (b'{"messages":[1]}', "model"),
        (b'{"model":3,"messages":[1]}', "model"),
        (b'{"model":"","messages":[1]}', "model"),
        (b'{"model":"m"}', "messages"),
        (b'{"model":"m","messages":null}', "messages"),
        (b'{"model":"m","messages":[ \n ]}', "messages"),
        (b'{"model":"m","messages":"hi"}', "messages"),
        (b'{"model":"m","messages":[1],"stream":"yes"}', "stream"),
        (b"[]", "object"),
        (b"", "JSON"),
        (b'{"model":"m","messages":' + b"[" * 100_000, "JSON"),
    ],
)
def test_what_routing_cannot_rely_on_is_refused(body: bytes, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        envelope.read(body)


def test_content_may_go_by_another_name_or_none() -> None:
    assert envelope.read(b'{"model":"m","input":[1]}', content="input").model == "m"
    assert envelope.read(b'{"model":"m","input":"hi"}', content=None).model == "m"
