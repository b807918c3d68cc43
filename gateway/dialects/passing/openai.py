"""OpenAI's chat completions on their way through (API reference, "chat.completion" and "chat.completion.chunk")."""

import secrets
import time
from typing import Annotated, Any

import msgspec

from gateway.dialects import envelope as envelopes
from gateway.dialects import errors, sse
from gateway.dialects.envelope import Envelope
from gateway.dialects.errors import Failure
from gateway.dialects.passing.base import Seen
from gateway.dialects.passing.frames import data_of, sse_cutter
from gateway.errors import UnusableAnswer
from gateway.messages.chat import Usage
from gateway.providers import lenient
from gateway.providers.failures import raise_error_in
from gateway.providers.openai_reply import read_usage

DONE = b"[DONE]"
NULL = msgspec.Raw(b"null")  # a union of Raw and None would take nothing but null


class _Message(msgspec.Struct):
    role: str
    content: msgspec.Raw = NULL
    tool_calls: list[msgspec.Raw] | None = None


class _Choice(msgspec.Struct):
    index: int
    message: _Message
    finish_reason: str


Count = Annotated[int, msgspec.Meta(ge=0)]


class _PromptDetails(msgspec.Struct):
    cached_tokens: Count | msgspec.UnsetType | None = msgspec.UNSET
    cache_write_tokens: Count | None = None


class _CompletionDetails(msgspec.Struct):
    reasoning_tokens: Count | None = None


class _Usage(msgspec.Struct):
    """The counts as OpenAI writes them; what others write is for `read_usage`."""

    prompt_tokens: Count
    completion_tokens: Count
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None
    prompt_cache_hit_tokens: Count | None = None


class _Reply(msgspec.Struct):
    id: str
    object: str
    created: int
    model: str
    choices: list[_Choice]
    usage: _Usage


class _LooseReply(msgspec.Struct):
    id: str
    object: str
    created: int
    model: str
    choices: list[_Choice]
    usage: dict[str, Any]


class _Call(msgspec.Struct):
    index: int


class _Delta(msgspec.Struct):
    content: str | None = None
    tool_calls: list[_Call] | None = None
    reasoning_content: str | None = None


class _ChunkChoice(msgspec.Struct):
    index: int
    delta: _Delta
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    id: str
    object: str
    created: int
    model: str
    choices: list[_ChunkChoice]
    usage: dict[str, Any] | None = None
    error: msgspec.Raw = NULL


_read_reply = msgspec.json.Decoder(_Reply).decode
_read_loose_reply = msgspec.json.Decoder(_LooseReply).decode
_read_chunk = msgspec.json.Decoder(_Chunk).decode


class OpenAIPassage:
    """Chat completions as a passage."""

    wire = "openai_chat"

    def read(self, body: bytes) -> Envelope:
        """Look at the outside of a request."""
        return envelopes.read(body)

    def write_request(self, envelope: Envelope, model: str) -> bytes:
        """Put in the provider's name of the model; of a stream the usage is always asked for."""
        changes: dict[str, Any] = {} if model == envelope.model else {"model": model}
        if envelope.stream and not envelope.include_usage:
            changes["stream_options"] = {**(envelope.stream_options or {}), "include_usage": True}
        return envelopes.rewrite(envelope, changes) if changes else envelope.body

    def look(self, body: bytes) -> Seen | None:
        """Look at a whole answer; one with an empty message and no call has to be judged anew."""
        reply: _Reply | _LooseReply
        try:
            reply = _read_reply(body)
            usage: Usage | None = _take_usage(reply.usage)
        except (ValueError, RecursionError):
            try:
                reply = _read_loose_reply(body)
            except (ValueError, RecursionError):
                return None
            usage = read_usage(reply.usage)
        if not reply.choices:
            return None
        for choice in reply.choices:
            if not choice.message.tool_calls and choice.message.content == NULL:
                return None
        seen = Seen()
        seen.begun = True
        seen.usage = usage
        seen.finish_reason = reply.choices[0].finish_reason
        return seen

    def first_frame(self, begun: bytes) -> bytes | None:
        """Give the first event that says something."""
        return sse_cutter().first(begun)

    def begins_well(self, frame: bytes) -> bool:
        """Tell whether a frame is a chunk with choices."""
        chunk = lenient.parse_or_none(data_of(frame))
        return isinstance(chunk, dict) and isinstance(chunk.get("choices"), list)

    def fail(self, failure: Failure) -> list[bytes]:
        """Write an error that ends a stream."""
        return [sse.data(errors.openai(failure))]

    def stream(self, envelope: Envelope) -> "OpenAIStream":
        """Give a fresh stream."""
        return OpenAIStream(include_usage=envelope.include_usage)


def _take_usage(counts: _Usage) -> Usage:
    details = counts.prompt_tokens_details
    cached = details.cached_tokens if details else msgspec.UNSET
    return Usage(
        prompt_tokens=counts.prompt_tokens,
        completion_tokens=counts.completion_tokens,
        cached_tokens=counts.prompt_cache_hit_tokens if cached is msgspec.UNSET else cached,
        cache_write_tokens=details.cache_write_tokens if details else None,
        reasoning_tokens=counts.completion_tokens_details.reasoning_tokens
        if counts.completion_tokens_details
        else None,
    )


class OpenAIStream:
    """One stream of chunks on its way through.

    Most chunks differ from the one before in nothing but a plain piece of text; those are known by what stands
    around it, and not decoded.
    """

    __slots__ = ("_after", "_before", "_cutter", "_include_usage", "_missing", "seen")

    def __init__(self, *, include_usage: bool) -> None:
        self.seen = Seen()
        self._include_usage = include_usage
        self._cutter = sse_cutter()
        self._missing: dict[str, Any] = {}
        self._before = self._after = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes, give the frames to pass on."""
        if self._before and self._cutter.is_between and self._is_more_text(data):
            return [data]  # one frame: no line ends within a text
        return [passed for frame in self._cutter.cut(data) if (passed := self._pass(frame)) is not None]

    def finish(self) -> list[bytes]:
        """Check that the stream has ended, and put the end mark where it is missing."""
        rest = self._cutter.rest().strip()
        frames = self.feed(rest + b"\n\n") if rest else []
        if not self.seen.ended and self.seen.finish_reason is None:
            raise UnusableAnswer("The provider's stream ended early.")
        return frames if self.seen.ended else [*frames, b"data: [DONE]\n\n"]

    def _pass(self, frame: bytes) -> bytes | None:
        if self._before and self._is_more_text(frame):
            return frame
        data = data_of(frame)
        if not data:
            return None  # comments: keep-alives are our own
        if data == DONE:
            self.seen.ended = True
            return frame
        try:
            chunk = _read_chunk(data)
        except (ValueError, RecursionError):
            return self._mend(data)
        if chunk.error != NULL:
            raise_error_in(lenient.parse_or_none(data))
        return self._look(chunk, frame)

    def _look(self, chunk: _Chunk, frame: bytes) -> bytes | None:
        seen = self.seen
        if chunk.usage is not None:
            seen.usage = read_usage(chunk.usage) or seen.usage
            if not chunk.choices:
                return frame if self._include_usage else None
        for choice in chunk.choices:
            delta = choice.delta
            if not seen.begun and (delta.content or delta.tool_calls or delta.reasoning_content):
                seen.begun = True
            if choice.finish_reason is not None and choice.index == 0:
                seen.finish_reason = choice.finish_reason
        if chunk.usage is None and len(chunk.choices) == 1 and choice.finish_reason is None and delta.content:
            self._remember(frame, delta.content)
        return frame

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

    def _mend(self, data: bytes) -> bytes | None:
        """Fill in what a chunk lacks; None for what is no chunk."""
        chunk = lenient.parse_or_none(data)
        raise_error_in(chunk)
        if not isinstance(chunk, dict) or not isinstance(chunk.get("choices"), list):
            return None
        if not self._missing:
            self._missing = {
                "id": f"chatcmpl-{secrets.token_hex(12)}",
                "object": "chat.completion.chunk",
                "created": int(time.time()),
                "model": "",
            }
        mended = {**chunk, **{name: chunk.get(name) or value for name, value in self._missing.items()}}
        mended["choices"] = [_mend_choice(choice, place) for place, choice in enumerate(chunk["choices"])]
        encoded = msgspec.json.encode(mended)
        try:
            return self._look(_read_chunk(encoded), b"data: " + encoded + b"\n\n")
        except msgspec.DecodeError:
            return None


def _mend_choice(choice: Any, place: int) -> dict[str, Any]:
    fields = lenient.mapping(choice)
    delta = lenient.mapping(fields.get("delta"))
    calls = delta.get("tool_calls")
    if isinstance(calls, list):
        numbered = [{"index": number, **lenient.mapping(call)} for number, call in enumerate(calls)]
        delta = {**delta, "tool_calls": numbered}
    return {"finish_reason": None, **fields, "index": fields.get("index") or place, "delta": delta}


OPENAI = OpenAIPassage()
