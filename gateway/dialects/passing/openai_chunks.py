"""OpenAI's streams on their way through (API reference, "chat.completion.chunk")."""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from gateway.dialects import sse
from gateway.dialects.base import openai_usage
from gateway.dialects.openai_chat import NO_USAGE
from gateway.dialects.passing.base import FrameStream
from gateway.dialects.passing.frames import plain_data, read_event, sse_cutter
from gateway.dialects.passing.openai_calls import CallPiece, Function, OpenCalls
from gateway.dialects.passing.openai_members import Count, Counts, FinishReason, Name, take_usage
from gateway.dialects.passing.openai_mending import ChunkMender, read_leniently
from gateway.errors import UnusableAnswer
from gateway.providers.openai_stream import MAX_OPEN_CALLS

DONE = b"[DONE]"


class _Delta(msgspec.Struct):
    role: Literal["assistant"] | None = None
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[CallPiece] | None = None
    function_call: Function | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None


class _Choice(msgspec.Struct):
    index: Count
    delta: _Delta
    finish_reason: FinishReason | None = None


class _Chunk(msgspec.Struct):
    id: Name
    object: Literal["chat.completion.chunk"]
    created: Count
    model: Name
    choices: list[_Choice]
    usage: Counts | None = None
    error: None = None


_read_chunk = msgspec.json.Decoder(_Chunk).decode


class OpenAIStream(FrameStream):
    """One stream of chunks on its way through.

    Most chunks differ from the one before in nothing but a plain piece of text; those are known by what stands
    around it, and not decoded.
    """

    __slots__ = ("_after", "_answers", "_before", "_calls", "_head", "_mender", "_owes_usage")

    def __init__(self, model: str, *, include_usage: bool) -> None:
        super().__init__(sse_cutter())
        self._owes_usage = include_usage
        self._head: dict[str, Any] = {}  # of the first chunk
        self._answers: dict[int, bool] = {}  # those that have begun, and whether they have finished
        self._calls = OpenCalls()
        self._mender = ChunkMender(model, self._answers, self._calls)
        self._before = self._after = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes, give the frames to pass on."""
        if self._before and self._cutter.is_between and self._is_more_text(data):
            return [data]  # one frame: no line ends within a text
        return super().feed(data)

    def _pass(self, frame: bytes) -> Sequence[bytes]:
        if self._before and self._is_more_text(frame):
            return (frame,)
        name, data = b"", plain_data(frame)
        if not data:
            name, data = read_event(frame)
            frame = b"data: %b\n\n" % data
        if data == DONE:
            return self._end()
        try:
            chunk = _read_chunk(data)
        except (ValueError, RecursionError):
            return self._mend(name, data)
        return self._look(chunk, frame) if self._fits(chunk) else self._mend(name, data)

    def _fits(self, chunk: _Chunk) -> bool:
        """Tell whether a chunk goes with those before, and take notice of the calls in it."""
        if self._head and (chunk.model != self._head["model"] or chunk.id != self._head["id"]):
            return False
        for choice in chunk.choices:
            if choice.index not in self._answers and choice.delta.role is None:
                return False
            for piece in choice.delta.tool_calls or ():
                if not self._calls.take(choice.index, piece):
                    return False
            if choice.finish_reason is not None and self._calls.lacking(choice.index):
                return False
        return True

    def _look(self, chunk: _Chunk, frame: bytes) -> tuple[bytes, ...]:
        seen = self.seen
        if not self._head:
            self._head = {"id": chunk.id, "object": chunk.object, "created": chunk.created, "model": chunk.model}
        if chunk.usage is not None:
            seen.usage = take_usage(chunk.usage)
            if not chunk.choices:
                if not self._owes_usage:
                    return ()
                self._owes_usage = False
        for choice in chunk.choices:
            self._look_at(choice)
        if chunk.usage is None and len(chunk.choices) == 1 and choice.finish_reason is None and choice.delta.content:
            self._remember(frame, choice.delta.content)
        return (frame,)

    def _look_at(self, choice: _Choice) -> None:
        seen, delta = self.seen, choice.delta
        if choice.index not in self._answers:
            if len(self._answers) >= MAX_OPEN_CALLS:
                raise UnusableAnswer(f"The provider's stream holds more than {MAX_OPEN_CALLS} answers.")
            self._answers[choice.index] = False
        seen.begun = seen.begun or _says_something(delta)
        if choice.finish_reason is not None:
            self._answers[choice.index] = True
            if choice.index == 0:
                seen.finish_reason = choice.finish_reason

    def _remember(self, frame: bytes, content: str) -> None:
        """Remember what stands around the text of a chunk, if it is beyond doubt where that stands."""
        quoted = msgspec.json.encode(content)
        before, _, after = frame.partition(quoted)
        if after and quoted not in after and b"\\" not in frame:
            self._before, self._after = before + b'"', b'"' + after

    def _is_more_text(self, frame: bytes) -> bool:
        """Tell whether a frame is like the one remembered but for its text, which nothing in it can end early."""
        before, after = self._before, self._after
        if not frame.startswith(before) or not frame.endswith(after) or len(frame) <= len(before) + len(after):
            return False
        text = frame[len(before) : -len(after)]
        return b'"' not in text and b"\\" not in text and text.isascii() and text.decode("ascii").isprintable()

    def _mend(self, name: bytes, data: bytes) -> Sequence[bytes]:
        """Give what an event should have been; nothing for what is none (comments too: keep-alives are our own)."""
        self._before = b""
        if data.strip() == DONE:
            return self._end()
        chunk = read_leniently(name, data) if data else None
        return self._write(chunk) if chunk is not None else ()

    def _write(self, chunk: dict[str, Any]) -> tuple[bytes, ...]:
        mended = self._mender.mend(chunk, self._head)
        if mended is None:
            return ()
        encoded = msgspec.json.encode(mended)
        try:
            return self._look(_read_chunk(encoded), b"data: %b\n\n" % encoded)
        except msgspec.DecodeError:
            return ()

    def _end(self) -> list[bytes]:
        """Give the end mark, and before it whatever an answer that is done still lacks."""
        seen = self.seen
        if not seen.begun and not any(self._answers.values()):
            raise UnusableAnswer("The provider's stream held no answer.")
        frames: list[bytes] = []
        for index in [index for index, finished in self._answers.items() if not finished]:
            reason = "tool_calls" if self._calls.any(index) else "stop"
            frames += self._write({"choices": [{"index": index, "finish_reason": reason}]})
        if self._owes_usage:
            usage = openai_usage(seen.usage or NO_USAGE)
            frames.append(sse.data({**self._head, "choices": [], "usage": usage}))
        seen.ended = True
        self._before = b""
        return [*frames, sse.DONE]


def _says_something(delta: _Delta) -> bool:
    thought = delta.reasoning_content or delta.reasoning
    return bool(delta.content or delta.tool_calls or thought or delta.refusal or delta.function_call)
