"""Ollama's chat on its way through (docs/api.md, "Generate a chat completion")."""

from typing import Annotated, Literal

import msgspec

from gateway.dialects import envelope as envelopes
from gateway.dialects import errors, sse
from gateway.dialects.envelope import Envelope
from gateway.dialects.errors import Failure
from gateway.dialects.passing.base import FrameStream, Seen
from gateway.dialects.passing.frames import ndjson_cutter
from gateway.dialects.passing.ollama_mending import mend
from gateway.messages.chat import Usage
from gateway.providers import lenient

Count = Annotated[int, msgspec.Meta(ge=0)]
Name = Annotated[str, msgspec.Meta(min_length=1)]


class _Object(msgspec.Struct):
    """Any JSON object."""


class _Function(msgspec.Struct):
    name: Name
    arguments: _Object


class _Call(msgspec.Struct):
    function: _Function


class _Message(msgspec.Struct):
    role: Literal["assistant"]
    content: str
    thinking: str | None = None
    tool_calls: list[_Call] | None = None


class _Line(msgspec.Struct):
    model: Name
    created_at: Name
    message: _Message
    done: bool
    done_reason: str | None = None
    prompt_eval_count: Count | None = None
    eval_count: Count | None = None
    error: None = None


_read_line = msgspec.json.Decoder(_Line).decode


class OllamaPassage:
    """Ollama's chat as a passage."""

    wire = "ollama"

    def read(self, body: bytes) -> Envelope:
        """Look at the outside of a request; it streams unless it says otherwise, and without messages loads a model."""
        return envelopes.read(body, content=None, stream=True)

    def asks(self, body: bytes) -> bool:
        """Tell whether a request has messages; without any it only loads its model."""
        envelopes.read(body, content=None)
        return envelopes.asks(body)

    def write_request(self, envelope: Envelope, model: str) -> bytes:
        """Put in the provider's name of the model."""
        return envelope.body if model == envelope.model else envelopes.rewrite(envelope, {"model": model})

    def look(self, body: bytes) -> Seen | None:
        """A whole answer is always written anew: ours carries OpenAI's `choices` and `usage` as well."""
        del body
        return None

    def first_frame(self, begun: bytes) -> bytes | None:
        """Give the first event that says something."""
        return ndjson_cutter().first(begun)

    def begins_well(self, frame: bytes) -> bool:
        """Tell whether a line is one of Ollama's."""
        return _read(frame) is not None

    def fail(self, failure: Failure) -> list[bytes]:
        """Write an error that ends a stream."""
        return [sse.line(errors.ollama(failure))]

    def stream(self, envelope: Envelope, model: str) -> "OllamaStream":
        """Give a fresh stream."""
        del envelope
        return OllamaStream(model)


class OllamaStream(FrameStream):
    """One stream of lines on its way through."""

    __slots__ = ("_model", "_shown")

    def __init__(self, model: str) -> None:
        super().__init__(ndjson_cutter())
        self._model = model
        self._shown = ""  # what the lines so far have called the model

    def _end(self) -> tuple[bytes, ...]:
        return ()

    def _pass(self, frame: bytes) -> tuple[bytes, ...]:
        line = _read(frame)
        if line is not None and line.model == (self._shown or line.model):
            self._look(line)
            return (frame,)
        given = lenient.parse_or_none(frame)
        mended = mend(given, self._shown or lenient.text(lenient.mapping(given).get("model")) or self._model)
        if mended is None:
            return ()
        frame = sse.line(mended)
        self._look(_read_line(frame))
        return (frame,)

    def _look(self, line: _Line) -> None:
        seen, message = self.seen, line.message
        self._shown = line.model
        seen.begun = seen.begun or bool(message.content or message.thinking or message.tool_calls)
        if line.done:
            seen.ended = True
            seen.finish_reason = line.done_reason or "stop"
            if line.prompt_eval_count is not None or line.eval_count is not None:
                seen.usage = Usage(prompt_tokens=line.prompt_eval_count or 0, completion_tokens=line.eval_count or 0)


def _read(frame: bytes) -> _Line | None:
    try:
        return _read_line(frame)
    except (ValueError, RecursionError):
        return None


OLLAMA = OllamaPassage()
