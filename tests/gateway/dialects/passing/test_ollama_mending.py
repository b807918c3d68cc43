"""Lines that are not quite Ollama's are made so, and nothing of them is lost."""

import json
from typing import Any

import pytest

from gateway.dialects.passing import OLLAMA

REQUEST = b'{"model": "ollama:m", "messages": [{"role": "user", "content": "hi"}]}'
FIRST: dict[str, Any] = {
    "model": "m",
    "created_at": "2024-01-01T00:00:00Z",
    "message": {"role": "assistant", "content": "a"},
    "done": False,
}
LAST: dict[str, Any] = {**FIRST, "message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop"}


def without(line: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in line.items() if key != name}


def pass_through(*lines: Any) -> list[dict[str, Any]]:
    stream = OLLAMA.stream(OLLAMA.read(REQUEST), "bare")
    given = [json.dumps(line).encode() + b"\n" for line in lines]
    frames = [frame for line in given for frame in stream.feed(line)]
    return [json.loads(frame) for frame in [*frames, *stream.finish()]]


def test_a_last_line_needs_no_message_to_end_a_stream() -> None:
    counts = {"prompt_eval_count": 3, "eval_count": 4, "total_duration": 5}
    assert pass_through(FIRST, {**without(LAST, "message"), **counts}) == [FIRST, {**LAST, **counts}]


@pytest.mark.parametrize("content", [None, 3, "absent"])
def test_thinking_needs_no_content_beside_it(content: Any) -> None:
    message = {"role": "assistant", "thinking": "hm"} | ({} if content == "absent" else {"content": content})
    told = pass_through(FIRST, {**FIRST, "message": message}, LAST)
    assert told[1]["message"]["thinking"] == "hm"
    assert told[1]["message"]["content"] == ""


@pytest.mark.parametrize(
    "odd",
    [
        {"model": None},
        {"model": ""},
        {"model": "another"},
        {"created_at": None},
        {"created_at": 1700000000},
        {"done": None},
        {"done_reason": 3},
        {"eval_count": 4.5},
        {"eval_count": -1},
        {"error": ""},
        {"message": {"content": "a"}},
        {"message": {"role": "model", "content": "a", "thinking": 3, "tool_calls": {}}},
    ],
    ids=str,
)
def test_an_odd_line_says_the_same_in_the_usual_form(odd: dict[str, Any]) -> None:
    told = pass_through(FIRST, {**FIRST, **odd}, LAST)
    assert told[1] == {**FIRST, "created_at": told[1]["created_at"]}
    assert isinstance(told[1]["created_at"], str)


@pytest.mark.parametrize("given", ['{"x": 1}', {"x": 1}], ids=["text", "an object"])
def test_the_arguments_of_a_call_are_an_object(given: Any) -> None:
    calls = [{"function": {"name": "f", "arguments": given}}, {"function": {"arguments": {}}}, 3]
    told = pass_through({**FIRST, "message": {"role": "assistant", "content": "", "tool_calls": calls}}, LAST)
    assert told[0]["message"]["tool_calls"] == [{"function": {"name": "f", "arguments": {"x": 1}}}]


def test_a_stream_that_names_no_model_is_given_the_providers_name_of_it() -> None:
    told = pass_through(without(FIRST, "model"), without(LAST, "model"))
    assert [line["model"] for line in told] == ["bare", "bare"]


@pytest.mark.parametrize(
    "junk", [3, [], "x", {}, {"x": 1}, {"message": "x"}, {"message": None, "done": False}], ids=str
)
def test_what_is_no_line_is_left_out(junk: Any) -> None:
    assert pass_through(FIRST, junk, LAST) == [FIRST, LAST]
