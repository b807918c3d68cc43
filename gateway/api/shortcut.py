"""The short cut: the client's dialect is the provider's own wire format, so bytes go through (API.md 3.8 and 6).

Only the model's name and the credentials change. Where the route leads elsewhere, or a fallback does, or the answer
is not well formed, it is the long way after all: decoded into messages and written anew.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing, suppress
from dataclasses import dataclass
from typing import Generic

from sanic.response import HTTPResponse

from gateway.api.inference import answer_chat, answer_json, caller_of, encode, find_route, make_head
from gateway.api.recording import Recording
from gateway.api.services import GatewayRequest
from gateway.api.streams import StreamForm, send_stream
from gateway.dialects.base import Dialect, ParsedT
from gateway.dialects.envelope import Envelope
from gateway.dialects.passing import Passage
from gateway.errors import GatewayError
from gateway.providers.base import UpstreamRequest
from gateway.routing.names import Route, Target
from gateway.routing.router import MAX_REPLY_BYTES, Opened

END_SECONDS = 0.2

#: what a client may say to the provider beside the body
_NATIVE_HEADERS = ("anthropic-version", "anthropic-beta", "openai-organization", "openai-project", "openai-beta")


async def answer_natively(request: GatewayRequest, dialect: Dialect[ParsedT], passage: Passage) -> HTTPResponse | None:
    """Answer a chat, passing its bytes through where the first target of its route speaks the same wire format."""
    envelope = passage.read(request.body)
    route = find_route(request, envelope.model)
    if request.services.router.native_path(route.targets[0], passage.wire) is None:
        return await answer_chat(request, dialect, dialect.parse(request.body))
    native = _Native(request, dialect, passage, envelope)
    with Recording(request, asked=envelope.model, stream=envelope.stream) as recording:
        recording.aimed_at(route.targets[0])
        if envelope.stream:
            form = StreamForm(content_type=dialect.STREAM_TYPE, keep_alive=dialect.KEEP_ALIVE, fail=passage.fail)
            recording.ended(await send_stream(request, native.pieces(route, recording), form))
            return None
        async with native.open(route) as opened:
            recording.aimed_at(opened.target)
            return recording.keep(await native.answer(opened, recording))


@dataclass
class _Native(Generic[ParsedT]):
    """One request on the short cut; it is parsed in full only if it must be."""

    request: GatewayRequest
    dialect: Dialect[ParsedT]
    passage: Passage
    envelope: Envelope
    _parsed: ParsedT | None = None

    @property
    def parsed(self) -> ParsedT:
        if self._parsed is None:
            self._parsed = self.dialect.parse(self.request.body)
        return self._parsed

    def passes(self, target: Target) -> str | None:
        return self.request.services.router.native_path(target, self.passage.wire)

    def write(self, target: Target) -> UpstreamRequest:
        path = self.passes(target)
        if path is None:
            return self.request.services.router.write_chat(target, self.parsed.chat)
        given = self.request.headers
        headers = tuple((name, given[name]) for name in _NATIVE_HEADERS if name in given)
        return UpstreamRequest(path=path, body=self.passage.write_request(self.envelope, target.model), headers=headers)

    async def answer(self, opened: Opened, recording: Recording) -> HTTPResponse:
        body = await opened.answer.read(MAX_REPLY_BYTES)
        provider_id = opened.answer.header("x-request-id") or opened.answer.header("request-id")
        headers = {"x-provider-request-id": provider_id} if provider_id else {}
        seen = self.passage.look(body) if self.passes(opened.target) else None
        if seen is not None:
            recording.looked(seen)
            return HTTPResponse(body, headers=headers, content_type="application/json")
        reply = self.request.services.router.read_chat(opened, body)
        recording.used(reply.usage)
        head = make_head(self.request, opened.target, self.envelope.model)
        return answer_json(self.dialect.write_reply(self.parsed, reply, head), headers)

    def open(self, route: Route) -> AbstractAsyncContextManager[Opened]:
        return self.request.services.router.open(route, self.write, caller_of(self.request))

    async def pieces(self, route: Route, recording: Recording) -> AsyncIterator[bytes]:
        async with self.open(route) as opened:
            recording.aimed_at(opened.target)
            write = self._pieces if self.passes(opened.target) else self._encoded
            async with aclosing(write(opened, recording)) as frames:
                async for frame in frames:
                    yield frame

    async def _encoded(self, opened: Opened, recording: Recording, begun: bytes = b"") -> AsyncGenerator[bytes, None]:
        head = make_head(self.request, opened.target, self.envelope.model, opened.request.warnings)
        events = self.request.services.router.decode(opened, begun)
        async with aclosing(encode(events, self.dialect.events(self.parsed, head), recording)) as frames:
            async for frame in frames:
                yield frame

    async def _pieces(self, opened: Opened, recording: Recording) -> AsyncGenerator[bytes, None]:
        begun, good = await self._take_first(opened)
        if not good:
            async with aclosing(self._encoded(opened, recording, begun)) as encoded:
                async for frame in encoded:
                    yield frame
            return
        stream = self.passage.stream(self.envelope)
        try:
            with recording.streaming():
                piece: bytes | None = begun
                while piece is not None:
                    frames = stream.feed(piece)
                    recording.looked(stream.seen)
                    if stream.seen.ended:
                        await _take_end(opened)  # first, so that nothing can come between the end mark and the end
                    for frame in frames:
                        yield frame
                    piece = None if stream.seen.ended else await anext(opened.answer, None)
                for frame in stream.finish():
                    yield frame
        finally:
            recording.looked(stream.seen)

    async def _take_first(self, opened: Opened) -> tuple[bytes, bool]:
        """Take bytes until the first event is complete; tell whether it is of the expected form."""
        begun = b""
        async for piece in opened.answer:
            begun += piece
            frame = self.passage.first_frame(begun)
            if frame is not None:
                return begun, self.passage.begins_well(frame)
        return begun, False


async def _take_end(opened: Opened) -> None:
    """Wait a moment for the end behind the end mark, so that the connection can be used again."""
    with suppress(TimeoutError, GatewayError):
        async with asyncio.timeout(END_SECONDS):
            async for _ in opened.answer:
                pass
