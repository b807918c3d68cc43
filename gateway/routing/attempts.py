"""One call, tried at its targets in order until one gives a good answer (API.md 3.8).

Against each target a call is tried `retries` times more after what may pass by itself, with a jittered pause or the
provider's own Retry-After when that is short, as far as the provider's retry budget goes and unless it is being
rested by then. Then come the fallbacks. All of this ends with the first byte that goes to the client.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

import msgspec

from gateway.errors import CredentialsRefused, GatewayError, InvalidRequest, ProviderError, TimedOut, Unavailable
from gateway.providers import VENDORS
from gateway.providers.base import UpstreamRequest
from gateway.routing.conditions import Conditions
from gateway.routing.login import Caller, Login, Logins, blank_secrets
from gateway.routing.names import Target
from gateway.routing.retries import (
    LONGEST_RETRY_AFTER,
    RetryBudget,
    may_pass,
    may_succeed_elsewhere,
    pause_before,
    read_retry_after,
)
from gateway.settings import ProviderSettings, Settings
from gateway.upstream import Answer, Upstream

log = logging.getLogger(__name__)

MAX_ERROR_BYTES = 64 * 1024
_JSON = ("content-type", "application/json")

Taken = TypeVar("Taken")


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """A provider's good answer, its body still to be read; whoever has it closes it."""

    target: Target
    request: UpstreamRequest
    answer: Answer


Write = Callable[[Target], UpstreamRequest]
"""Writes what is sent to a target."""

Take = Callable[[Opened], Awaitable[Taken]]
"""Takes from a good answer what must be there for it to count as one."""


class Attempts:
    """Sends calls to providers; remembers how they do, and what has been retried."""

    def __init__(self, settings: Settings, upstream: Upstream, conditions: Conditions, logins: Logins) -> None:
        self._settings = settings
        self._upstream = upstream
        self._conditions = conditions
        self._logins = logins
        self._budgets: dict[str, RetryBudget] = {}

    async def make(
        self, targets: Iterable[Target], write: Write, caller: Caller, take: Take[Taken]
    ) -> tuple[Opened, Taken]:
        """Call one target after the other; gives the first good answer, still open, and what `take` makes of it.

        What `take` fails with counts as the provider's failure. A refusal of our credentials, an answer that cannot
        be used and a time-out are not retried, but lead to the next target; so does a provider that has no key.
        Where the caller's own key was refused, that is the caller's to mend and goes back at once. A fallback that
        cannot take the request is passed over. Raises the last error if no target gives a good answer.
        """
        failure: GatewayError | None = None
        for target in targets:
            if rest := self._conditions.rest_left(target.provider):
                failure = failure or _resting(target, rest)
                continue
            try:
                return await self._try_target(target, write(target), caller, take)
            except InvalidRequest as error:
                if failure is None and not may_succeed_elsewhere(error):
                    raise
                failure = failure or error
                log.warning("%s cannot take the request: %s", target.provider, error.message)
            except GatewayError as error:
                if not may_succeed_elsewhere(error) or (isinstance(error, CredentialsRefused) and caller.has_key):
                    raise
                failure = error
                log.warning("%s failed: %s", target.provider, error.message)
        assert failure is not None
        raise failure

    async def _try_target(
        self, target: Target, request: UpstreamRequest, caller: Caller, take: Take[Taken]
    ) -> tuple[Opened, Taken]:
        provider = self._settings.providers[target.provider]
        budget = self._budgets.get(provider.name) or self._budgets.setdefault(provider.name, RetryBudget())
        budget.note_request()
        attempt = 0
        while True:
            try:
                opened = Opened(target=target, request=request, answer=await self._ask(provider, request, caller))
                try:
                    taken = await take(opened)
                except BaseException:
                    await opened.answer.aclose()
                    raise
                if target.model:
                    self._conditions.note_answer(provider.name)
                else:
                    self._conditions.note_reach(provider.name, reachable=True)
                return opened, taken
            except GatewayError as error:
                error.provider = provider.name
                error.model = target.model or None
                self._note(target, error)
                if not self._is_retried(provider, error, attempt, budget):
                    error.given_up = may_succeed_elsewhere(error) and (
                        attempt == provider.retries or not _is_long(error)
                    )
                    raise
                pause = pause_before(attempt, error.retry_after)
            log.info("%s is tried again in %.2f s", provider.name, pause)
            await asyncio.sleep(pause)
            attempt += 1

    def _is_retried(self, provider: ProviderSettings, error: GatewayError, attempt: int, budget: RetryBudget) -> bool:
        if attempt == provider.retries or not may_pass(error) or _is_long(error):
            return False
        return not self._conditions.rest_left(provider.name) and budget.take()

    async def _ask(self, provider: ProviderSettings, request: UpstreamRequest, caller: Caller) -> Answer:
        """Send a request, and once more if a renewed token gets us in where the old one did not."""
        login = await self._logins.find(provider, caller)
        answer = await self._send(provider, request, login, caller)
        if answer.status == 401:
            fresh, error = await self._knock(provider, answer, login)
            if fresh is None:
                raise error
            login = fresh
            answer = await self._send(provider, request, login, caller)
        if answer.status >= 400:
            try:
                raise await self._explain(provider, answer, login)
            finally:
                await answer.aclose()
        self._logins.note_taken(provider, login)
        return answer

    async def _knock(
        self, provider: ProviderSettings, answer: Answer, login: Login
    ) -> tuple[Login | None, GatewayError]:
        """Take a 401: gives another login to try, None if there is none, and what the refusal says."""
        try:
            error = await self._explain(provider, answer, login)
        finally:
            await answer.aclose()
        return await self._logins.renew(provider, login), error

    def _send(
        self, provider: ProviderSettings, request: UpstreamRequest, login: Login, caller: Caller
    ) -> Awaitable[Answer]:
        headers = login.headers
        if request.headers:
            given = {name for name, _ in request.headers}
            headers = (*request.headers, *(pair for pair in headers if pair[0] not in given))
        if request.body:
            headers = (_JSON, *headers)
        return self._upstream.send(
            provider, request.method, request.path, headers=headers, body=request.body, request_id=caller.request_id
        )

    async def _explain(self, provider: ProviderSettings, answer: Answer, login: Login) -> GatewayError:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in answer.headers}
        body = blank_secrets(await answer.read(MAX_ERROR_BYTES), provider, login.headers)
        error = VENDORS[provider.kind].explain_error(answer.status, headers, body)
        retry_after = read_retry_after(headers)
        error.retry_after = error.retry_after if retry_after is None else retry_after
        error.request_id = headers.get("x-request-id") or headers.get("request-id")
        if isinstance(error, CredentialsRefused):
            log.warning("%s refused the gateway's credentials (%s)", provider.name, answer.status)
        return error

    def _note(self, target: Target, error: GatewayError) -> None:
        provider = target.provider
        if isinstance(error, InvalidRequest):
            return  # nobody was asked
        if not target.model:  # a provider whose list of models fails may well answer chats, and the other way round
            self._conditions.note_reach(provider, reachable=not isinstance(error, Unavailable | TimedOut))
        elif isinstance(error, Unavailable | TimedOut):
            self._conditions.note_failure(provider, reachable=False)
        elif isinstance(error, CredentialsRefused) or not may_succeed_elsewhere(error) or _is_busy(error):
            self._conditions.note_answer(provider)
        else:
            self._conditions.note_failure(provider, reachable=True)


def _is_busy(error: GatewayError) -> bool:
    return isinstance(error, ProviderError) and error.status == 429


def _is_long(error: GatewayError) -> bool:
    """Whether the provider wants us to wait for longer than we do; who may wait that long may well come back."""
    return (error.retry_after or 0) > LONGEST_RETRY_AFTER


def _resting(target: Target, seconds: float) -> Unavailable:
    return Unavailable(
        f"{target.provider} has failed repeatedly and is being left alone for a moment.",
        provider=target.provider,
        model=target.model,
        retry_after=seconds,
    )
