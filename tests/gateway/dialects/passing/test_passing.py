"""Streams on their way through: bytes kept, and only what is wrong mended, left out or raised."""

import json
from typing import Any

import pytest

from gateway.dialects.passing import ANTHROPIC, OLLAMA, OPENAI, Passage, PassingStream
from gateway.errors import ProviderError, UnusableAnswer

REQUESTS = {
    "openai": (OPENAI, b'{"model": "m", "stream": true, "messages": [{"role": "user", "content": "hi"}]}'),
    "anthropic": (ANTHROPIC, b'{"model": "m", "stream": true, "messages": [{"role": "user", "content": "hi"}]}'),
    "ollama": (OLLAMA, b'{"model": "m", "messages": [{"role": "user", "content": "hi"}]}'),
}


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    body = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **more}
    return b"data: " + json.dumps(body, ensure_ascii=False).encode() + b"\n\n"


USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
DONE = b"data: [DONE]\n\n"
OPENAI_STREAM = [
    chunk({"role": "assistant", "content": ""}),
    chunk({"content": "zażółć"}),
    chunk({"tool_calls": [{"index": 0, "id": "t", "function": {"name": "f", "arguments": "{}"}}]}),
    chunk({}, "tool_calls"),
    DONE,
]


def event(name: str, **body: Any) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'type': name, **body})}\n\n".encode()


ANTHROPIC_STREAM = [
    event("message_start", message={"usage": {"input_tokens": 3, "output_tokens": 1}}),
    event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
    event("content_block_delta", index=0, delta={"type": "text_delta", "text": "hi"}),
    event("content_block_stop", index=0),
    event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 4}),
    event("message_stop"),
]


def line(**more: Any) -> bytes:
    message = {"role": "assistant", "content": "hi"}
    return json.dumps({"model": "m", "created_at": "now", "message": message, "done": False, **more}).encode() + b"\n"


OLLAMA_STREAM = [line(), line(done=True, done_reason="stop", prompt_eval_count=3, eval_count=4)]
STREAMS = {"openai": OPENAI_STREAM, "anthropic": ANTHROPIC_STREAM, "ollama": OLLAMA_STREAM}


def begin(name: str) -> tuple[Passage, PassingStream]:
    passage, request = REQUESTS[name]
    return passage, passage.stream(passage.read(request), "m")


def run(name: str, pieces: list[bytes]) -> tuple[list[bytes], PassingStream]:
    _, stream = begin(name)
    frames = [frame for piece in pieces for frame in stream.feed(piece)]
    return [*frames, *stream.finish()], stream


@pytest.mark.parametrize("name", STREAMS)
def test_however_it_is_cut_a_stream_comes_out_as_it_went_in(name: str) -> None:
    whole = b"".join(STREAMS[name])
    for cut in range(1, len(whole)):
        frames, stream = run(name, [whole[:cut], whole[cut:]])
        assert frames == STREAMS[name]
        assert stream.seen.begun
        assert stream.seen.finish_reason
    singles, _ = run(name, [bytes([byte]) for byte in whole])
    assert singles == STREAMS[name]


@pytest.mark.parametrize("name", ["anthropic", "ollama"])
def test_the_usage_is_seen_in_passing(name: str) -> None:
    _, stream = run(name, STREAMS[name])
    assert stream.seen.usage is not None
    assert (stream.seen.usage.prompt_tokens, stream.seen.usage.completion_tokens) == (3, 4)


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_that_is_cut_short_is_an_error(name: str) -> None:
    _, stream = begin(name)
    stream.feed(STREAMS[name][0])
    with pytest.raises(UnusableAnswer):
        stream.finish()


def test_a_usage_chunk_that_was_not_asked_for_is_counted_and_left_out() -> None:
    usage = chunk({}, usage=USAGE)
    usage = usage.replace(b'"choices": [{"index": 0, "delta": {}, "finish_reason": null}]', b'"choices": []')
    frames, stream = run("openai", [*OPENAI_STREAM[:-1], usage, DONE])
    assert frames == OPENAI_STREAM
    assert stream.seen.usage is not None
    assert stream.seen.usage.total_tokens == 7


def test_a_missing_end_mark_after_a_finish_is_put_in() -> None:
    frames, _ = run("openai", OPENAI_STREAM[:-1])
    assert frames == OPENAI_STREAM


def test_what_a_chunk_lacks_is_filled_in_and_what_is_none_is_left_out() -> None:
    call = b'{"id": "t", "function": {"name": "f", "arguments": "{}"}}'
    bare = b'data: {"choices": [{"delta": {"tool_calls": [%b]}}]}\n\n' % call
    noise = [b"data: not json\n\n", b": comment\n\n", b'data: {"x": 1}\n\n']
    frames, _ = run("openai", [OPENAI_STREAM[0], bare, *noise, *OPENAI_STREAM[3:]])
    mended = json.loads(frames[1].removeprefix(b"data: "))
    assert mended["object"] == "chat.completion.chunk"
    assert mended["id"] == "c"
    assert mended["choices"][0]["index"] == 0
    assert mended["choices"][0]["delta"]["tool_calls"][0]["index"] == 0
    assert frames[2:] == OPENAI_STREAM[3:]


@pytest.mark.parametrize(
    ("name", "frame"),
    [
        ("openai", b'data: {"error": {"message": "too much", "type": "server_error", "code": "overloaded"}}\n\n'),
        ("anthropic", event("error", error={"type": "overloaded_error", "message": "too much"})),
        ("ollama", b'{"error": "too much"}\n'),
    ],
)
def test_an_error_in_mid_stream_is_raised(name: str, frame: bytes) -> None:
    _, stream = begin(name)
    stream.feed(STREAMS[name][0])
    with pytest.raises(ProviderError, match="too much"):
        stream.feed(frame)


@pytest.mark.parametrize("name", ["anthropic", "ollama"])
def test_what_came_before_an_error_is_given_first(name: str) -> None:
    _, stream = begin(name)
    failure = {"anthropic": event("error", error={"message": "too much"}), "ollama": b'{"error": "too much"}\n'}[name]
    assert stream.feed(STREAMS[name][0] + failure) == [STREAMS[name][0]]
    with pytest.raises(ProviderError, match="too much"):
        stream.finish()


@pytest.mark.parametrize("name", STREAMS)
def test_nothing_goes_on_after_the_end_mark(name: str) -> None:
    _, stream = begin(name)
    whole = b"".join(STREAMS[name])
    assert b"".join(stream.feed(whole + STREAMS[name][1])) == whole
    assert stream.feed(STREAMS[name][1]) == []
    assert stream.finish() == []


SSE_DRESSES = {
    "an id": b"id: 7\n%b\n\n",
    "a time to wait": b"retry: 100\n%b\n\n",
    "a comment": b": hi\n%b\n\n",
    "another comment below": b"%b\n: hi\n\n",
    "carriage returns": b"%b\r\n\r\n",
    "an id after a carriage return": b"%b\rid: 7\n\n",
}


@pytest.mark.parametrize("dress", SSE_DRESSES.values(), ids=SSE_DRESSES)
@pytest.mark.parametrize("name", ["openai", "anthropic"])
def test_of_an_event_only_what_the_dialect_knows_goes_on(name: str, dress: bytes) -> None:
    dressed = [dress % frame.removesuffix(b"\n\n") for frame in STREAMS[name]]
    frames, _ = run(name, dressed)
    assert frames == STREAMS[name]


@pytest.mark.parametrize("name", ["openai", "anthropic"])
def test_an_event_in_two_lines_of_data_goes_on_as_one(name: str) -> None:
    broken = [frame.replace(b'", "', b'",\ndata:  "') for frame in STREAMS[name]]
    assert broken != STREAMS[name]
    frames, _ = run(name, broken)
    assert [json.loads(told.split(b"data: ", 1)[1]) for told in frames if DONE not in told] == [
        json.loads(told.split(b"data: ", 1)[1]) for told in STREAMS[name] if DONE not in told
    ]
    assert all(told.count(b"data:") == 1 for told in frames)


def test_a_chunk_goes_on_without_a_name_and_an_event_of_messages_under_its_own() -> None:
    frames, _ = run("openai", [b"event: foo\n" + frame for frame in OPENAI_STREAM])
    assert frames == OPENAI_STREAM
    foreign = [frame.replace(b"event: content_block_delta", b"event: foo") for frame in ANTHROPIC_STREAM]
    frames, _ = run("anthropic", foreign)
    assert frames == ANTHROPIC_STREAM


@pytest.mark.parametrize("name", STREAMS)
def test_only_a_stream_of_the_expected_form_is_let_through(name: str) -> None:
    passage, _ = begin(name)
    assert passage.begins_well(STREAMS[name][0])
    assert not passage.begins_well(b'data: {"response": "x"}\n\n')
    assert passage.first_frame(STREAMS[name][0][:-1]) is None


def test_chunks_that_differ_in_their_text_alone_pass_and_the_others_are_still_looked_at() -> None:
    _, stream = begin("openai")
    told = [
        chunk({"role": "assistant", "content": ""}),
        *(chunk({"content": text}) for text in ("Hel", "lo, world", 'a "quoted" word', "zażółć", "!")),
        chunk({"content": "."}, "length"),
        chunk({"content": "?"}, usage=USAGE),
    ]
    assert b"".join(stream.feed(b"".join(told))) == b"".join(told)
    assert stream.seen.finish_reason == "length"
    assert stream.seen.usage is not None
    assert stream.seen.usage.completion_tokens == 4


@pytest.mark.parametrize(
    "text",
    [b"a\x01b", b"a\nb", b"\xff", b'"}, "finish_reason": null}]} {"x": "', b"\\"],
    ids=["a control character", "a line break", "no UTF-8", "a second value", "an open escape"],
)
def test_a_chunk_like_the_one_before_but_broken_in_its_text_is_left_out(text: bytes) -> None:
    _, stream = begin("openai")
    stream.feed(chunk({"role": "assistant", "content": ""}))
    whole = chunk({"content": "Hello"})
    assert b"".join(stream.feed(whole + whole.replace(b"Hello", text) + whole)) == whole + whole
