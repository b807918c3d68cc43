"""What half-compatible servers stream is made what OpenAI's should be, and nothing of it is lost."""

import json
from typing import Any

import pytest

from gateway.dialects.passing import OPENAI, PassingStream
from gateway.errors import ProviderError, UnusableAnswer

DONE = b"data: [DONE]\n\n"
USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
ROLE = {"role": "assistant", "content": ""}


def chunk(delta: Any, finish: Any = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **more}


def write(given: Any) -> bytes:
    return b"data: " + json.dumps(given).encode() + b"\n\n"


def open_stream(*, include_usage: bool = False) -> PassingStream:
    options = {"stream_options": {"include_usage": True}} if include_usage else {}
    body = {"model": "work:m", "stream": True, "messages": [{"role": "user", "content": "hi"}], **options}
    return OPENAI.stream(OPENAI.read(json.dumps(body).encode()), "bare")


def pass_through(*given: Any, include_usage: bool = False, end: bytes = DONE) -> list[dict[str, Any]]:
    """Stream `given`, and give the chunks that came out of it."""
    stream = open_stream(include_usage=include_usage)
    frames = [frame for piece in [*map(write, given), end] for frame in stream.feed(piece)]
    *told, last = [*frames, *stream.finish()]
    assert last == DONE
    assert all(frame.startswith(b"data: ") and frame.endswith(b"\n\n") for frame in told)
    return [json.loads(frame[6:]) for frame in told]


def deltas(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [choice["delta"] for one in told for choice in one["choices"]]


def say(told: list[dict[str, Any]], name: str = "content") -> str:
    return "".join(delta.get(name) or "" for delta in deltas(told))


def calls_of(told: list[dict[str, Any]]) -> dict[int, tuple[str, str, str]]:
    """Put the pieces of calls together as clients do, by index."""
    calls: dict[int, tuple[str, str, str]] = {}
    for piece in (piece for delta in deltas(told) for piece in delta.get("tool_calls") or ()):
        identity, name, arguments = calls.get(piece["index"], ("", "", ""))
        function = piece["function"]
        calls[piece["index"]] = (
            identity + piece.get("id", ""),
            name + function.get("name", ""),
            arguments + function["arguments"],
        )
    return calls


@pytest.mark.parametrize(
    "odd",
    [
        {"created": 1700000000.5},
        {"created": "1700000000"},
        {"created": -1},
        {"id": 7},
        {"id": None},
        {"id": ""},
        {"id": "another"},
        {"model": 7},
        {"model": ""},
        {"model": "another"},
        {"object": "chat.completion"},
        {"usage": {}},
        {"usage": 3},
        {"error": False},
    ],
    ids=str,
)
def test_a_chunk_with_an_odd_head_is_mended_wherever_it_stands(odd: dict[str, Any]) -> None:
    stream = [chunk(ROLE), chunk({"content": "He"}), chunk({"content": "llo"}), chunk({}, "stop")]
    for place in range(len(stream)):
        told = pass_through(*(one | odd if number == place else one for number, one in enumerate(stream)))
        assert say(told) == "Hello"
        assert told[-1]["choices"][0]["finish_reason"] == "stop"
        assert len({(one["id"], one["model"]) for one in told}) == 1
        assert all(isinstance(one["id"], str) and one["id"] for one in told)
        assert all(isinstance(one["created"], int) and one["created"] > 0 for one in told)
        assert {one["object"] for one in told} == {"chat.completion.chunk"}


@pytest.mark.parametrize(
    ("choice", "said", "thought"),
    [
        ({"delta": {"content": [{"type": "text", "text": "x"}]}}, "x", ""),
        ({"delta": {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]}}, "", "hm"),
        ({"delta": {"content": 3, "reasoning_content": "hm"}}, "", "hm"),
        ({"delta": {"content": "x", "reasoning_content": []}}, "x", ""),
        ({"delta": {"content": "x", "role": "model"}}, "x", ""),
        ({"delta": {"content": "x"}, "index": None}, "x", ""),
        ({"delta": {"content": "x"}, "index": "0"}, "x", ""),
        ({"delta": {"content": "x"}, "index": -1}, "x", ""),
        ({"message": {"content": "x"}}, "x", ""),
        ({"delta": None, "message": {"content": "x"}}, "x", ""),
        ({"delta": "x"}, "x", ""),
        ({"text": "x"}, "x", ""),
    ],
    ids=str,
)
def test_a_choice_in_another_form_says_the_same(choice: dict[str, Any], said: str, thought: str) -> None:
    told = pass_through(chunk(ROLE), chunk({}) | {"choices": [choice]}, chunk({}, "stop"))
    assert say(told) == said
    assert say(told, "reasoning_content") == thought
    assert all(choice["index"] == 0 for one in told for choice in one["choices"])


@pytest.mark.parametrize(
    "plain", [{"text": "x"}, {"response": "x"}, {"content": "x"}, {"output": "x", "id": 3}], ids=str
)
def test_a_chunk_that_is_only_text_is_a_chunk_all_the_same(plain: dict[str, Any]) -> None:
    told = pass_through(chunk(ROLE), plain, chunk({}, "stop"))
    assert say(told) == "x"
    assert {one["id"] for one in told} == {"c"}


@pytest.mark.parametrize(
    "junk", [3, [], "x", {}, {"x": 1}, {"choices": [3]}, {"choices": "x"}, {"choices": []}], ids=str
)
def test_what_is_no_chunk_is_left_out(junk: Any) -> None:
    assert pass_through(chunk(ROLE), junk, chunk({}, "stop")) == pass_through(chunk(ROLE), chunk({}, "stop"))


@pytest.mark.parametrize("reason", ["eos", "STOP", "end_turn"])
def test_a_finish_that_openai_does_not_know_is_one_that_it_knows(reason: str) -> None:
    told = pass_through(chunk({**ROLE, "content": "x"}), chunk({}, reason))
    assert [one["choices"][0]["finish_reason"] for one in told] == [None, "stop"]


@pytest.mark.parametrize("reason", ["stop", "length", "tool_calls", "content_filter", "function_call"])
def test_a_finish_that_openai_knows_stays(reason: str) -> None:
    stream = [chunk({**ROLE, "content": "x"}), chunk({}, reason)]
    assert pass_through(*stream) == stream


def test_chunks_that_were_mended_carry_one_id_and_the_providers_name_of_the_model() -> None:
    told = pass_through({"choices": [{"delta": {"content": "a"}}]}, {"choices": [{"finish_reason": "stop"}]})
    assert {one["model"] for one in told} == {"bare"}
    assert len({one["id"] for one in told}) == 1


@pytest.mark.parametrize("first", [{"content": "a"}, {"content": [{"type": "text", "text": "a"}]}], ids=str)
def test_every_answer_begins_with_its_role(first: dict[str, Any]) -> None:
    second = chunk({}) | {"choices": [{"index": 1, "delta": first, "finish_reason": "stop"}]}
    told = pass_through(chunk(first), second, chunk({"content": "b"}), chunk({}, "stop"))
    assert [delta.get("role") for delta in deltas(told)] == ["assistant", "assistant", None, None]
    assert say(told) == "aab"


def call(arguments: Any = None, **more: Any) -> dict[str, Any]:
    return {"function": {"arguments": arguments}, **more}


BEGUN = {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x"'}}
OTHER = {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}}


@pytest.mark.parametrize(
    "pieces",
    [
        [[{**BEGUN, "index": None}], [call(": 1}", index=None)], [{**OTHER, "index": None}]],
        [[BEGUN], [call(": 1}")], [OTHER]],
        [[{**BEGUN, "index": 0}], [call(": 1}", index=0)], [{**OTHER, "index": 0}]],
        [[{**BEGUN, "index": 0}], [call(": 1}", index=0, id="")], [{**OTHER, "index": 1}]],
        [[{**BEGUN, "index": 1}], [call(": 1}", index=1)], [{**OTHER, "index": 2}]],
        [[BEGUN, OTHER], [call(": 1}", id="a")]],
        [[{"id": "a", "index": 0, "function": {"name": "f", "arguments": {"x": 1}}}], [{**OTHER, "index": 1}]],
        [[{**BEGUN, "index": 0}], [call(": 1}", index=0), call("lost", index=5)], [{**OTHER, "index": 1}]],
    ],
    ids=[
        "the index is null",
        "no index",
        "one index for both",
        "an empty id further on",
        "counted from one",
        "by id alone",
        "an object",
        "a piece of no call",
    ],
)
def test_each_call_gets_what_belongs_to_it_however_the_server_counts(pieces: list[list[Any]]) -> None:
    told = pass_through(chunk(ROLE), *(chunk({"tool_calls": piece}) for piece in pieces), chunk({}, "tool_calls"))
    calls = calls_of(told)
    assert [(identity, name, json.loads(arguments)) for identity, name, arguments in calls.values()] == [
        ("a", "f", {"x": 1}),
        ("b", "g", {}),
    ]
    assert list(calls) == [0, 1]


def test_a_call_without_an_id_is_given_one() -> None:
    told = pass_through(
        chunk(ROLE),
        chunk({"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": "{"}}]}),
        chunk({"tool_calls": [call("}", index=0)]}),
        chunk({}, "tool_calls"),
    )
    ((identity, name, arguments),) = calls_of(told).values()
    assert identity
    assert (name, arguments) == ("f", "{}")


@pytest.mark.parametrize("empty", ["", None, " "])
@pytest.mark.parametrize("whole", [False, True], ids=["in pieces", "with the finish"])
def test_a_call_without_arguments_has_empty_ones_in_the_end(empty: Any, *, whole: bool) -> None:
    begun = {"tool_calls": [{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": empty}}]}
    rest = [chunk(begun, "tool_calls")] if whole else [chunk(begun), chunk({}, "tool_calls")]
    told = pass_through(chunk(ROLE), *rest)
    pieces = [piece for delta in deltas(told) for piece in delta.get("tool_calls") or ()]
    assert json.loads("".join(piece["function"]["arguments"] or "" for piece in pieces)) == {}
    assert [piece.get("id") for piece in pieces if "id" in piece] == ["a"]


def test_pieces_of_custom_calls_go_on_as_they_are() -> None:
    custom = {"index": 0, "id": "a", "type": "custom", "custom": {"name": "f", "input": ""}}
    stream = [
        chunk({**ROLE, "tool_calls": [custom]}),
        chunk({"tool_calls": [{"index": 0, "custom": {"input": "x"}}]}),
        chunk({}, "tool_calls"),
    ]
    assert pass_through(*stream) == stream
    mended = pass_through(*({**one, "created": 1.5} for one in stream))
    assert deltas(mended) == deltas(stream)


ASKED = [chunk({**ROLE, "content": "x"}), chunk({}, "stop")]


@pytest.mark.parametrize("end", [DONE, b""], ids=["marked", "unmarked"])
@pytest.mark.parametrize(
    ("stream", "usage"),
    [
        (ASKED, {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}),
        ([ASKED[0], chunk({}, "stop", usage=USAGE)], USAGE),
        ([*ASKED, chunk({}, usage=USAGE) | {"choices": []}], USAGE),
        ([*ASKED, chunk({}, usage=USAGE) | {"choices": None}], USAGE),
        ([*ASKED, {"usage": {"input_tokens": 3, "output_tokens": 4}}], USAGE),
    ],
    ids=["none given", "with the finish", "as it should be", "without choices", "under other names"],
)
def test_usage_that_was_asked_for_comes_once_and_last(stream: list[Any], usage: dict[str, int], end: bytes) -> None:
    told = pass_through(*stream, include_usage=True, end=end)
    assert [one["usage"] for one in told if not one["choices"]] == [usage]
    assert told[-1]["choices"] == []
    assert {(one["id"], one["model"]) for one in told} == {("c", "m")}


def test_usage_that_nobody_told_is_unknown_to_us_whatever_the_client_reads() -> None:
    stream = open_stream(include_usage=True)
    for piece in [*map(write, ASKED), DONE]:
        stream.feed(piece)
    assert stream.seen.usage is None


def test_an_end_mark_closes_the_answers_that_are_still_open() -> None:
    told = pass_through(chunk({**ROLE, "content": "x"}))
    assert told[-1]["choices"][0]["finish_reason"] == "stop"
    told = pass_through(chunk({**ROLE, "tool_calls": [{**BEGUN, "index": 0}]}))
    assert told[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_an_end_mark_after_nothing_is_no_answer() -> None:
    stream = open_stream()
    stream.feed(write(chunk(ROLE)))
    with pytest.raises(UnusableAnswer):
        stream.feed(DONE)


@pytest.mark.parametrize(
    "failure",
    [
        b'event: error\ndata: {"message": "boom"}\n\n',
        b"event: error\ndata: boom\n\n",
        b'data: {"error": "boom"}\n\n',
        b'data: {"object": "error", "message": "boom"}\n\n',
        write(chunk({"content": "x"}, error={"message": "boom"})),
    ],
)
def test_an_error_is_one_in_whatever_form_and_comes_after_what_was_said(failure: bytes) -> None:
    stream = open_stream()
    text = write(chunk({"content": "a"}))
    assert len(stream.feed(write(chunk(ROLE)) + text + failure)) == 2
    with pytest.raises(ProviderError, match="boom"):
        stream.feed(text)
