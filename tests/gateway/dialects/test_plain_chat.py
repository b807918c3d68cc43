"""The quick way of reading a chat sees what the close way sees, or declines."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.dialects import openai_chat
from gateway.dialects.plain_chat import read_plain_chat
from gateway.errors import GatewayError
from tests.gateway.bent import ODD, bent

PLAIN: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
USUAL = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": 'Say "x".'},
        {"role": "assistant", "content": "x"}, {"role": "user", "content": "ż 😀"},
    ],
    "temperature": 0.5, "top_p": 1, "max_tokens": 7, "stream": False, "user": "u", "presence_penalty": 0,
}  # fmt: skip
NAMES = (
    "model", "messages", "temperature", "top_p", "max_tokens", "max_completion_tokens", "frequency_penalty", "stream",
    "presence_penalty", "user", "seed", "stop", "n", "tools", "functions", "stream_options", "reasoning_effort",
    "top_k", "input", "role", "content", "name", "tool_calls", "tool_call_id", "refusal", "x",
)  # fmt: skip
ODDER = (*ODD, "tool", "developer", "bot", "\ud800", "\0", [{"role": "user", "content": "a"}])


def read_both(body: bytes) -> tuple[Any, Any]:
    plain = read_plain_chat(body)
    try:
        close = openai_chat._read_closely(body)
    except GatewayError:
        close = None
    return None if plain is None else openai_chat.ParsedChat(chat=plain), close


def assert_agree(body: bytes) -> None:
    plain, close = read_both(body)
    if plain is not None:
        assert plain == close
        assert msgspec.json.encode(plain) == msgspec.json.encode(close)


@settings(max_examples=500, deadline=None)
@given(
    bent(USUAL, NAMES, ODDER),
    st.sampled_from([(", ", ": "), (", ", ": "), (",", ":"), (" ,\n", " : "), (",", "\t:")]),
    st.booleans(),
)
def test_what_is_read_at_a_glance_is_what_is_read_closely(
    chat: dict[str, Any], separators: tuple[str, str], escaped: bool
) -> None:
    assert_agree(json.dumps(chat, separators=separators, ensure_ascii=escaped).encode(errors="surrogatepass"))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_byte_put_in_or_taken_out_is_seen_by_one_alone(data: st.DataObject) -> None:
    body = json.dumps(PLAIN | {"temperature": 0.5, "max_tokens": 7}).encode()
    at = data.draw(st.integers(0, len(body)))
    more = data.draw(st.sampled_from([b"", b" ", b"\\", b'"', b"{", b"\xff", b"0", b":", b",", b'"a":1,', b"-", b"\n"]))
    assert_agree(body[:at] + more + body[at + data.draw(st.integers(0, 2)) :])


@pytest.mark.parametrize(
    "body",
    [
        '{"model":"m","messages":[{"role":"user","content":"a"}],"model":"n"}',
        '{"model":"m","messages":[{"role":"user","content":"a","content":"b"}]}',
        '{"model":"m","messages":[{"role":"user","content":"a"}],"model" :"n"}',
        '{"model":"m","messages":[{"role":"user","content":"a"}],"mod\\u0065l":"n"}',
        '{"model":"m","messages":[{"role":"user","content":"a"}],"user":null,"user":"x"}',
        '{"model":"m","messages":[{"role":"user","content":"a"}],"top_p":1,"top_p"\n:0}',
    ],
)
def test_a_name_given_twice_is_never_read_at_a_glance(body: str) -> None:
    assert read_both(body.encode()) == (None, None)


@pytest.mark.parametrize("more", [{}, {"stream": True, "temperature": 1}, {"top_p": None, "max_completion_tokens": 5}])
def test_what_clients_mostly_send_is_read_at_a_glance(more: dict[str, Any]) -> None:
    texts = ["Hello", "ż 😀", "line\nbreak", "a: b", "x" * 100_000]
    chat = PLAIN | {"messages": [{"role": "user", "content": text} for text in texts]} | more
    for separators in ((", ", ": "), (",", ":")):
        plain, close = read_both(json.dumps(chat, separators=separators).encode())
        assert plain == close is not None
