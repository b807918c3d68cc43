"""What an assistant answers, written under OpenAI's names: tool calls and reasoning, whole and streamed.

Shapes: OpenAI API reference, "Create chat completion"; `openai_messages` reads them again.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from gateway.messages.chat import Part, ReasoningDelta, ReasoningPart, ToolCall, ToolCallDelta


def write_tool_call(call: ToolCall) -> dict[str, Any]:
    """Write a call of a whole answer."""
    function = {"name": call.name, "arguments": call.arguments or "{}"}
    body: dict[str, Any] = {"id": call.id, "type": "function", "function": function}
    if call.signature is not None:
        body["extra_content"] = write_signature(call.signature)
    return body


def read_object(arguments: str) -> dict[str, Any]:
    """Read JSON text of arguments as an object; what is none is kept as text under `arguments`."""
    try:
        given = msgspec.json.decode(arguments or "{}")
    except (ValueError, RecursionError):
        given = None
    return given if isinstance(given, dict) else {"arguments": arguments}


def write_signature(signature: str) -> dict[str, Any]:
    """Write the proof that goes with a call, where Gemini's own OpenAI-compatible endpoint puts it."""
    return {"google": {"thought_signature": signature}}


def write_reasoning_details(parts: Sequence[Part]) -> list[dict[str, Any]]:
    """Write the reasoning of an answer with its proofs, in OpenRouter's form; empty without proofs."""
    reasoning = [part for part in parts if isinstance(part, ReasoningPart)]
    if not any(part.signature or part.redacted for part in reasoning):
        return []
    return [_write_detail(place, part.text, part.signature, part.redacted) for place, part in enumerate(reasoning)]


def _write_detail(index: int, text: str, signature: str | None, redacted: str | None) -> dict[str, Any]:
    # OpenAI's client refuses a stream in which an entry of any list has no index.
    if redacted is not None:
        return {"type": "reasoning.encrypted", "data": redacted, "index": index}
    return {"type": "reasoning.text", "text": text, "signature": signature, "index": index}


class Thoughts:
    """The reasoning of a stream, kept until the proof of it comes: the two have to be handed back together."""

    def __init__(self) -> None:
        self._pieces: dict[int, list[str]] = {}
        self._written: dict[int, int] = {}

    def write_details(self, event: ReasoningDelta) -> list[dict[str, Any]]:
        """Give the details that an event completes: a proof with all the text it covers, or hidden reasoning."""
        pieces = self._pieces.setdefault(event.index, [])
        pieces.append(event.text)
        if event.signature is None and event.redacted is None:
            return []
        place = self._written[event.index] = self._written.get(event.index, -1) + 1
        if event.redacted is not None:
            return [_write_detail(place, "", None, event.redacted)]
        return [_write_detail(place, "".join(self._pieces.pop(event.index)), event.signature, None)]


class EmptyCalls:
    """The calls of a stream that have no arguments so far: those that end so have to be given `{}`."""

    def __init__(self) -> None:
        self._calls: dict[tuple[int, int], None] = {}

    def note(self, event: ToolCallDelta) -> None:
        """Take notice of a call that begins or goes on."""
        if event.arguments.strip():
            self._calls.pop((event.index, event.call), None)
        elif event.id is not None:
            self._calls[event.index, event.call] = None

    def complete(self, index: int) -> list[ToolCallDelta]:
        """Give what the calls of answer `index` lack."""
        empty = [call for answer, call in self._calls if answer == index]
        for call in empty:
            del self._calls[index, call]
        return [ToolCallDelta(call=call, arguments="{}", index=index) for call in empty]


def write_call_delta(event: ToolCallDelta) -> dict[str, Any]:
    """Write a piece of a tool call with its index; id, type and name only where the call begins."""
    call: dict[str, Any] = {"index": event.call}
    function: dict[str, Any] = {"arguments": event.arguments}
    if event.id is not None:
        call |= {"id": event.id, "type": "function"}
        function = {"name": event.name or "", "arguments": event.arguments}
    elif event.name is not None:
        function["name"] = event.name
    if event.signature is not None:
        call["extra_content"] = write_signature(event.signature)
    return {**call, "function": function}
