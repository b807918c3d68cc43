"""Streams in OpenAI's form (`chat.completion.chunk` events, then `[DONE]`), read leniently."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from gateway.errors import UnusableAnswer
from gateway.messages.chat import (
    Finished,
    FinishReason,
    ReasoningDelta,
    RefusalDelta,
    Started,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    UsageReport,
)
from gateway.providers import lenient
from gateway.providers.failures import raise_error_in
from gateway.providers.framing import MAX_FRAME_BYTES, ServerSentEvent, SseDecoder
from gateway.providers.openai_reply import (
    name_losses,
    read_finish,
    read_plain_text,
    read_reasoning,
    read_reply,
    read_signature,
    read_text,
    read_usage,
)
from gateway.providers.tool_calls import made_up_id

MAX_OPEN_CALLS = 1024
"""More tool calls or answers in one stream than this are no answer but an attack on our memory."""


class WholeAnswer(NamedTuple):
    """A JSON answer that came in place of a stream."""

    body: str


class ChunkFraming:
    """Server-sent events, unless the server did not stream after all and sent one whole JSON answer."""

    def __init__(self) -> None:
        self._sse = SseDecoder()
        self._whole: bytearray | None = None
        self._decided = False

    def feed(self, data: bytes) -> list[ServerSentEvent | WholeAnswer]:
        """Take the next bytes, give the events that are complete with them."""
        if not self._decided and data.strip():
            self._decided = True
            if data.lstrip()[:1] in {b"{", b"["}:
                self._whole = bytearray()
        if self._whole is None:
            return [*self._sse.feed(data)]
        self._whole += data
        if len(self._whole) > MAX_FRAME_BYTES:
            raise UnusableAnswer(f"the provider sent an answer of more than {MAX_FRAME_BYTES} bytes")
        return []

    def flush(self) -> list[ServerSentEvent | WholeAnswer]:
        """Give the event that lacks its closing blank line, or the whole answer."""
        if self._whole is None:
            return [*self._sse.flush()]
        return [WholeAnswer(self._whole.decode("utf-8", "replace"))]


class _Call:
    """One tool call as far as it has come."""

    __slots__ = ("has_arguments", "id", "number")

    def __init__(self, number: int, identity: str) -> None:
        self.number = number
        self.id = identity
        self.has_arguments = False


class _Answer:
    """One of the `n` answers as far as it has come; `slots` leads from the server's index to the call it means."""

    __slots__ = ("calls", "finished", "losses", "said", "slots")

    def __init__(self) -> None:
        self.calls: list[_Call] = []
        self.slots: dict[int, _Call] = {}
        self.losses: dict[str, None] = {}
        self.finished = False
        self.said = False


class ChunkGrammar:
    """Meaning of the chunks of one stream; see `decoding.Grammar`."""

    def __init__(self) -> None:
        self._started = False
        self.ended = False
        self._answers: dict[int, _Answer] = {}
        self._seed: str | None = None

    def read(self, frame: ServerSentEvent | WholeAnswer) -> Iterator[StreamEvent]:
        """Give the events of one chunk, or all those of a whole answer."""
        if isinstance(frame, WholeAnswer):
            yield from _events_of_whole(frame.body)
            self.ended = True
            return
        if frame.data.strip() == "[DONE]":
            yield from self._close_open_answers()
            self.ended = True
            return
        chunk = lenient.parse_or_none(frame.data)
        if frame.event == "error" and isinstance(chunk, dict) and not chunk.get("error"):
            chunk = {"error": chunk}
        elif frame.event == "error" and not isinstance(chunk, dict):
            chunk = {"error": frame.data}
        raise_error_in(chunk)
        if isinstance(chunk, dict):
            yield from self._read_chunk(chunk)

    def end(self) -> Iterable[StreamEvent]:
        """Check that the stream came to its end: `[DONE]`, or a finish reason for each answer."""
        finished = bool(self._answers) and all(answer.finished for answer in self._answers.values())
        if not self.ended and not finished:
            raise UnusableAnswer("the provider's stream ended before the answer was finished")
        return ()

    def _read_chunk(self, chunk: dict[str, Any]) -> Iterator[StreamEvent]:
        choices = [choice for choice in lenient.sequence(chunk.get("choices")) if isinstance(choice, dict)]
        usage = read_usage(chunk.get("usage"))
        if not choices and usage is None:
            choices = _plain_choices(chunk)
        if not choices and usage is None and not chunk.get("id"):
            return
        if not self._started:
            self._started = True
            self._seed = lenient.text_or_none(chunk.get("id"))
            yield Started(
                id=self._seed,
                model=lenient.text_or_none(chunk.get("model")),
                created=lenient.integer(chunk.get("created")),
            )
        for place, choice in enumerate(choices):
            yield from self._read_choice(choice, place)
        if usage is not None:
            yield UsageReport(usage=usage)

    def _read_choice(self, choice: dict[str, Any], place: int) -> Iterator[StreamEvent]:
        index = lenient.integer(choice.get("index"))
        index = place if index is None else index
        answer = self._answer(index)
        if answer.finished:
            return
        delta = choice.get("delta", choice.get("message"))
        fields = delta if isinstance(delta, dict) else {"content": delta if delta is not None else choice.get("text")}
        answer.losses.update(dict.fromkeys(name_losses(fields)))
        logprobs = choice.get("logprobs") if isinstance(choice.get("logprobs"), dict) else None
        if thought := read_reasoning(fields):
            answer.said = True
            yield ReasoningDelta(text=thought, index=index)
        if (text := read_text(fields.get("content"))) or logprobs:
            answer.said = True
            yield TextDelta(text=text or "", index=index, logprobs=logprobs)
        if refusal := lenient.text(fields.get("refusal")):
            answer.said = True
            yield RefusalDelta(text=refusal, index=index)
        yield from self._read_calls(answer, fields, index)
        reason = read_finish(choice.get("finish_reason"), called=bool(answer.calls))
        if reason is not None:
            yield from self._close(answer, index, reason)

    def _answer(self, index: int) -> _Answer:
        answer = self._answers.get(index)
        if answer is None:
            if len(self._answers) >= MAX_OPEN_CALLS:
                raise UnusableAnswer(f"the provider's stream holds more than {MAX_OPEN_CALLS} answers")
            answer = self._answers[index] = _Answer()
        return answer

    def _read_calls(self, answer: _Answer, fields: dict[str, Any], index: int) -> Iterator[StreamEvent]:
        deltas = lenient.sequence(fields.get("tool_calls"))
        if isinstance(fields.get("function_call"), dict):
            deltas = [*deltas, {"index": 0, "function": fields["function_call"]}]
        for delta in map(lenient.mapping, deltas):
            event = self._read_call(answer, delta, index)
            if event is not None:
                yield event

    def _read_call(self, answer: _Answer, delta: dict[str, Any], index: int) -> StreamEvent | None:
        function = lenient.mapping(delta.get("function"))
        name, identity = lenient.text_or_none(function.get("name")), lenient.text_or_none(delta.get("id"))
        slot = lenient.integer(delta.get("index"))
        call = _call_meant(answer, slot, identity)
        begins = name is not None and _begins_another(call, slot, identity)
        if begins:
            call = self._begin(answer, slot, identity or made_up_id(len(answer.calls), self._seed, name))
        if call is None:
            return None
        raw = function.get("arguments")
        arguments = raw if isinstance(raw, str) else lenient.dump(raw) if isinstance(raw, dict) else ""
        call.has_arguments = call.has_arguments or bool(arguments.strip())
        signature = read_signature(delta)
        if not begins and not arguments and signature is None:
            return None
        return ToolCallDelta(
            call=call.number,
            id=call.id if begins else None,
            name=name if begins else None,
            arguments=arguments,
            signature=signature,
            index=index,
        )

    def _begin(self, answer: _Answer, slot: int | None, identity: str) -> _Call:
        if len(answer.calls) >= MAX_OPEN_CALLS:
            raise UnusableAnswer(f"the provider's stream holds more than {MAX_OPEN_CALLS} tool calls")
        call = _Call(len(answer.calls), identity)
        answer.calls.append(call)
        if slot is not None:
            answer.slots[slot] = call
        return call

    def _close_open_answers(self) -> Iterator[StreamEvent]:
        """Finish what the end mark found unfinished; an end mark after nothing at all is no answer."""
        if not any(answer.finished or answer.said or answer.calls for answer in self._answers.values()):
            raise UnusableAnswer("the provider's stream held no answer")
        for index, answer in self._answers.items():
            if not answer.finished:
                yield from self._close(answer, index, "tool_calls" if answer.calls else "stop")

    def _close(self, answer: _Answer, index: int, reason: FinishReason) -> Iterator[StreamEvent]:
        for call in answer.calls:
            if not call.has_arguments:
                yield ToolCallDelta(call=call.number, arguments="{}", index=index)
        answer.finished = True
        yield Finished(finish_reason=reason, index=index, warnings=tuple(answer.losses))


def _call_meant(answer: _Answer, slot: int | None, identity: str | None) -> _Call | None:
    """Find the call that a delta goes on with: by id, by index, else the last one."""
    if identity is not None:
        known = next((call for call in answer.calls if call.id == identity), None)
        if known is not None:
            return known
    if slot is not None:
        return answer.slots.get(slot)
    return answer.calls[-1] if answer.calls else None


def _begins_another(call: _Call | None, slot: int | None, identity: str | None) -> bool:
    """Whether a delta with a name is a new call: servers give all of them index 0, or no index, or repeat the name."""
    if call is None:
        return True
    return slot is None if identity is None else identity != call.id


def _plain_choices(chunk: dict[str, Any]) -> list[dict[str, Any]]:
    """Take a chunk that is no chat completion chunk but holds text (llama.cpp's `content`, others' `response`)."""
    text = read_plain_text(chunk)
    if text is None:
        return []
    ended = chunk.get("finish_reason") or chunk.get("done_reason") or (chunk.get("stop") is True and "stop")
    return [{"index": 0, "delta": {"content": text}, "finish_reason": ended or None}]


def _events_of_whole(body: str) -> Iterable[StreamEvent]:
    reply = read_reply(body.encode())
    yield Started(id=reply.id, model=reply.model or None, created=reply.created)
    for choice in reply.choices:
        if choice.reasoning:
            yield ReasoningDelta(text=choice.reasoning, index=choice.index)
        if choice.message.text:
            yield TextDelta(text=choice.message.text, index=choice.index, logprobs=choice.logprobs)
        if choice.refusal:
            yield RefusalDelta(text=choice.refusal, index=choice.index)
        for number, call in enumerate(choice.message.tool_calls):
            yield ToolCallDelta(
                call=number,
                id=call.id,
                name=call.name,
                arguments=call.arguments,
                signature=call.signature,
                index=choice.index,
            )
        yield Finished(finish_reason=choice.finish_reason, index=choice.index, warnings=reply.warnings)
    if reply.usage is not None:
        yield UsageReport(usage=reply.usage)
