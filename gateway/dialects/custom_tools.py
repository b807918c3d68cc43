"""Tools that take free text (OpenAI's type `custom`), for providers that know functions only.

Such a tool becomes a function with one string, `input`; a call of it becomes one with that string as its text. A
grammar (API reference, "Custom tools") stands in the description, since no other provider can be held to it.
"""

import json
import re
from collections.abc import Iterable
from typing import Any

import msgspec

from gateway.dialects.reading import Fields
from gateway.messages.chat import Tool

_KNOWN = frozenset({"type", "name", "description", "format", "custom"})
_HEAD = re.compile(r'\s*\{\s*"input"\s*:\s*"')
_LONGEST_HEAD = 100
# Characters and whole escapes; the first half of a surrogate pair only together with the second.
_READY = re.compile(
    r'(?:[^"\\]+|\\["\\/bfnrt]|\\u(?![dD][89abAB])[0-9a-fA-F]{4}|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[0-9a-fA-F]{4})*'
)


def is_custom(fields: Fields) -> bool:
    """Whether a tool takes free text; Anthropic calls its functions custom as well, and they have a schema."""
    return fields.get("type") == "custom" and not fields.has("input_schema")


def read_custom(fields: Fields) -> Tool | None:
    """Read a tool that takes free text as a function."""
    fields.lose_rest(_KNOWN)
    tool = fields.inner("custom") if fields.has("custom") else fields
    if tool is None:
        return None
    tool.lose_rest(_KNOWN)
    name, description = tool.text("name", required=True, empty=False), tool.text("description")
    form = tool.inner("format")
    lines = [description or "", "The argument `input` is plain text.", _read_grammar(tool, form) if form else ""]
    text = {"type": "string", "description": "The whole input of the tool, as plain text."}
    schema = {"type": "object", "properties": {"input": text}, "required": ["input"], "additionalProperties": False}
    if name is None:
        return None
    return Tool(name=name, description="\n\n".join(filter(None, lines)), parameters=schema)


def _read_grammar(tool: Fields, form: Fields) -> str:
    kind = form.choice("type", ("text", "grammar"), required=True)
    if kind != "grammar":
        return ""
    grammar = form.inner("grammar") if form.has("grammar") else form
    if grammar is None:
        return ""
    syntax, definition = grammar.text("syntax", required=True), grammar.text("definition", required=True)
    tool.lose("format", "the grammar is told to the model, which is not held to it.")
    return f"It has to follow this grammar ({syntax}):\n{definition}"


def write_arguments(text: str) -> str:
    """Write the text of a call as the arguments of the function."""
    return msgspec.json.encode({"input": text}).decode()


def read_input(arguments: str) -> str:
    """Read the text out of a call's arguments, as far as they have come."""
    reader = InputReader()
    reader.feed(arguments)
    reader.finish()
    return reader.text


class InputReader:
    """Reads the text out of the arguments of one call while they come.

    A model that has written something else than an object with `input` is taken at its word.
    """

    def __init__(self) -> None:
        self._arguments: list[str] = []
        self._pending = ""
        self._begun = self._ended = False
        self._told: list[str] = []

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self._told)

    def feed(self, piece: str) -> str:
        """Take more of the arguments, give the text that is complete with them."""
        self._arguments.append(piece)
        if self._ended:
            return ""
        self._pending += piece
        if not self._begun:
            head = _HEAD.match(self._pending)
            self._ended = head is None and len(self._pending) > _LONGEST_HEAD
            if head is None:
                return ""
            self._begun, self._pending = True, self._pending[head.end() :]
        end = _READY.match(self._pending).end()  # type: ignore[union-attr]  # it matches nothing at all, too
        ready, self._pending = self._pending[:end], self._pending[end:]
        self._ended = self._pending.startswith('"')
        return self._tell(_unescape(ready))

    def finish(self) -> str:
        """Give what is still missing when the arguments are complete."""
        whole, told = _input_of("".join(self._arguments)), self.text
        return self._tell(whole[len(told) :]) if whole.startswith(told) else ""

    def _tell(self, text: str) -> str:
        if text:
            self._told.append(text)
        return text


def _unescape(text: str) -> str:
    if "\\" not in text:
        return text
    whole: str = json.loads(f'"{text}"', strict=False)
    return whole.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _input_of(arguments: str) -> str:
    try:
        given: Any = msgspec.json.decode(arguments or "{}")
    except (ValueError, RecursionError):
        return arguments
    if isinstance(given, str):
        return given
    texts: Iterable[Any] = given.values() if isinstance(given, dict) and len(given) == 1 else ()
    if isinstance(given, dict) and isinstance(given.get("input"), str):
        texts = (given["input"],)
    return next((text for text in texts if isinstance(text, str)), arguments if given else "")
