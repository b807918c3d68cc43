"""Hypothesis strategies: answers, whole and as streams of events, as any provider may give them."""

import json
from typing import Any

from hypothesis import strategies as st

from gateway.messages.chat import (
    ChatReply,
    Choice,
    Finished,
    FinishReason,
    Message,
    Part,
    ReasoningDelta,
    ReasoningPart,
    RefusalDelta,
    Started,
    StreamEvent,
    TextDelta,
    TextPart,
    ToolCall,
    ToolCallDelta,
    Usage,
    UsageReport,
)

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12)
SAID = TEXT.filter(bool)
NAME = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_-]{0,15}", fullmatch=True)
COUNT = st.integers(0, 10**6)
ARGUMENTS = st.dictionaries(TEXT, st.none() | st.booleans() | st.integers(-9, 9) | TEXT, max_size=3).map(json.dumps)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    prompt, completion = draw(COUNT), draw(COUNT)
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        cached_tokens=draw(st.none() | st.integers(0, prompt)),
        reasoning_tokens=draw(st.none() | st.integers(0, completion)),
    )


@st.composite
def calls(draw: st.DrawFn, place: int) -> ToolCall:
    signature = draw(st.none() | SAID)
    return ToolCall(id=f"call_{place}", name=draw(NAME), arguments=draw(ARGUMENTS), signature=signature)


@st.composite
def reasonings(draw: st.DrawFn) -> ReasoningPart:
    if draw(st.booleans()):
        return ReasoningPart(redacted=draw(SAID))
    return ReasoningPart(text=draw(SAID), signature=draw(SAID))


@st.composite
def replies(draw: st.DrawFn) -> ChatReply:
    """A whole answer: reasoning with its proofs, a text, calls; as its client would have to hand it back."""
    content: list[Part] = list(draw(st.lists(reasonings(), max_size=2)))
    if text := draw(TEXT):
        content.append(TextPart(text=text))
    made = tuple(draw(calls(place)) for place in range(draw(st.integers(0, 3))))
    reason: FinishReason = "tool_calls" if made else draw(st.sampled_from(("stop", "length", "content_filter")))
    message = Message(role="assistant", content=tuple(content), tool_calls=made)
    return ChatReply(
        model="m",
        choices=(Choice(message=message, finish_reason=reason),),
        id=draw(st.none() | st.just("answer-1")),
        usage=draw(st.none() | usages()),
    )


def _pieces(draw: st.DrawFn, text: str) -> list[str]:
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=3)))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def _call_deltas(draw: st.DrawFn, number: int, index: int) -> list[StreamEvent]:
    made = draw(calls(number))
    # Some vendors send nothing at all for a call without arguments.
    pieces = _pieces(draw, made.arguments) if draw(st.booleans()) or made.arguments != "{}" else []
    first = ToolCallDelta(call=number, id=f"{made.id}_{index}", name=made.name, signature=made.signature, index=index)
    return [first, *(ToolCallDelta(call=number, arguments=piece, index=index) for piece in pieces)]


def _mix(draw: st.DrawFn, sequences: list[list[StreamEvent]]) -> list[StreamEvent]:
    """Put sequences together, each in its own order; that each begins after the one before keeps calls in order."""
    mixed: list[StreamEvent] = []
    waiting = [list(sequence) for sequence in sequences if sequence]
    begun = 0
    while waiting:
        choice = draw(st.integers(0, min(begun, len(waiting) - 1)))
        begun = max(begun, choice + 1)
        mixed.append(waiting[choice].pop(0))
        if not waiting[choice]:
            waiting.pop(choice)
            begun -= 1
    return mixed


@st.composite
def answers(draw: st.DrawFn, index: int = 0, *, mixed: bool = True) -> list[StreamEvent]:
    """The deltas of one answer and its end; with `mixed` the deltas of several calls may alternate."""
    events: list[StreamEvent] = []
    for _ in range(draw(st.integers(0, 2))):
        thought = draw(reasonings())
        if thought.redacted is not None:
            events.append(ReasoningDelta(redacted=thought.redacted, index=index))
            continue
        events += [ReasoningDelta(text=piece, index=index) for piece in _pieces(draw, thought.text)]
        events.append(ReasoningDelta(signature=thought.signature, index=index))
    if draw(st.booleans()):
        events += [ReasoningDelta(text=draw(TEXT), index=index)]
    events += [TextDelta(text=piece, index=index) for piece in _pieces(draw, draw(TEXT))]
    refusals = [RefusalDelta(text=draw(TEXT), index=index)] if draw(st.integers(0, 4)) == 0 else []
    made = [_call_deltas(draw, number, index) for number in range(draw(st.integers(0, 3)))]
    events += refusals
    events += _mix(draw, made) if mixed else [event for call in made for event in call]
    if made and draw(st.booleans()):
        events.append(TextDelta(text=draw(TEXT), index=index))
    reasons: tuple[FinishReason, ...] = ("tool_calls", "length") if made else ("stop", "length", "content_filter")
    return [*events, Finished(finish_reason=draw(st.sampled_from(reasons)), index=index)]


@st.composite
def streams(draw: st.DrawFn, *, many: int = 1, mixed: bool = True) -> list[StreamEvent]:
    """All events of one stream: a start (some vendors have none), `many` answers at most, usage if it is told."""
    start = [Started(id=draw(st.none() | st.just("answer-1")), model="m", usage=draw(st.none() | usages()))]
    count = draw(st.integers(1, many))
    body = _mix(draw, [draw(answers(index, mixed=mixed)) for index in range(count)])
    usage = [UsageReport(usage=draw(usages()))] if draw(st.booleans()) else []
    # Usage may come before the last end, as it does from Ollama and Gemini.
    end: list[Any] = [*usage, body.pop()] if draw(st.booleans()) else [body.pop(), *usage]
    return [*(start if draw(st.integers(0, 3)) else []), *body, *end]
