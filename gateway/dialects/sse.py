"""Frames of a text/event-stream, and lines of NDJSON. An `id:` field is never written (API.md 3.8)."""

from typing import Any

import msgspec

STREAM_TYPE = "text/event-stream"
KEEP_ALIVE = b": keep-alive\n\n"
DONE = b"data: [DONE]\n\n"

_encode = msgspec.json.encode


def data(payload: Any) -> bytes:
    """One unnamed event with `payload` as JSON."""
    return b"data: " + _encode(payload) + b"\n\n"


def event(name: str, payload: Any) -> bytes:
    """One event called `name` with `payload` as JSON."""
    return b"event: " + name.encode() + b"\ndata: " + _encode(payload) + b"\n\n"


def line(payload: Any) -> bytes:
    """One line of NDJSON."""
    return _encode(payload) + b"\n"
