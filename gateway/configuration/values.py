"""From text to values: one small function for each kind of value that an option can have.

Each takes the text as it was given, without blanks around it, and raises `ValueError` for what it cannot be; what
was expected instead stands in the option's own row.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from limits import parse_many

Parser = Callable[[str], object]

_TRUE = frozenset({"true", "1", "yes", "on"})
_FALSE = frozenset({"false", "0", "no", "off"})


class BadSetting(Exception):  # named like the rest: by what is wrong
    """A setting that cannot be used; the message is one line that names it and says what was expected."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def text(value: str) -> str:
    """Take any text without control characters."""
    if not value or any(ord(character) < 32 or ord(character) == 127 for character in value):
        raise ValueError(value)
    return value


def published(value: str) -> str:
    """Take a host with a port, `127.0.0.1:3500` or `[::1]:3500`."""
    if not re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}", value) or not urlsplit(f"//{value}").port:
        raise ValueError(value)
    return value


def token(value: str) -> str:
    """Take what fits into a header: printable ASCII without blanks."""
    if not re.fullmatch(r"[\x21-\x7e]+", value):
        raise ValueError(value)
    return value


def truth(value: str) -> bool:
    """Take true/false, yes/no, on/off, 1/0 in any case."""
    lower = value.lower()
    if lower in _TRUE:
        return True
    if lower in _FALSE:
        return False
    raise ValueError(value)


def whole(low: int, high: int) -> Parser:
    """Make a parser of whole numbers from `low` to `high`."""

    def parse(value: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", value) or not low <= int(value) <= high:
            raise ValueError(value)
        return int(value)

    return parse


def number(low: float, high: float) -> Parser:
    """Make a parser of decimal numbers from `low` to `high`."""

    def parse(value: str) -> float:
        if not low <= (parsed := float(value)) <= high:
            raise ValueError(value)
        return parsed

    return parse


def choice(*choices: str) -> Parser:
    """Make a parser that takes one of `choices` in any case, and gives it as it is written here."""
    by_lower = {one.lower(): one for one in choices}

    def parse(value: str) -> str:
        if value.lower() not in by_lower:
            raise ValueError(value)
        return by_lower[value.lower()]

    return parse


def url(value: str) -> str:
    """Take an http or https address with a host; gives it without a trailing slash."""
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(value)
    if re.search(r"[\s\x00-\x1f\x7f\\]", value):
        raise ValueError(value)
    _ = parts.port  # raises ValueError itself
    return value.rstrip("/")


def address(value: str) -> str:
    """Take an http or https address as it is, query and all (OAuth and JWKS endpoints)."""
    url(value.partition("?")[0])
    return value


def storage(value: str) -> str:
    """Take a storage URI of `limits`; a Redis one without a port gets the usual one."""
    if not re.fullmatch(r"memory://|rediss?://[^\s/]+(/\S*)?|redis\+unix:///\S+", value):
        raise ValueError(value)
    parts = urlsplit(value)
    if parts.scheme in {"redis", "rediss"} and parts.port is None:
        return parts._replace(netloc=f"{parts.netloc.rstrip(':')}:6379").geturl()
    return value


def listing(value: str) -> tuple[str, ...]:
    """Take a comma-separated list; blank entries are skipped."""
    return tuple(text(entry.strip()) for entry in value.split(",") if entry.strip())


def origins(value: str) -> tuple[str, ...]:
    """Take origins of web pages, `scheme://host[:port]`, or `*`; a trailing slash is harmless."""
    found = tuple(entry.rstrip("/").lower() for entry in listing(value))
    if not all(re.fullmatch(r"\*|null|[a-z][a-z0-9+.-]*://[^/\s?#]+", entry) for entry in found):
        raise ValueError(value)
    return found


def pairs(value: str) -> Mapping[str, str]:
    """Take `pattern=provider,…`; blank entries are skipped."""
    found: dict[str, str] = {}
    for entry in listing(value):
        pattern, equals, provider = entry.rpartition("=")
        if not equals or not pattern.strip() or not provider.strip():
            raise ValueError(value)
        found[pattern.strip()] = provider.strip()
    return found


def language(value: str) -> str:
    """Take a language code, the name of a folder of the prompt library."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}", value):
        raise ValueError(value)
    return value


def path(value: str) -> Path:
    """Take a path; `~` is the home folder."""
    return Path(text(value)).expanduser()


def prefix(value: str) -> str:
    """Take a path prefix; gives it with a slash before and none after. None at all is refused."""
    inner = value.strip("/")
    if not re.fullmatch(r"[A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*", inner) or {".", ".."} & set(inner.split("/")):
        raise ValueError(value)
    return f"/{inner}"


def limit(value: str) -> str:
    """Take one or more limits in the notation of `limits`, such as `60/minute;1000/day`."""
    if any(item.amount < 1 or item.get_expiry() < 1 for item in parse_many(value)):
        raise ValueError(value)
    return value
