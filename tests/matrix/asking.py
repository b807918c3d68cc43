"""What every client of the matrix can be asked, and what it gives back; the vendors' SDKs do the work."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "degrees": {"type": "integer"}},
    "required": ["city", "degrees"],
    "additionalProperties": False,
}
WEATHER = {"name": "weather", "description": "Tells the weather of a city", "parameters": SCHEMA}


@dataclass(frozen=True)
class Call:
    """A tool call, its arguments parsed."""

    id: str
    name: str
    arguments: dict[str, Any]


@dataclass
class Answer:
    """What the SDK makes of an answer; `turn` is the answer in the SDK's own form, to be handed back."""

    text: str = ""
    thought: str = ""
    calls: list[Call] = field(default_factory=list)
    finish: str | None = None
    usage: tuple[int, int] | None = None
    turn: list[Any] = field(default_factory=list)


class Client(Protocol):
    """One SDK and one of its endpoints. `finishes` are its words for a normal end and for tool calls."""

    name: ClassVar[str]
    finishes: ClassVar[tuple[str, str]]
    features: ClassVar[tuple[str, ...]]

    def user(self, text: str, image: str | None = None) -> Any:
        """Give a turn of the user; `image` is a PNG in base64."""
        ...

    def result(self, call: Call, text: str) -> Any:
        """Give the turn that answers a call."""
        ...

    async def ask(self, model: str, turns: Sequence[Any], *, streamed: bool, wish: str = "text") -> Answer:
        """Ask; `wish` is text, tools, schema, thought or thoughtful-tools."""
        ...

    async def close(self) -> None:
        """Close its connections."""
        ...


def parse(arguments: str | None) -> dict[str, Any]:
    given = json.loads(arguments or "{}")
    assert isinstance(given, dict)
    return given
