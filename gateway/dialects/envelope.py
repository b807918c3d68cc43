"""The outside of a JSON request that goes through as it is: what routing must know, and how to change members of it.

When the client's dialect is the provider's own, the body is not translated: `read` looks at its top level only,
and `rewrite` changes single members and leaves every other byte alone.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.dialects.reading import Fields, decode
from gateway.errors import InvalidRequest

_MEMBER = re.compile(rb'[\s{,]*("(?:[^"\\]|\\.)*")\s*:\s*', re.DOTALL)
_LOOKED_AT = ("model", "stream", "stream_options")
_EMPTY_LIST = re.compile(rb"\[\s*\]")


class _Key:
    """A member's name, equal to none other: so that a name given twice shows."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """A body, its model as the client wrote it, whether it wants a stream, and whether usage in it.

    `members` holds each member's raw JSON, in order.
    """

    body: bytes
    model: str
    stream: bool
    include_usage: bool
    members: dict[str, memoryview]


def _make_key(_: type, name: object) -> _Key:
    return _Key(str(name))


_decoder = msgspec.json.Decoder(dict[_Key, msgspec.Raw], dec_hook=_make_key)


def read(body: bytes, *, content: str | None = "messages", stream: bool = False) -> Envelope:
    """Look at a body's top level: `model` a name, `stream` a boolean, the member `content` a non-empty list.

    `stream` is what holds when the body does not say. `InvalidRequest` names every field that is wrong.
    """
    try:
        if not body.isascii():
            body.decode()
        keyed = _decoder.decode(body)
        members = {key.name: memoryview(raw) for key, raw in keyed.items()}
        given = {name: msgspec.json.decode(members[name]) for name in _LOOKED_AT if name in members}
    except (ValueError, RecursionError):
        decode(body)  # says what is wrong
        raise InvalidRequest("The body must be a JSON object.") from None
    if len(members) != len(keyed):
        decode(body)  # names the key
    fields = Fields(given, "", [])
    model = fields.text("model", required=True, empty=False) or ""
    wished = fields.flag("stream")
    options = fields.inner("stream_options")
    include_usage = bool(options.flag("include_usage")) if options is not None else False
    if content is not None:
        _check_content(fields, content, members.get(content))
    fields.check()
    return Envelope(
        body=body,
        model=model,
        stream=stream if wished is None else wished,
        include_usage=include_usage,
        members=members,
    )


def _check_content(fields: Fields, name: str, raw: memoryview | None) -> None:
    if raw is None or bytes(raw[:1]) == b"n":
        fields.complain(name, "is required")
    elif bytes(raw[:1]) != b"[":
        fields.complain(name, "must be a list")
    elif _EMPTY_LIST.match(raw):
        fields.complain(name, "must not be empty")


def rewrite(envelope: Envelope, changes: Mapping[str, Any]) -> bytes:
    """Give the body with the members of `changes` replaced, or added at the end; all other bytes as they were."""
    written = {name: msgspec.json.encode(value) for name, value in changes.items()}
    whole = memoryview(envelope.body)
    pieces: list[bytes | memoryview] = []
    kept = place = 0
    for name, raw in envelope.members.items():
        match = _MEMBER.match(envelope.body, place)
        assert match is not None
        place = match.end() + len(raw)
        if name in written:
            pieces += (whole[kept : match.end()], written.pop(name))
            kept = place
            if not written:
                break
    added = b",".join(msgspec.json.encode(name) + b":" + value for name, value in written.items())
    pieces.append(whole[kept:place])
    if added:
        pieces.append(added if not envelope.members else b"," + added)
    pieces.append(whole[place:])
    return b"".join(pieces)
