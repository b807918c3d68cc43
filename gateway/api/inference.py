"""A parsed request of any dialect: route it, call a provider, answer whole or streamed. Families of paths call this."""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Generic

import msgspec
from sanic.response import HTTPResponse

from gateway.api.recording import Recording
from gateway.api.replies import Reply
from gateway.api.services import GatewayRequest
from gateway.api.streams import StreamForm, send_stream
from gateway.dialects.base import Head, ParsedT, StreamEncoder, Writer
from gateway.dialects.errors import Failure
from gateway.errors import Forbidden
from gateway.messages.chat import StreamEvent
from gateway.messages.embeddings import EmbeddingsReply, EmbeddingsRequest
from gateway.routing.listing import Listed, list_models
from gateway.routing.names import Route, Target
from gateway.routing.router import Caller


def find_route(request: GatewayRequest, asked: str, provider: str | None = None) -> Route:
    """Find where a model leads, and refuse it if the caller's credential does not reach that far."""
    route = request.services.router.find(asked, provider)
    caller = request.caller
    if caller is None or caller.models is None:
        return route
    first = route.targets[0]
    if not caller.may_use(asked, first.model, f"{first.provider}:{first.model}"):
        raise Forbidden(f"This credential may not use the model {asked!r}.", code="model_not_allowed")
    return route


def caller_of(request: GatewayRequest) -> Caller:
    """Give what a call carries from its caller: no credential for the gateway itself is any for a provider."""
    given = request.provider_authorization
    if given is None or request.is_ours(given):
        return Caller(request_id=request.request_id)
    scheme, _, key = given.strip().partition(" ")
    if scheme.lower() == "bearer":
        return Caller(request_id=request.request_id, key=key.strip() or None)
    return Caller(request_id=request.request_id, authorization=given if key else None)


def list_visible(request: GatewayRequest) -> tuple[Listed, ...]:
    """List the models that the caller may see."""
    services = request.services
    listed = list_models(services.settings, services.catalogue.listings, services.catalogue.owners)
    caller = request.caller
    if caller is None or caller.models is None:
        return listed
    return tuple(entry for entry in listed if caller.may_use(entry.id, entry.model, f"{entry.provider}:{entry.model}"))


def make_head(request: GatewayRequest, target: Target, model: str, warnings: tuple[str, ...] = ()) -> Head:
    """Make the head of an answer that shows `model` as its model."""
    return Head(
        id=next(request.services.ids),
        created=int(time.time()),
        model=model,
        provider=target.provider,
        warnings=warnings,
        elapsed=lambda: int((time.monotonic() - request.began) * 1e9),
    )


def answer_json(body: Any, headers: dict[str, str] | None = None) -> HTTPResponse:
    """Answer 200 with JSON."""
    return Reply(msgspec.json.encode(body), headers=headers, content_type="application/json")


async def answer_chat(
    request: GatewayRequest,
    dialect: Writer[ParsedT],
    parsed: ParsedT,
    *,
    route: Route | None = None,
    shows_bare_name: bool = False,
) -> HTTPResponse | None:
    """Answer a parsed chat in its dialect; with `shows_bare_name` under the provider's name of the model.

    `route` is where it leads, if that has been found already.
    """
    router = request.services.router
    chat = parsed.chat
    with Recording(request, asked=chat.model, stream=chat.stream) as recording:
        route = route or find_route(request, chat.model, parsed.provider)
        recording.aimed_at(route.targets[0])
        if chat.stream:
            writing = _Writing(request, dialect, parsed, route, shows_bare_name)
            form = StreamForm(content_type=dialect.STREAM_TYPE, keep_alive=dialect.KEEP_ALIVE, fail=writing.fail)
            recording.ended(await send_stream(request, writing.pieces(recording), form))
            return None
        target, reply = await router.chat(route, chat, caller_of(request))
        recording.answered_by(target, reply.usage, reply.choices[0].finish_reason if reply.choices else None)
        shown = target.model if shows_bare_name else chat.model
        return recording.keep(answer_json(dialect.write_reply(parsed, reply, make_head(request, target, shown))))


@dataclass
class _Writing(Generic[ParsedT]):
    """A stream being written; who answers is known only once a provider has taken the request."""

    request: GatewayRequest
    dialect: Writer[ParsedT]
    parsed: ParsedT
    route: Route
    shows_bare_name: bool
    encoder: StreamEncoder | None = None

    def begin(self, target: Target, warnings: tuple[str, ...] = ()) -> StreamEncoder:
        shown = target.model if self.shows_bare_name else self.parsed.chat.model
        return self.dialect.events(self.parsed, make_head(self.request, target, shown, warnings))

    async def pieces(self, recording: Recording) -> AsyncIterator[bytes]:
        """Open the stream and write it, piece by piece."""
        router = self.request.services.router
        async with router.chat_stream(self.route, self.parsed.chat, caller_of(self.request)) as stream:
            recording.aimed_at(stream.target)
            self.encoder = self.begin(stream.target, stream.warnings)
            async with aclosing(encode(stream.events, self.encoder, recording)) as frames:
                async for frame in frames:
                    yield frame

    def fail(self, failure: Failure) -> Sequence[bytes]:
        """Write an error as the end of what has been written so far."""
        return (self.encoder or self.begin(self.route.targets[0])).fail(failure)


async def answer_embeddings(
    request: GatewayRequest,
    wanted: EmbeddingsRequest,
    write: Callable[[EmbeddingsReply, Head], Any],
    *,
    provider: str | None = None,
    shows_bare_name: bool = False,
) -> HTTPResponse:
    """Answer a request for vectors with what `write` makes of them."""
    with Recording(request, asked=wanted.model) as recording:
        route = find_route(request, wanted.model, provider)
        recording.aimed_at(route.targets[0])
        target, reply = await request.services.router.embeddings(route, wanted, caller_of(request))
        recording.answered_by(target, reply.usage)
        shown = target.model if shows_bare_name else wanted.model
        return recording.keep(answer_json(write(reply, make_head(request, target, shown))))


async def encode(
    events: AsyncIterator[StreamEvent], encoder: StreamEncoder, recording: Recording
) -> AsyncGenerator[bytes, None]:
    """Write a stream's events in a dialect, and note in passing what they tell."""
    with recording.streaming():
        async for event in events:
            recording.saw(event)
            for frame in encoder.encode(event):
                yield frame
        for frame in encoder.finish():
            yield frame
