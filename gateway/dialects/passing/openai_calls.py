"""The tool calls of a stream as far as they have come: which piece belongs to which, however a server counts them."""

from typing import Any

import msgspec

from gateway.dialects.passing.openai_members import Count
from gateway.errors import UnusableAnswer
from gateway.providers import lenient
from gateway.providers.openai_stream import MAX_OPEN_CALLS
from gateway.providers.tool_calls import made_up_id


class Function(msgspec.Struct):
    """What a call is of; both may come piece by piece."""

    name: str | None = None
    arguments: str | None = None


class CallPiece(msgspec.Struct):
    """A piece of a tool call in a delta."""

    index: Count
    id: str | None = None
    type: str | None = None
    function: Function | None = None


class _Call:
    """One call: its number in what the client sees, its id, and whether it is of a function without arguments yet."""

    __slots__ = ("id", "lacks_arguments", "number")

    def __init__(self, number: int, identity: str) -> None:
        self.number = number
        self.id = identity
        self.lacks_arguments = False


class OpenCalls:
    """The calls of all answers of one stream.

    A piece that can be taken goes through as it is; any other has to be placed, for servers that give every call
    index 0, or none at all, or leave out ids.
    """

    __slots__ = ("_calls", "_slots")

    def __init__(self) -> None:
        self._calls: dict[int, list[_Call]] = {}
        self._slots: dict[tuple[int, int], _Call] = {}  # by answer and the server's index

    def any(self, answer: int) -> bool:
        """Tell whether an answer has called anything."""
        return answer in self._calls

    def take(self, answer: int, piece: CallPiece) -> bool:
        """Take notice of a piece that begins a call with an id or goes on with one under its index.

        False for any other, which has to be placed.
        """
        call = self._slots.get((answer, piece.index))
        if call is None:
            if not piece.id or piece.index != len(self._calls.get(answer, ())):
                return False
            call = self._begin(answer, piece.index, piece.id)
            call.lacks_arguments = piece.function is not None
        elif call.number != piece.index or (piece.id and piece.id != call.id):
            return False
        if piece.function is not None and piece.function.arguments and piece.function.arguments.strip():
            call.lacks_arguments = False
        return True

    def lacking(self, answer: int) -> list[int]:
        """Give the numbers of the calls that have no arguments so far: at the end of the answer they need `{}`."""
        return [call.number for call in self._calls.get(answer, ()) if call.lacks_arguments]

    def place(self, answer: int, piece: dict[str, Any], seed: str) -> dict[str, Any] | None:
        """Give a piece as it should be, and take notice of it; None if it belongs to no call.

        An id that is missing is made up from `seed`.
        """
        fitting = _convert(piece)
        if fitting is not None and self.take(answer, fitting):
            return piece
        function = lenient.mapping(piece.get("function"))
        name, identity = lenient.text_or_none(function.get("name")), lenient.text_or_none(piece.get("id"))
        slot = lenient.integer(piece.get("index"))
        call = self._meant(answer, slot, identity)
        begins = name is not None and (call is None or (slot is None if identity is None else identity != call.id))
        if begins:
            call = self._begin(answer, slot, identity or made_up_id(len(self._calls.get(answer, ())), seed, name))
            call.lacks_arguments = True
        if call is None:
            return None
        given = function.get("arguments")
        arguments = given if isinstance(given, str) else lenient.dump(given) if isinstance(given, dict) else ""
        call.lacks_arguments = call.lacks_arguments and not arguments.strip()
        rest = {key: value for key, value in piece.items() if key not in ("index", "id", "type", "function")}
        if not begins:
            return {"index": call.number, "function": {"arguments": arguments}, **rest}
        head = {"index": call.number, "id": call.id, "type": "function"}
        return {**head, "function": {"name": name, "arguments": arguments}, **rest}

    def _meant(self, answer: int, slot: int | None, identity: str | None) -> _Call | None:
        calls = self._calls.get(answer, [])
        known = next((call for call in calls if call.id == identity), None)
        if known is not None or slot is not None:
            return known or self._slots.get((answer, slot or 0))
        return calls[-1] if calls else None

    def _begin(self, answer: int, slot: int | None, identity: str) -> _Call:
        calls = self._calls.setdefault(answer, [])
        if len(calls) >= MAX_OPEN_CALLS:
            raise UnusableAnswer(f"The provider's stream holds more than {MAX_OPEN_CALLS} tool calls.")
        call = _Call(len(calls), identity)
        calls.append(call)
        if slot is not None:
            self._slots[answer, slot] = call
        return call


def _convert(piece: dict[str, Any]) -> CallPiece | None:
    try:
        return msgspec.convert(piece, CallPiece)
    except msgspec.ValidationError:
        return None
