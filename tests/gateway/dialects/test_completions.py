"""OpenAI's legacy completions, over models that chat."""

import json
from typing import Any

import pytest
from openai.types import Completion

from gateway.dialects import completions
from gateway.dialects.base import Head
from gateway.errors import InvalidRequest
from gateway.messages.chat import ChatReply, Choice, Finished, Message, TextDelta, TextPart, Usage, UsageReport

HEAD = Head(id="0123", created=1_700_000_000, model="m", provider="p")


def parse(**members: Any) -> completions.ParsedCompletion:
    return completions.parse(json.dumps({"model": "m", "prompt": "Once", **members}).encode())


def reply(*texts: str, logprobs: Any = None) -> ChatReply:
    choices = tuple(
        Choice(
            message=Message(role="assistant", content=(TextPart(text=text),)),
            finish_reason="stop",
            index=place,
            logprobs=logprobs,
        )
        for place, text in enumerate(texts)
    )
    return ChatReply(model="m", choices=choices, usage=Usage(prompt_tokens=1, completion_tokens=2))


def test_the_answer_has_openais_shape() -> None:
    written = completions.write_reply(parse(), reply(" upon"), HEAD)
    Completion.model_validate(written, strict=True)
    assert written == {
        "id": "cmpl-0123",
        "object": "text_completion",
        "created": 1_700_000_000,
        "model": "m",
        "choices": [{"text": " upon", "index": 0, "logprobs": None, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    }


def test_echo_puts_the_prompt_before_the_text() -> None:
    assert completions.write_reply(parse(echo=True), reply(" upon"), HEAD)["choices"][0]["text"] == "Once upon"


def test_each_prompt_is_a_chat_and_the_answers_are_counted_through() -> None:
    parsed = parse(prompt=["a", "b"], n=2)
    assert [chat.messages[-1].text for chat in (parsed.chat, *parsed.more)] == ["a", "b"]
    written = completions.write_replies(parsed, [reply("1", "2"), reply("3", "4")], HEAD)
    assert [(choice["index"], choice["text"]) for choice in written["choices"]] == list(enumerate("1234"))
    assert written["usage"]["total_tokens"] == 6


def test_a_suffix_asks_for_what_goes_between() -> None:
    messages = parse(suffix="the end").chat.messages
    assert "Once" in messages[-1].text
    assert "the end" in messages[-1].text
    assert messages[0].role == "system"


def test_logprobs_are_written_in_the_old_form() -> None:
    parsed = parse(logprobs=1, echo=True)
    assert (parsed.chat.options.logprobs, parsed.chat.options.top_logprobs) == (True, 1)
    tokens = [{"token": " up", "logprob": -0.5, "top_logprobs": [{"token": " up", "logprob": -0.5}]}]
    written = completions.write_reply(parsed, reply(" up", logprobs={"content": tokens}), HEAD)
    assert written["choices"][0]["logprobs"] == {
        "tokens": [" up"],
        "token_logprobs": [-0.5],
        "top_logprobs": [{" up": -0.5}],
        "text_offset": [4],
    }


def test_a_stream_has_openais_shape() -> None:
    encoder = completions.events(parse(stream=True, echo=True, stream_options={"include_usage": True}), HEAD)
    usage = UsageReport(usage=Usage(prompt_tokens=1, completion_tokens=2))
    events = (TextDelta(text=" up"), TextDelta(text="on"), Finished(finish_reason="length"), usage)
    frames = [frame for event in events for frame in encoder.encode(event)] + encoder.finish()
    assert frames.pop() == b"data: [DONE]\n\n"
    chunks = [json.loads(frame.removeprefix(b"data: ")) for frame in frames]
    assert {chunk["object"] for chunk in chunks} == {"text_completion"}
    assert "".join(choice["text"] for chunk in chunks for choice in chunk["choices"]) == "Once upon"
    assert chunks[-2]["choices"][0]["finish_reason"] == "length"
    assert (chunks[-1]["choices"], chunks[-1]["usage"]["total_tokens"]) == ([], 3)


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"prompt": None}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"prompt": ["a", 3]}, r"prompt\[1\]"),
        ({"prompt": ["a", "b"], "stream": True}, "prompt"),
        ({"best_of": 3}, "best_of"),
        ({"logprobs": 6}, "logprobs"),
        ({"suffix": 3}, "suffix"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(members: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest, match=field):
        parse(**members)
