"""The short cut: the client's dialect is the provider's own wire format, so bytes go through (API.md 3.8 and 6).

Only the model's name and the credentials change. Where the route leads elsewhere, or a fallback does, or the answer
is not well formed, it is the long way after all: decoded into messages and written anew.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Generic

from sanic.response import HTTPResponse

from gateway.api.inference import answer_chat, answer_json, caller_of, encode, find_route, make_head
from gateway.api.recording import Recording
from gateway.api.replies import Reply
from gateway.api.services import GatewayRequest
from gateway.api.streams import StreamForm, send_stream
from gateway.dialects.base import Dialect, ParsedT
from gateway.dialects.envelope import Envelope
from gateway.dialects.passing import Passage, PassingStream
from gateway.messages.chat import Usage
from gateway.providers.base import UpstreamRequest
from gateway.routing.names import Route, Target
from gateway.routing.router import MAX_REPLY_BYTES, Events, Opened

#: what a client may say to the provider beside the body
_NATIVE_HEADERS = ("anthropic-version", "anthropic-beta", "openai-organization", "openai-project", "openai-beta")


async def answer_natively(request: GatewayRequest, dialect: Dialect[ParsedT], passage: Passage) -> HTTPResponse | None:
    """Answer a chat, passing its bytes through where the first target of its route speaks the same wire format."""
    envelope = passage.read(request.body)
    route = find_route(request, envelope.model)
    path = request.services.router.native_path(route.targets[0], passage.wire)
    if path is None:
        return await answer_chat(request, dialect, dialect.parse(request.body), route=route)
    native = _Native(request, dialect, passage, envelope, (route.targets[0], path))
    with Recording(request, asked=envelope.model, stream=envelope.stream) as recording:
        recording.aimed_at(route.targets[0])
        if envelope.stream:
            form = StreamForm(content_type=dialect.STREAM_TYPE, keep_alive=dialect.KEEP_ALIVE, fail=passage.fail)
            recording.ended(await send_stream(request, native.pieces(route, recording), form))
            return None
        router, caller = request.services.router, caller_of(request)
        opened, (response, usage, finish_reason) = await router.fetch(route, native.write, caller, native.take)
        recording.answered_by(opened.target, usage, finish_reason)
        return recording.keep(response)


class _Native(Generic[ParsedT]):
    """One request on the short cut; it is parsed in full only if it must be."""

    __slots__ = ("_dialect", "_envelope", "_first", "_parsed", "_passage", "_request", "_router")

    def __init__(
        self,
        request: GatewayRequest,
        dialect: Dialect[ParsedT],
        passage: Passage,
        envelope: Envelope,
        first: tuple[Target, str],
    ) -> None:
        self._request = request
        self._router = request.services.router
        self._dialect = dialect
        self._passage = passage
        self._envelope = envelope
        self._first = first
        self._parsed: ParsedT | None = None

    def path_of(self, target: Target) -> str | None:
        """Give the path of a target that speaks this wire format; nearly always it is the first one."""
        first, path = self._first
        return path if target is first else self._router.native_path(target, self._passage.wire)

    def parse(self) -> ParsedT:
        if self._parsed is None:
            self._parsed = self._dialect.parse(self._request.body)
        return self._parsed

    def write(self, target: Target) -> UpstreamRequest:
        path = self.path_of(target)
        if path is None:
            return self._router.write_chat(target, self.parse().chat)
        given = self._request.headers
        headers: tuple[tuple[str, str], ...] = ()
        for name in _NATIVE_HEADERS:
            if name in given:
                headers += ((name, given[name]),)
        return UpstreamRequest(
            path=path, body=self._passage.write_request(self._envelope, target.model), headers=headers
        )

    async def take(self, opened: Opened) -> tuple[HTTPResponse, Usage | None, str | None]:
        """Take a whole answer as it is, or, where it is not well formed, read it and write it anew."""
        body = await opened.answer.read(MAX_REPLY_BYTES)
        provider_id = opened.answer.header("x-request-id") or opened.answer.header("request-id")
        headers = {"x-provider-request-id": provider_id} if provider_id else {}
        seen = self._passage.look(body) if self.path_of(opened.target) is not None else None
        if seen is not None:
            return Reply(body, headers=headers, content_type="application/json"), seen.usage, seen.finish_reason
        reply = self._router.read_chat(opened, body)
        head = make_head(self._request, opened.target, self._envelope.model)
        written = answer_json(self._dialect.write_reply(self.parse(), reply, head), headers)
        return written, reply.usage, reply.choices[0].finish_reason if reply.choices else None

    async def pieces(self, route: Route, recording: Recording) -> AsyncIterator[bytes]:
        """Give a streamed answer in writes: what comes at once goes on at once."""
        async with self._router.open(route, self.write, caller_of(self._request), self._begin) as (opened, begun):
            recording.aimed_at(opened.target)
            if isinstance(begun, Events):
                async with aclosing(begun), aclosing(self._encode(opened, begun, recording)) as frames:
                    async for frame in frames:
                        yield frame
                return
            stream, frames_begun = begun
            try:
                with recording.streaming():
                    piece: bytes | None = b"".join(frames_begun)
                    while piece is not None:
                        recording.looked(stream.seen)
                        if stream.seen.ended:
                            await opened.answer.drain()  # first: nothing comes between the end mark and the end
                        if piece:
                            yield piece
                        piece = None if stream.seen.ended else await anext(opened.answer, None)
                        piece = piece and b"".join(stream.feed(piece))
                    if rest := b"".join(stream.finish()):
                        yield rest
            finally:
                recording.looked(stream.seen)

    async def _begin(self, opened: Opened) -> Events | tuple[PassingStream, Sequence[bytes]]:
        """Take the beginning of a stream: frames that pass, or, where it is not of that form, decoded events."""
        begun = b""
        if self._router.native_path(opened.target, self._passage.wire) is not None:
            async for piece in opened.answer:
                begun += piece
                frame = self._passage.first_frame(begun)
                if frame is not None:
                    if not self._passage.begins_well(frame):
                        break
                    stream = self._passage.stream(self._envelope, opened.target.model)
                    return stream, stream.feed(begun)
        return await self._router.begin(opened, begun)

    def _encode(self, opened: Opened, events: Events, recording: Recording) -> AsyncGenerator[bytes, None]:
        head = make_head(self._request, opened.target, self._envelope.model, opened.request.warnings)
        return encode(events, self._dialect.events(self.parse(), head), recording)
