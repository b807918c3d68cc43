"""What all fake providers share: a record of what they were asked, scripted failures, slow and cut streams.

A fake is a real HTTP server that speaks one vendor's wire format as its documentation has it, independent of the
gateway's own code. It answers the same request always the same: it says back the last thing the user said, calls
the first tool it is offered (and tells the result once it has it), fills a JSON Schema, and thinks when the model's
name has `think` in it.

    fake = FakeOpenAI(key="sk-fake")
    async with serve(fake.app) as url: ...
    fake.fail(429, {"error": {...}}, {"retry-after": "1"})     # the next request only
    fake.cut_after = 2                                           # streams end after two events
"""

import asyncio
import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sanic import HTTPResponse, Request, Sanic
from sanic.response import raw

USAGE = {"prompt": 11, "completion": 7, "cached": 3, "reasoning": 2}
"""What every chat is said to have cost."""


@dataclass(frozen=True)
class Received:
    """One request as it came; header names in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any
    raw: bytes


@dataclass(frozen=True)
class Failure:
    """An answer that is given instead of the right one."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


class Fake:
    """One fake provider; `app` is its server."""

    vendor = "fake"

    def __init__(self, key: str | None = None) -> None:
        self.key = key
        self.received: list[Received] = []
        self.failures: deque[Failure] = deque()
        self.reply: str | None = None
        self.pause = 0.0
        self.pause_before = 0.0
        self.cut_after: int | None = None
        self.abort = False
        self.left = asyncio.Event()
        self.app: Sanic[Any, Any] = Sanic(f"fake-{self.vendor}")
        self.app.config.RESPONSE_TIMEOUT = 600
        self.app.on_request(self._before)
        self.route(self.app)

    def route(self, app: Sanic[Any, Any]) -> None:
        """Add the vendor's paths."""
        raise NotImplementedError

    def refuse_key(self) -> HTTPResponse:
        """Answer a request with a wrong key as the vendor does, the key in the message."""
        raise NotImplementedError

    def key_of(self, request: Request) -> str | None:
        """Give the key that a request carries where this vendor looks for it."""
        raise NotImplementedError

    @property
    def last(self) -> Received:
        """The latest request."""
        return self.received[-1]

    def fail(
        self,
        status: int,
        body: Any,
        headers: Mapping[str, str] | None = None,
        *,
        times: int = 1,
        content_type: str = "application/json",
    ) -> None:
        """Answer the next requests with this; `body` is sent as it is when it is bytes."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.failures.extend([Failure(status, content, headers or {}, content_type)] * times)

    async def _before(self, request: Request) -> HTTPResponse | None:
        try:
            body = json.loads(request.body) if request.body else None
        except ValueError:
            body = None
        self.received.append(
            Received(
                method=request.method,
                path=request.path,
                query={name: values[0] for name, values in request.args.items()},
                headers={name.lower(): value for name, value in request.headers.items()},
                body=body,
                raw=request.body,
            )
        )
        if self.key is not None and self.key_of(request) != self.key:
            return self.refuse_key()
        if self.failures:
            failure = self.failures.popleft()
            return raw(failure.body, failure.status, dict(failure.headers), content_type=failure.content_type)
        if self.pause_before:
            await self._wait(self.pause_before)
        return None

    async def _wait(self, seconds: float) -> None:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.left.set()
            raise

    async def stream(self, request: Request, events: list[bytes], content_type: str) -> None:
        """Send the events one by one, with the pauses and the cut that the script asks for."""
        response = await request.respond(content_type=content_type)
        assert response is not None
        try:
            for place, event in enumerate(events):
                if self.cut_after is not None and place >= self.cut_after:
                    if self.abort and request.transport is not None:
                        request.transport.abort()
                        return
                    break
                await response.send(event)
                await asyncio.sleep(self.pause)
        except BaseException:
            self.left.set()
            raise
        await response.eof()


def sse(data: Any, event: str | None = None) -> bytes:
    """Write one server-sent event."""
    name = f"event: {event}\n" if event else ""
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    return f"{name}data: {text}\n\n".encode()


def words_of(text: str) -> list[str]:
    """Cut a text into pieces for streaming; together they are the text."""
    return [piece for piece in text.replace(" ", " \0").split("\0") if piece]


def fill(schema: Mapping[str, Any]) -> Any:
    """Give a value that fits a simple JSON Schema."""
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type", "object")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        return {name: fill(entry) for name, entry in schema.get("properties", {}).items()}
    if kind == "array":
        return [fill(schema.get("items", {"type": "string"}))]
    return {"string": "Łódź", "integer": 21, "number": 1.5, "boolean": True}.get(kind)
