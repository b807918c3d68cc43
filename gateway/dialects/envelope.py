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
_OPENING = ord("[")
_EMPTY_LIST = re.compile(rb"\[\s*\]")


class _Key:
    """A member's name, equal to none other: so that a name given twice shows."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """A body, its model as the client wrote it, whether it wants a stream, and whether usage in it.

    `stream_options` is that member as it was given. `model_at` is where the model's value stands, None where only a
    closer look can tell.
    """

    body: bytes
    model: str
    stream: bool
    include_usage: bool = False
    stream_options: dict[str, Any] | None = None
    model_at: tuple[int, int] | None = None


class _Top(msgspec.Struct):
    """What a glance takes in of a body; the rest is checked to be JSON, and skipped."""

    model: str
    stream: bool | None = None
    messages: msgspec.Raw = msgspec.Raw(b"")
    input: msgspec.Raw = msgspec.Raw(b"")


_glance = msgspec.json.Decoder(_Top).decode
_MODEL = re.compile(rb'"model"\s*:\s*("[^"\\]*")')
_ESCAPED_LETTERS = (b"\\u005", b"\\u006", b"\\u007")


def _make_key(_: type, name: object) -> _Key:
    return _Key(str(name))


_decoder = msgspec.json.Decoder(dict[_Key, msgspec.Raw], dec_hook=_make_key)


def read(body: bytes, *, content: str | None = "messages", stream: bool = False) -> Envelope:
    """Look at a body's top level: `model` a name, `stream` a boolean, the member `content` a non-empty list.

    `stream` is what holds when the body does not say. `InvalidRequest` names every field that is wrong.
    """
    return _read_at_a_glance(body, content, stream) or _read_closely(body, content, stream)


def _read_at_a_glance(body: bytes, content: str | None, stream: bool) -> Envelope | None:  # noqa: FBT001
    """Read a body in which the names that matter stand once, spelled plainly; None for any other."""
    if body.count(b'"model"') != 1 or body.count(b'"stream"') > 1 or b'"stream_options"' in body:
        return None
    if content is not None and body.count(b'"messages"' if content == "messages" else b'"input"') != 1:
        return None
    if b"\\u00" in body and any(escaped in body for escaped in _ESCAPED_LETTERS):
        return None
    try:
        if not body.isascii():
            body.decode()
        top = _glance(body)
    except (ValueError, RecursionError):
        return None
    found = _MODEL.search(body)
    if not top.model or found is None:
        return None
    if content is not None:
        given = memoryview(top.messages if content == "messages" else top.input)
        if not given or given[0] != _OPENING or _EMPTY_LIST.match(given):
            return None
    wished = top.stream
    return Envelope(body=body, model=top.model, stream=stream if wished is None else wished, model_at=found.span(1))


def _read_closely(body: bytes, content: str | None, stream: bool) -> Envelope:  # noqa: FBT001
    """Read a body however it is written; says what is wrong with one that cannot be taken."""
    members = _cut(body)
    try:
        given = {name: msgspec.json.decode(members[name]) for name in _LOOKED_AT if name in members}
    except (ValueError, RecursionError):
        raise _explain(body) from None
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
        stream_options=given.get("stream_options"),
    )


def _cut(body: bytes) -> dict[str, memoryview]:
    """Give each member's raw JSON, in order."""
    try:
        if not body.isascii():
            body.decode()
        keyed = _decoder.decode(body)
    except (ValueError, RecursionError):
        raise _explain(body) from None
    members = {key.name: memoryview(raw) for key, raw in keyed.items()}
    if len(members) != len(keyed):
        raise _explain(body)
    return members


def _explain(body: bytes) -> InvalidRequest:
    """Find the words for what is wrong with a body."""
    decode(body)  # names the place, or the key that is given twice
    return InvalidRequest("The body must be a JSON object.")


def _check_content(fields: Fields, name: str, raw: memoryview | None) -> None:
    if raw is None or bytes(raw[:1]) == b"n":
        fields.complain(name, "is required")
    elif bytes(raw[:1]) != b"[":
        fields.complain(name, "must be a list")
    elif _EMPTY_LIST.match(raw):
        fields.complain(name, "must not be empty")


def rewrite(envelope: Envelope, changes: Mapping[str, Any]) -> bytes:
    """Give the body with the members of `changes` replaced, or added at the end; all other bytes as they were."""
    at = envelope.model_at
    if at is not None and changes.keys() == {"model"}:
        return envelope.body[: at[0]] + msgspec.json.encode(changes["model"]) + envelope.body[at[1] :]
    written = {name: msgspec.json.encode(value) for name, value in changes.items()}
    members = _cut(envelope.body)
    whole = memoryview(envelope.body)
    pieces: list[bytes | memoryview] = []
    kept = place = 0
    for name, raw in members.items():
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
        pieces.append(added if not members else b"," + added)
    pieces.append(whole[place:])
    return b"".join(pieces)


def asks(body: bytes) -> bool:
    """Tell whether a body has any messages."""
    messages = _cut(body).get("messages", memoryview(b"null"))
    return bytes(messages).translate(None, b" \t\r\n") not in (b"null", b"[]")
