"""Values of foreign JSON, taken as what they should be or not at all; nothing here trusts a shape."""

from datetime import datetime
from typing import Any

import msgspec

from gateway.errors import UnusableAnswer


def parse(data: bytes | str) -> Any:
    """Give the JSON value; `UnusableAnswer` when it is none."""
    try:
        return msgspec.json.decode(data)
    except (ValueError, RecursionError) as error:
        raise UnusableAnswer("the provider's answer is not JSON") from error


def parse_or_none(data: bytes | str) -> Any:
    """Give the JSON value, None when it is none."""
    try:
        return msgspec.json.decode(data)
    except (ValueError, RecursionError):
        return None


def mapping(value: Any) -> dict[str, Any]:
    """Give `value` if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def sequence(value: Any) -> list[Any]:
    """Give `value` if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def text(value: Any) -> str:
    """Give `value` if it is a string, else an empty one."""
    return value if isinstance(value, str) else ""


def text_or_none(value: Any) -> str | None:
    """Give `value` if it is a string that is not empty."""
    return value if isinstance(value, str) and value else None


def integer(value: Any) -> int | None:
    """Give `value` if it is a whole number."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) else None


def vector(value: Any) -> tuple[float, ...]:
    """Give the list of numbers as a vector; `UnusableAnswer` when it is none."""
    numbers = sequence(value)
    if not numbers or not all(isinstance(number, int | float) for number in numbers):
        raise UnusableAnswer("the provider's answer holds something that is not a vector of numbers")
    return tuple(float(number) for number in numbers)


def unix_time(value: Any) -> int | None:
    """Give a time written as RFC 3339 in whole seconds since 1970, None when it is none or lies before."""
    try:
        seconds = int(datetime.fromisoformat(text(value)).timestamp())
    except (ValueError, OverflowError):
        return None
    return seconds if seconds >= 0 else None


def dump(value: Any) -> str:
    """Write a value as compact JSON text."""
    return msgspec.json.encode(value).decode()


def arguments(value: Any) -> str:
    """Give the arguments of a tool call as JSON text, whether they came as text or as an object; `{}` for none."""
    if isinstance(value, str):
        return value if value.strip() else "{}"
    return dump(value) if value is not None else "{}"


def arguments_object(written: str) -> dict[str, Any]:
    """Give the arguments of a tool call as the object that some vendors want.

    What a model wrote that is not an object is kept under the name `arguments`, rather than lost.
    """
    value = parse_or_none(written) if written.strip() else {}
    if isinstance(value, dict):
        return value
    return {"arguments": written if value is None else value}
