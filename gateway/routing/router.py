"""Choose a provider and call it: the one door to providers for the rooms above.

`names` finds the targets of a request, `attempts` tries them, and what comes back is read by the vendor's own file.
"""

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import msgspec

from gateway.errors import GatewayError, Unsupported, UnusableAnswer
from gateway.messages.chat import ChatReply, ChatRequest, Options, StreamEvent
from gateway.messages.embeddings import EmbeddingsReply, EmbeddingsRequest
from gateway.messages.models import Model
from gateway.providers import VENDORS
from gateway.providers.base import Chat, Embeddings, Models, UpstreamRequest, Vendor
from gateway.routing.attempts import Attempts, Opened, Take, Taken, Write
from gateway.routing.conditions import Conditions
from gateway.routing.login import Caller, Headers, Logins
from gateway.routing.names import Owners, Route, Target, find_route, names_provider
from gateway.settings import ProviderSettings, Settings
from gateway.upstream import Upstream
from gateway.upstream.oauth import Tokens

__all__ = ["MAX_REPLY_BYTES", "Caller", "ChatStream", "Events", "Opened", "Router"]

log = logging.getLogger(__name__)

MAX_REPLY_BYTES = 64 * 1024 * 1024
MAX_PAGES = 20
MOST_FIXED = 1024

Capable = TypeVar("Capable", bound=Vendor)
Read = TypeVar("Read")


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatStream:
    """A streamed chat: who answers, what was left out of the request, and the events as they come."""

    target: Target
    warnings: tuple[str, ...]
    events: AsyncIterator[StreamEvent]


class Events:
    """The events of a stream whose first one is there already; to be closed."""

    __slots__ = ("_first", "_rest")

    def __init__(self, first: StreamEvent | None, rest: AsyncGenerator[StreamEvent, None]) -> None:
        self._first = first
        self._rest = rest

    def __aiter__(self) -> AsyncIterator[StreamEvent]:
        return self

    async def __anext__(self) -> StreamEvent:
        """Give the next event."""
        if self._first is None:
            return await anext(self._rest)
        first, self._first = self._first, None
        return first

    async def aclose(self) -> None:
        """Give up the rest."""
        await self._rest.aclose()


class Router:
    """Calls providers for the rooms above; made once for each process."""

    def __init__(
        self,
        settings: Settings,
        upstream: Upstream,
        conditions: Conditions,
        owners: Owners,
        tokens: Tokens | None = None,
    ) -> None:
        self._settings = settings
        self._owners = owners
        self._tokens = tokens or Tokens(upstream)
        self._logins = Logins(settings, self._tokens)
        self._attempts = Attempts(settings, upstream, conditions, self._logins)
        self.conditions = conditions
        #: where names lead that say it themselves, whatever the catalogue says
        self._fixed: dict[str, Route] = {}
        # To see what a vendor can do, Python looks at a protocol's members one by one: once for each is enough.
        self._vendors: dict[tuple[str, type[Vendor]], Vendor] = {}

    async def stop(self) -> None:
        """Stop what runs in the background."""
        await self._tokens.stop()

    def find(self, asked: str, provider: str | None = None) -> Route:
        """Find where a model leads; see `routing.names.find_route`."""
        found = self._fixed.get(asked) if provider is None else None
        if found is not None:
            return found
        route = find_route(asked, provider, self._settings, self._owners)
        if provider is None and names_provider(asked, self._settings):
            if len(self._fixed) >= MOST_FIXED:
                self._fixed.clear()
            self._fixed[asked] = route
        return route

    async def chat(self, route: Route, chat: ChatRequest, caller: Caller) -> tuple[Target, ChatReply]:
        """Get a whole answer."""
        opened, reply = await self._fetch(route, lambda target: self.write_chat(target, chat), caller, self.read_chat)
        return opened.target, reply

    @asynccontextmanager
    async def chat_stream(self, route: Route, chat: ChatRequest, caller: Caller) -> AsyncIterator[ChatStream]:
        """Open a streamed answer; leaving the context closes the connection to the provider.

        It is open when the first event is there: what goes wrong before leads to a retry or a fallback.
        """

        def write(target: Target) -> UpstreamRequest:
            return self.write_chat(target, chat)

        async with self.open(route, write, caller, self.begin) as (opened, events), aclosing(events):
            yield ChatStream(target=opened.target, warnings=opened.request.warnings, events=events)

    async def begin(self, opened: Opened, begun: bytes = b"") -> "Events":
        """Decode a streamed answer, of which `begun` has been taken already; the first event is there by then."""
        events = self._decode(opened, begun)
        try:
            first = await anext(events, None)
        except BaseException:
            await events.aclose()
            raise
        return Events(first, events)

    async def embeddings(
        self, route: Route, request: EmbeddingsRequest, caller: Caller
    ) -> tuple[Target, EmbeddingsReply]:
        """Get the vectors of texts."""

        def write(target: Target) -> UpstreamRequest:
            vendor = self._vendor(target.provider, Embeddings)
            return vendor.embeddings_request(msgspec.structs.replace(request, model=target.model))

        def read(opened: Opened, body: bytes) -> EmbeddingsReply:
            reply = _read(opened, body, self._vendor(opened.target.provider, Embeddings).embeddings_reply)
            if len(reply.vectors) != len(request.input):
                raise UnusableAnswer(
                    f"{opened.target.provider} gave {len(reply.vectors)} vectors for {len(request.input)} inputs."
                )
            return reply

        opened, reply = await self._fetch(route, write, caller, read)
        return opened.target, msgspec.structs.replace(reply, warnings=(*opened.request.warnings, *reply.warnings))

    async def models(self, provider: str, caller: Caller) -> tuple[Model, ...]:
        """Ask a provider for its models, all pages of them."""
        vendor = self._vendor(provider, Models)
        route = Route(asked="", targets=(Target(provider=provider, model=""),))
        found: list[Model] = []
        page: str | None = None

        def write(_target: Target) -> UpstreamRequest:
            return vendor.models_request(page)

        def read(opened: Opened, body: bytes) -> tuple[tuple[Model, ...], str | None]:
            return _read(opened, body, vendor.models_reply)

        for _ in range(MAX_PAGES):
            _, (models, page) = await self._fetch(route, write, caller, read)
            found.extend(models)
            if page is None:
                break
        return tuple(found)

    async def _fetch(
        self,
        route: Route,
        write: Callable[[Target], UpstreamRequest],
        caller: Caller,
        read: Callable[[Opened, bytes], Read],
    ) -> tuple[Opened, Read]:
        async def take(opened: Opened) -> Read:
            return read(opened, await opened.answer.read(MAX_REPLY_BYTES))

        return await self.fetch(route, write, caller, take)

    async def fetch(self, route: Route, write: Write, caller: Caller, take: Take[Taken]) -> tuple[Opened, Taken]:
        """Send what `write` makes of a target until `take` is content with an answer, which is closed by then.

        Raises the last error if no target gives a good answer.
        """
        opened, taken = await self._attempts.make(route.targets, write, caller, take)
        if not opened.answer.complete:
            await opened.answer.aclose()
        return opened, taken

    @asynccontextmanager
    async def open(
        self, route: Route, write: Write, caller: Caller, take: Take[Taken]
    ) -> AsyncIterator[tuple[Opened, Taken]]:
        """Do as `fetch` does, with the answer open for as long as the context lasts."""
        opened, taken = await self._attempts.make(route.targets, write, caller, take)
        try:
            yield opened, taken
        finally:
            await opened.answer.aclose()

    async def credential_headers(self, provider: ProviderSettings, caller: Caller) -> Headers:
        """Give the headers that let us in at a provider: the caller's own key where it brings one, else ours."""
        return (await self._logins.find(provider, caller)).headers

    def note_refused(self, provider: ProviderSettings, headers: Headers) -> None:
        """Note that a provider has answered 401 to these headers: an OAuth token among them is not used again."""
        self._logins.note_refused(provider, headers)

    def _vendor(self, provider: str, capability: type[Capable]) -> Capable:
        found = self._vendors.get((provider, capability))
        if found is not None:
            return cast(Capable, found)
        vendor = VENDORS[self._settings.providers[provider].kind]
        if isinstance(vendor, capability):
            self._vendors[provider, capability] = vendor
            return vendor
        able = [name for name, p in self._settings.providers.items() if isinstance(VENDORS[p.kind], capability)]
        raise Unsupported(
            f"{provider} has no {capability.__name__.lower()} API; these providers do: {', '.join(sorted(able))}.",
            provider=provider,
        )

    def native_path(self, target: Target, wire: str) -> str | None:
        """Give the path for a request that is written in the vendor's own wire format; None if it is not that one's.

        Options that the settings set for a model have to be written into the request, so that it cannot go as it is.
        """
        if target.options:
            return None
        return VENDORS[self._settings.providers[target.provider].kind].native_paths.get(wire)

    def write_chat(self, target: Target, chat: ChatRequest) -> UpstreamRequest:
        """Write a chat for a target, with what the settings set for its model."""
        options = add_defaults(chat.options, target.options)
        vendor = self._vendor(target.provider, Chat)
        return vendor.chat_request(msgspec.structs.replace(chat, model=target.model, options=options))

    def read_chat(self, opened: Opened, body: bytes) -> ChatReply:
        """Read a whole answer."""
        reply = _read(opened, body, self._vendor(opened.target.provider, Chat).chat_reply)
        return msgspec.structs.replace(reply, warnings=(*opened.request.warnings, *reply.warnings))

    async def _decode(self, opened: Opened, begun: bytes) -> AsyncGenerator[StreamEvent, None]:
        decoder = self._vendor(opened.target.provider, Chat).chat_events()
        try:
            for event in decoder.feed(begun) if begun else ():
                yield event
            while not decoder.ended and (piece := await anext(opened.answer, None)) is not None:
                for event in decoder.feed(piece):
                    yield event
            if decoder.ended:
                await opened.answer.drain()
            for event in decoder.finish():
                yield event
        except GatewayError as error:
            error.provider = opened.target.provider
            error.model = opened.target.model
            raise


def _read(opened: Opened, body: bytes, decode: Callable[[bytes], Read]) -> Read:
    try:
        return decode(body)
    except GatewayError as error:
        error.provider = opened.target.provider
        error.model = opened.target.model or None
        if isinstance(error, UnusableAnswer):
            log.warning("%s gave an unusable answer: %.2000r", opened.target.provider, body[:2000])
        raise


def add_defaults(options: Options, defaults: Any) -> Options:
    """Fill in what the model's entry in the settings says and the request does not."""
    changes: dict[str, Any] = {}
    extra = dict(options.extra)
    for name, value in defaults.items():
        if name == "extra" or name not in Options.__struct_fields__:
            extra.setdefault(name, value)
        elif getattr(options, name) in (None, ()):
            changes[name] = (value,) if name == "stop" and isinstance(value, str) else value
    return msgspec.structs.replace(options, extra=extra, **changes)
