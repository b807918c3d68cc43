"""Reading a request's JSON: strict about the text, and with every complaint gathered before one is raised.

`decode` takes bytes to a tree; `Fields` walks an object of it, remembers where it is, and adds what is wrong and what
is not understood to lists that the whole request shares. `null` equals absent everywhere.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NoReturn

import msgspec

from gateway.errors import Detail, InvalidJSON, InvalidRequest

INT64_MAX = 2**63 - 1
MAX_COMPLAINTS = 50
MAX_LOSSES = 50
MAX_NAME = 100
MAX_DEPTH = 100

_PLACES = re.compile(r"\[\d+\]")
_NOTHING: tuple[Any, ...] = (None, False, "", [], {})
_MEANINGLESS = frozenset({"caller", "created_at", "id", "index", "logprobs", "status", "type"})
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")


class _RefusedJsonError(ValueError):
    """JSON that some parsers take, and not all in the same way."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]  # add() gives None: falsy
        raise _RefusedJsonError(f"the key {twice[:100]!r} is given twice in one object")
    return members


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise _RefusedJsonError(f"the number {text[:40]} is out of range")
    return number


def _no_constant(text: str) -> NoReturn:
    raise _RefusedJsonError(f"{text} is not JSON")


# The standard decoder and not msgspec's: only it tells of keys given twice, where a guard and a provider could
# each see another value.
_decoder = json.JSONDecoder(object_pairs_hook=_unique, parse_float=_finite, parse_constant=_no_constant)


def decode(body: bytes) -> Any:
    """Decode a request body; `InvalidJSON` for whatever is not plain, finite JSON."""
    try:
        tree = _decoder.decode(body.decode())
        if _SURROGATE_ESCAPE.search(body):
            msgspec.json.decode(body)  # refuses half of a surrogate pair, which could not be written as UTF-8 again
        if body.count(b"[") + body.count(b"{") > MAX_DEPTH and _is_deeper(tree, MAX_DEPTH):
            raise RecursionError
    except _RefusedJsonError as refused:
        raise InvalidJSON(f"The body is not valid JSON: {refused}.") from None
    except UnicodeDecodeError as wrong:
        message = f"The body is not valid JSON: byte {wrong.start} is not UTF-8."
        raise InvalidJSON(message) from None
    except json.JSONDecodeError as wrong:
        message = f"The body is not valid JSON: {wrong.msg} (line {wrong.lineno}, column {wrong.colno})."
        raise InvalidJSON(message) from None
    except RecursionError:
        raise InvalidJSON("The body is not valid JSON: it is nested too deeply.") from None
    except ValueError:
        message = "The body is not valid JSON: a number is too long or an escape is not a character."
        raise InvalidJSON(message) from None
    return tree


def _is_deeper(tree: Any, depth: int) -> bool:
    level = [tree]
    for _ in range(depth):
        level = [
            child
            for node in level
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return False
    return True


def open_body(body: bytes) -> "Fields":
    """Decode a body that must be an object."""
    tree = decode(body)
    if not isinstance(tree, dict):
        raise InvalidRequest(f"The body must be a JSON object, not {kind_of(tree)}.")
    return Fields(tree, "", Findings())


def kind_of(value: Any) -> str:
    """Say what a JSON value is, for a complaint."""
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


class Findings(list[Detail]):
    """What is wrong with a request, and in `losses` what of it is left out.

    A loss is a member that is not understood and yet says something: by its path without places, a warning of the
    first such member.
    """

    losses: Mapping[str, str] = MappingProxyType({})


class Fields:
    """The members of one JSON object at `path`, and what is wrong with the whole request.

    Losses are kept by `Findings` only, not by a plain list.
    """

    __slots__ = ("complaints", "members", "path")

    def __init__(self, members: dict[str, Any], path: str, complaints: list[Detail]) -> None:
        self.members = members
        self.path = path
        self.complaints = complaints

    def at(self, name: str) -> str:
        """Give the path of a member."""
        return f"{self.path}.{name}" if self.path else name

    def complain(self, name: str, message: str) -> None:
        """Say that the member `name` (or, if empty, this object) is wrong; beyond a bound complaints are not kept."""
        if len(self.complaints) < MAX_COMPLAINTS:
            self.complaints.append(Detail(self.at(name) if name else self.path, message))

    def check(self) -> None:
        """Raise what has been complained of."""
        if self.complaints:
            raise InvalidRequest.naming(self.complaints)

    def get(self, name: str) -> Any:
        """Give a member as it is; None if absent."""
        return self.members.get(name)

    def has(self, name: str) -> bool:
        """Tell whether the member is there and not null."""
        return self.members.get(name) is not None

    def rest(self, known: Collection[str]) -> dict[str, Any]:
        """Give the members that are not `known`, nulls left out."""
        return {name: value for name, value in self.members.items() if name not in known and value is not None}

    def lose(self, name: str, why: str = "not known here and ignored.") -> None:
        """Say that the member `name` (or, if empty, this object) is left out; once for all like it, up to a bound."""
        found = self.complaints
        if not isinstance(found, Findings):
            return
        path = self.at(name[:MAX_NAME]) if name else self.path
        kind = f"{_PLACES.sub('', path)}: {why}"
        if kind not in found.losses and len(found.losses) < MAX_LOSSES:
            found.losses = {**found.losses, kind: f"{path}: {why}"}
        elif kind not in found.losses:
            found.losses = {**found.losses, "": "further members: not known here and ignored."}

    def lose_rest(self, known: frozenset[str]) -> None:
        """Say that the members that are not `known` are left out, as far as they say something to a model.

        Most objects hold only what is known: callers on the hot path look for that themselves first.
        """
        if known.issuperset(self.members):
            return
        for name, value in self.members.items():
            if name not in known and name not in _MEANINGLESS and value not in _NOTHING:
                self.lose(name)

    def warnings(self) -> tuple[str, ...]:
        """Name what is left out."""
        return tuple(self.complaints.losses.values()) if isinstance(self.complaints, Findings) else ()

    def text(self, name: str, *, required: bool = False, empty: bool = True) -> str | None:
        """Give a string; with `empty` false it must have at least one character."""
        value = self.members.get(name)
        if value is None:
            if required:
                self.complain(name, "is required")
            return None
        if not isinstance(value, str):
            self.complain(name, f"must be a string, not {kind_of(value)}")
            return None
        if not value and not empty:
            self.complain(name, "must not be empty")
            return None
        return value

    def flag(self, name: str) -> bool | None:
        """Give a boolean."""
        value = self.members.get(name)
        if value is None or isinstance(value, bool):
            return value
        self.complain(name, f"must be true or false, not {kind_of(value)}")
        return None

    def number(self, name: str, low: float | None = None, high: float | None = None) -> float | None:
        """Give a number from `low` to `high`, both included."""
        value = self.members.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            self.complain(name, f"must be a number, not {kind_of(value)}")
            return None
        return value if self._within(name, value, low, high) else None

    def integer(self, name: str, low: int = -INT64_MAX, high: int = INT64_MAX) -> int | None:
        """Give a whole number from `low` to `high`, both included; 3.0 counts as 3."""
        value = self.members.get(name)
        if value is None:
            return None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            self.complain(
                name, "must be a whole number" + ("" if isinstance(value, float) else f", not {kind_of(value)}")
            )
            return None
        return value if self._within(name, value, low, high) else None

    def _within(self, name: str, value: float, low: float | None, high: float | None) -> bool:
        if (low is None or value >= low) and (high is None or value <= high):
            return True
        if low is not None and value < low and high in (None, INT64_MAX):
            self.complain(name, f"must be at least {low}")
        elif high is not None and value > high and low in (None, -INT64_MAX):
            self.complain(name, f"must be at most {high}")
        else:
            self.complain(name, f"must be from {low} to {high}")
        return False

    def choice(self, name: str, allowed: Sequence[str], *, required: bool = False) -> str | None:
        """Give a string that is one of `allowed`."""
        value = self.text(name, required=required)
        if value is None or value in allowed:
            return value
        self.complain(name, f"must be one of {', '.join(allowed)}")
        return None

    def mapping(self, name: str) -> dict[str, Any] | None:
        """Give an object as it is."""
        value = self.members.get(name)
        if value is None or isinstance(value, dict):
            return value
        self.complain(name, f"must be an object, not {kind_of(value)}")
        return None

    def inner(self, name: str, *, required: bool = False) -> "Fields | None":
        """Give an object to be read further."""
        value = self.mapping(name)
        if value is None:
            if required and self.members.get(name) is None:
                self.complain(name, "is required")
            return None
        return Fields(value, self.at(name), self.complaints)

    def items(self, name: str, *, required: bool = False) -> Sequence[Any]:
        """Give a list as it is; empty if absent. With `required` it must be there and not be empty."""
        value = self.members.get(name)
        if value is None:
            if required:
                self.complain(name, "is required")
            return ()
        if not isinstance(value, list):
            self.complain(name, f"must be a list, not {kind_of(value)}")
            return ()
        if required and not value:
            self.complain(name, "must not be empty")
        return value

    def objects(self, name: str, *, required: bool = False) -> Iterator["Fields"]:
        """Go through a list of objects; what is no object is complained of and left out."""
        for place, value in enumerate(self.items(name, required=required)):
            path = f"{name}[{place}]"
            if isinstance(value, dict):
                yield Fields(value, self.at(path), self.complaints)
            else:
                self.complain(path, f"must be an object, not {kind_of(value)}")

    def texts(self, name: str, *, empty: bool = False) -> tuple[str, ...]:
        """Give a string or a list of strings as a tuple; with `empty` false no string may be empty."""
        value = self.members.get(name)
        if value is None:
            return ()
        single = isinstance(value, str)
        given: list[str] = []
        for place, item in enumerate([value] if single else self.items(name)):
            path = name if single else f"{name}[{place}]"
            if not isinstance(item, str):
                self.complain(path, f"must be a string, not {kind_of(item)}")
            elif not item and not empty:
                self.complain(path, "must not be empty")
            else:
                given.append(item)
        return tuple(given)
