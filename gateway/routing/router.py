"""Choose a provider, call it, try again, fall back.

A call goes to the targets of its route in order. Against each it is tried `retries` times more after what may pass
by itself (no connection, 408, 429, 5xx), with a jittered pause, or with the provider's own Retry-After when that
is short. All of this ends with the first byte that goes to the client: a stream that has begun is never retried.
"""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from gateway.errors import (
    CredentialsRefused,
    GatewayError,
    ProviderError,
    ProviderNotConfigured,
    TimedOut,
    Unavailable,
    Unsupported,
    UnusableAnswer,
)
from gateway.messages.chat import ChatReply, ChatRequest, Options, StreamEvent
from gateway.messages.embeddings import EmbeddingsReply, EmbeddingsRequest
from gateway.messages.models import Model
from gateway.providers import VENDORS
from gateway.providers.base import Chat, Embeddings, Models, UpstreamRequest, Vendor
from gateway.routing.conditions import Conditions
from gateway.routing.names import Owners, Route, Target, find_route
from gateway.settings import ProviderSettings, Settings
from gateway.upstream import Answer, Upstream

log = logging.getLogger(__name__)

MAX_REPLY_BYTES = 64 * 1024 * 1024
MAX_ERROR_BYTES = 64 * 1024
LONGEST_RETRY_AFTER = 5.0  # seconds; a longer one goes to the client at once (API.md 6)
MAX_PAGES = 20

#: kinds that take the caller's own key when the gateway wants none (API.md 1.5)
_OPENAI_KINDS = frozenset({"openai", "lmstudio", "openai-compatible"})

Capable = TypeVar("Capable", bound=Vendor)
Read = TypeVar("Read")


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """What a call carries from its caller: the request's id, and a key of the caller's own for the provider."""

    request_id: str
    key: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """A provider's good answer, its body still to be read."""

    target: Target
    request: UpstreamRequest
    answer: Answer


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatStream:
    """A streamed chat: who answers, what was left out of the request, and the events as they come."""

    target: Target
    warnings: tuple[str, ...]
    events: AsyncGenerator[StreamEvent, None]


class Router:
    """Calls providers for the rooms above; made once for each process."""

    def __init__(self, settings: Settings, upstream: Upstream, conditions: Conditions, owners: Owners) -> None:
        self._settings = settings
        self._upstream = upstream
        self._owners = owners
        self.conditions = conditions

    def find(self, asked: str, provider: str | None = None) -> Route:
        """Find where a model leads; see `routing.names.find_route`."""
        return find_route(asked, provider, self._settings, self._owners)

    async def chat(self, route: Route, chat: ChatRequest, caller: Caller) -> tuple[Target, ChatReply]:
        """Get a whole answer."""
        async with self.open(route, lambda target: self.write_chat(target, chat), caller) as opened:
            return opened.target, self.read_chat(opened, await opened.answer.read(MAX_REPLY_BYTES))

    @asynccontextmanager
    async def chat_stream(self, route: Route, chat: ChatRequest, caller: Caller) -> AsyncIterator[ChatStream]:
        """Open a streamed answer; leaving the context closes the connection to the provider."""
        async with self.open(route, lambda target: self.write_chat(target, chat), caller) as opened:
            events = self.decode(opened)
            try:
                yield ChatStream(target=opened.target, warnings=opened.request.warnings, events=events)
            finally:
                await events.aclose()

    async def embeddings(
        self, route: Route, request: EmbeddingsRequest, caller: Caller
    ) -> tuple[Target, EmbeddingsReply]:
        """Get the vectors of texts."""

        def write(target: Target) -> UpstreamRequest:
            vendor = self._vendor(target.provider, Embeddings)
            return vendor.embeddings_request(msgspec.structs.replace(request, model=target.model))

        async with self.open(route, write, caller) as opened:
            vendor = self._vendor(opened.target.provider, Embeddings)
            reply = _read(opened, await opened.answer.read(MAX_REPLY_BYTES), vendor.embeddings_reply)
        if len(reply.vectors) != len(request.input):
            raise UnusableAnswer(
                f"{opened.target.provider} gave {len(reply.vectors)} vectors for {len(request.input)} inputs.",
                provider=opened.target.provider,
                model=opened.target.model,
            )
        return opened.target, msgspec.structs.replace(reply, warnings=(*opened.request.warnings, *reply.warnings))

    async def models(self, provider: str, caller: Caller) -> tuple[Model, ...]:
        """Ask a provider for its models, all pages of them."""
        vendor = self._vendor(provider, Models)
        route = Route(asked="", targets=(Target(provider=provider, model=""),))
        found: list[Model] = []
        page: str | None = None
        for _ in range(MAX_PAGES):
            request = vendor.models_request(page)
            async with self.open(route, lambda _target, request=request: request, caller) as opened:  # type: ignore[misc]  # mypy cannot type a default in a lambda
                models, page = _read(opened, await opened.answer.read(MAX_REPLY_BYTES), vendor.models_reply)
            found.extend(models)
            if page is None:
                break
        return tuple(found)

    @asynccontextmanager
    async def open(
        self, route: Route, write: Callable[[Target], UpstreamRequest], caller: Caller
    ) -> AsyncIterator[Opened]:
        """Send what `write` makes of a target until one gives a good answer; raises the last error if none does."""
        async with AsyncExitStack() as stack:
            yield await self._try_targets(route.targets, write, caller, stack)

    def credential_headers(self, provider: ProviderSettings, caller: Caller) -> tuple[tuple[str, str], ...]:
        """Give the headers that let us in at a provider: the caller's own key where it brings one, else ours."""
        vendor = VENDORS[provider.kind]
        takes_callers = provider.kind in _OPENAI_KINDS or self._settings.auth.enabled
        key = (caller.key if takes_callers else None) or provider.api_key
        if key:
            return vendor.credential_headers(key)
        if vendor.needs_key and provider.oauth is None:
            raise ProviderNotConfigured(
                f"The provider {provider.name!r} needs a key and has none: set {provider.name.upper()}_API_KEY "
                "or its api_key in the config file.",
                provider=provider.name,
            )
        return vendor.credential_headers("")

    def _vendor(self, provider: str, capability: type[Capable]) -> Capable:
        vendor = VENDORS[self._settings.providers[provider].kind]
        if isinstance(vendor, capability):
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

    async def _try_targets(
        self,
        targets: Iterable[Target],
        write: Callable[[Target], UpstreamRequest],
        caller: Caller,
        stack: AsyncExitStack,
    ) -> Opened:
        failure: GatewayError | None = None
        for target in targets:
            if rest := self.conditions.rest_left(target.provider):
                failure = failure or Unavailable(
                    f"{target.provider} has failed repeatedly and is being left alone for a moment.",
                    provider=target.provider,
                    model=target.model,
                    retry_after=rest,
                )
                continue
            try:
                return await self._try_target(target, write(target), caller, stack)
            except GatewayError as error:
                if not may_pass(error):
                    raise
                failure = error
                log.warning("%s failed: %s", target.provider, error.message)
        assert failure is not None
        failure.given_up = True
        raise failure

    async def _try_target(
        self, target: Target, request: UpstreamRequest, caller: Caller, stack: AsyncExitStack
    ) -> Opened:
        provider = self._settings.providers[target.provider]
        given = {name for name, _ in request.headers}
        credentials = [pair for pair in self.credential_headers(provider, caller) if pair[0] not in given]
        headers = (*request.headers, *credentials)
        for attempt in range(provider.retries + 1):
            try:
                answer = await self._send(provider, target, request, headers, caller, stack)
            except GatewayError as error:
                if attempt == provider.retries or not may_pass(error) or (error.retry_after or 0) > LONGEST_RETRY_AFTER:
                    raise
                await asyncio.sleep(error.retry_after or pause_before(attempt))
            else:
                return Opened(target=target, request=request, answer=answer)
        raise AssertionError("unreachable")

    async def _send(
        self,
        provider: ProviderSettings,
        target: Target,
        request: UpstreamRequest,
        headers: tuple[tuple[str, str], ...],
        caller: Caller,
        stack: AsyncExitStack,
    ) -> Answer:
        async with AsyncExitStack() as attempt:
            if request.body:
                headers = (("content-type", "application/json"), *headers)
            try:
                answer = await attempt.enter_async_context(
                    self._upstream.exchange(
                        provider,
                        request.method,
                        request.path,
                        headers=headers,
                        body=request.body,
                        request_id=caller.request_id,
                    )
                )
                if answer.status >= 400:
                    raise await self._explain(provider, answer)
            except GatewayError as error:
                error.provider = provider.name
                error.model = target.model or None
                self._note(provider.name, error)
                raise
            self.conditions.note_answer(provider.name)
            stack.push_async_exit(attempt.pop_all())
            return answer

    async def _explain(self, provider: ProviderSettings, answer: Answer) -> GatewayError:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in answer.headers}
        body = await answer.read(MAX_ERROR_BYTES)
        error = VENDORS[provider.kind].explain_error(answer.status, headers, body)
        error.retry_after = read_retry_after(headers) or error.retry_after
        if isinstance(error, ProviderError):
            error.request_id = headers.get("x-request-id") or headers.get("request-id")
        if isinstance(error, CredentialsRefused):
            log.warning("%s refused the gateway's credentials (%s)", provider.name, answer.status)
        return error

    def _note(self, provider: str, error: GatewayError) -> None:
        if isinstance(error, Unavailable | TimedOut):
            self.conditions.note_failure(provider, reachable=False)
        elif may_pass(error) and not (isinstance(error, ProviderError) and error.status == 429):
            self.conditions.note_failure(provider, reachable=True)
        else:
            self.conditions.note_answer(provider)

    def read_chat(self, opened: Opened, body: bytes) -> ChatReply:
        """Read a whole answer."""
        reply = _read(opened, body, self._vendor(opened.target.provider, Chat).chat_reply)
        return msgspec.structs.replace(reply, warnings=(*opened.request.warnings, *reply.warnings))

    async def decode(self, opened: Opened, begun: bytes = b"") -> AsyncGenerator[StreamEvent, None]:
        """Decode a streamed answer, of which `begun` has been taken already."""
        decoder = self._vendor(opened.target.provider, Chat).chat_events()
        try:
            for event in decoder.feed(begun) if begun else ():
                yield event
            async for piece in opened.answer:
                for event in decoder.feed(piece):
                    yield event
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


def may_pass(error: GatewayError) -> bool:
    """Whether the same request may succeed a moment later, or elsewhere (API.md 3.8)."""
    if isinstance(error, ProviderError):
        return error.status in (408, 429) or error.status >= 500
    return isinstance(error, Unavailable | TimedOut)


def pause_before(attempt: int) -> float:
    """Give the seconds to wait before trying again: 0.25, 0.5, 1 …, each with full jitter upwards from the half."""
    longest = min(4.0, 0.25 * 2**attempt)
    return random.uniform(longest / 2, longest)  # noqa: S311  # spreads load, guards nothing


def read_retry_after(headers: dict[str, str]) -> float | None:
    """Read `retry-after-ms` (milliseconds) or `retry-after` (seconds) of an answer; a date is not read."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) * unit
        except (KeyError, ValueError):
            continue
        if 0 <= seconds < 86400 * 7:
            return seconds
    return None


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
