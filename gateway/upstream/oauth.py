"""OAuth 2.0 client credentials (RFC 6749, 4.4): a token for each provider that wants one, kept in memory only.

With several workers the memory is shared, and one of them asks for all (gateway.upstream.sharing).

A token is renewed in the background shortly before it expires, as long as it is in use; whoever comes meanwhile goes
out with the old one. Only one request to a token endpoint is under way at a time, and after a failure the endpoint is
left alone for a while that grows with each further failure.
"""

import asyncio
import logging
import re
import time
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from gateway.errors import CredentialsRefused, GatewayError, TimedOut, Unavailable
from gateway.settings import OAuthSettings, ProviderSettings
from gateway.upstream.client import Upstream
from gateway.upstream.sharing import SharedToken, SharedTokens

log = logging.getLogger(__name__)

BUFFER_SHARE = 0.1  # of a token's lifetime at most lies between its renewal and its end
ASSUMED_SECONDS = 3600.0  # lifetime of a token that does not say (RFC 6749, 5.1, leaves that open)
TIMEOUT_SECONDS = 10.0
MAX_ANSWER_BYTES = 256 * 1024
MAX_TOKEN_CHARACTERS = 12000  # a request's head has to hold it
LONGEST_PAUSE = 30.0
UNPROVEN_SECONDS = 30.0  # a forced token that was never good is not forced again before

_TOKEN = re.compile(r"[\x21-\x7e]+")
_ERRORS = frozenset({
    "invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type",
    "invalid_scope",
})  # fmt: skip
"""What an endpoint may be quoted with (RFC 6749, 5.2); its free text may hold anything."""


@dataclass(slots=True)
class _Token:
    """An access token; `expires` is on the clock, `proven` whether the provider has ever taken it."""

    value: str = field(repr=False)
    expires: float
    forced: bool
    received: float
    used: bool = False
    proven: bool = False


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why there is no token: the end of a sentence about the endpoint; `refused` if it is for us to mend.

    `unknown` says that the endpoint did not see who asks, so that naming ourselves in the other way may help.
    """

    sentence: str
    refused: bool = False
    unknown: bool = False
    pause: float = 0.0


@dataclass(slots=True)
class _Account:
    """What is known of one provider's tokens."""

    provider: str
    oauth: OAuthSettings
    endpoint: ProviderSettings
    path: str
    token: _Token | None = None
    fetching: asyncio.Task[None] | None = None
    timer: asyncio.TimerHandle | None = None
    failure: _Failure | None = None
    failures: int = 0
    again_at: float = 0.0
    basic: bool = False
    refused: str | None = None


class Tokens:
    """The access tokens of all providers of one process, and through `shared` those of all workers.

    `report` is told the provider's name and either the new token's lifetime in seconds or, once for failures in a
    row, why there is none; `keep_secret` is given each token as soon as it is there.
    """

    def __init__(
        self,
        upstream: Upstream,
        *,
        report: Callable[[str, float | str], None] = lambda _provider, _news: None,
        keep_secret: Callable[[str], None] = lambda _token: None,
        clock: Callable[[], float] = time.monotonic,
        shared: SharedTokens | None = None,
    ) -> None:
        self._upstream = upstream
        self._report = report
        self._keep_secret = keep_secret
        self._clock = clock
        self._shared = shared
        self._accounts: dict[str, _Account] = {}

    async def of(self, provider: ProviderSettings) -> str:
        """Give a token for a provider that has `oauth`; waits only when there is none that is still good.

        `Unavailable` when the endpoint fails, `CredentialsRefused` when it refuses the client.
        """
        account = self._accounts.get(provider.name) or self._open(provider)
        token = account.token
        if token is not None and self._clock() < token.expires:
            token.used = True
            return token.value
        return await self._wait(account, forced=False)

    async def renew(self, provider: ProviderSettings, refused: str) -> str | None:
        """Give another token than the one that the provider has just refused; None when that would be no use."""
        if not self.drop(provider, refused):
            return None
        account = self._accounts[provider.name]
        token = account.token
        return token.value if token is not None else await self._wait(account, forced=True)

    def drop(self, provider: ProviderSettings, refused: str) -> bool:
        """Forget a token that the provider has refused, if it is still ours; tells whether another may be better.

        One that was itself fetched to replace a refused one, and has not been taken once, is kept for a while: the
        fault lies elsewhere then, and the endpoint is spared.
        """
        account = self._accounts.get(provider.name)
        if account is None:
            return False
        token = account.token
        if token is None or token.value != refused:
            return True
        if token.forced and not token.proven and self._clock() - token.received < UNPROVEN_SECONDS:
            return False
        account.token, account.refused = None, refused
        return True

    def note_taken(self, provider: ProviderSettings, value: str) -> None:
        """Note that a provider has taken a token."""
        account = self._accounts.get(provider.name)
        if account is not None and account.token is not None and account.token.value == value:
            account.token.proven = True

    async def stop(self) -> None:
        """Stop renewing, and forget all tokens."""
        tasks = [account.fetching for account in self._accounts.values() if account.fetching is not None]
        for account in self._accounts.values():
            if account.timer is not None:
                account.timer.cancel()
        self._accounts.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _open(self, provider: ProviderSettings) -> _Account:
        assert provider.oauth is not None
        address = urlsplit(provider.oauth.token_endpoint)
        endpoint = ProviderSettings(
            name=f"{provider.name} (OAuth)",
            kind="openai-compatible",
            base_url=f"{address.scheme}://{address.netloc}",
            timeout_seconds=TIMEOUT_SECONDS,
        )
        path = (address.path or "/") + (f"?{address.query}" if address.query else "")
        account = _Account(provider.name, provider.oauth, endpoint, path)
        self._accounts[provider.name] = account
        return account

    async def _wait(self, account: _Account, *, forced: bool) -> str:
        if account.fetching is None:
            if account.failure is not None and self._clock() < account.again_at:
                raise self._complaint(account, account.failure)
            self._fetch_soon(account, forced=forced)
        assert account.fetching is not None
        await asyncio.shield(account.fetching)
        token = account.token
        if token is not None:
            token.used = True
            return token.value
        raise self._complaint(account, account.failure or _Failure("sent no token"))

    def _complaint(self, account: _Account, failure: _Failure) -> GatewayError:
        kind = CredentialsRefused if failure.refused else Unavailable
        return kind(
            f"There is no token for provider {account.provider}: its OAuth token endpoint {failure.sentence}.",
            code=None if failure.refused else "oauth_token_unavailable",
            provider=account.provider,
            retry_after=max(0.0, account.again_at - self._clock()) or None,
        )

    def _fetch_soon(self, account: _Account, *, forced: bool) -> None:
        account.fetching = asyncio.create_task(self._fetch(account, forced=forced), name=f"token-{account.provider}")

    async def _fetch(self, account: _Account, *, forced: bool) -> None:
        if account.timer is not None:
            account.timer.cancel()
        try:
            if self._shared is None:
                await self._get(account, forced=forced)
            else:
                async with self._shared.turn(account.provider):
                    got = self._shared.read(account.provider)
                    if got is not None and self._is_news(account, got):
                        self._keep(account, got)
                    elif (got := await self._get(account, forced=forced)) is not None:
                        self._shared.write(account.provider, got)
        finally:
            account.fetching = None

    def _is_news(self, account: _Account, got: SharedToken) -> bool:
        """Whether another worker's token is good, and another than the one that is to be replaced."""
        mine = account.token.value if account.token is not None else None
        return self._clock() < got.expires and got.value not in (mine, account.refused)

    async def _get(self, account: _Account, *, forced: bool) -> SharedToken | None:
        """Ask for a token and keep it; None when there is none."""
        began = self._clock()  # the lifetime counts from before the endpoint was asked, to be on the safe side
        granted = await self._ask(account)
        if isinstance(granted, _Failure):
            self._note_failure(account, granted)
            return None
        value, lifetime = granted
        expires = began + lifetime
        buffer = min(account.oauth.refresh_buffer_minutes * 60, lifetime * BUFFER_SHARE)
        got = SharedToken(value=value, received=began, expires=expires, renew_at=expires - buffer, forced=forced)
        self._keep(account, got)
        self._report(account.provider, lifetime)
        return got

    def _keep(self, account: _Account, got: SharedToken) -> None:
        self._keep_secret(got.value)
        account.token = _Token(got.value, got.expires, got.forced, got.received)
        account.failure, account.failures = None, 0
        self._renew_at(account, got.renew_at)

    def _note_failure(self, account: _Account, failure: _Failure) -> None:
        pause = min(LONGEST_PAUSE, (1.0 if failure.refused else 0.1) * 2.0 ** min(account.failures, 10))
        account.failure = failure
        account.failures += 1
        account.again_at = self._clock() + max(pause, failure.pause)
        log.warning("the OAuth token endpoint of %s %s", account.provider, failure.sentence)
        if account.failures == 1:
            self._report(account.provider, failure.sentence)
        if account.token is not None and account.again_at < account.token.expires:
            self._renew_at(account, account.again_at)

    def _renew_at(self, account: _Account, moment: float) -> None:
        delay = max(0.0, moment - self._clock())
        account.timer = asyncio.get_running_loop().call_later(delay, self._renew_if_used, account)

    def _renew_if_used(self, account: _Account) -> None:
        """Renew a token that is in use; one that nobody wants any more is let lapse."""
        if account.fetching is None and account.token is not None and account.token.used:
            self._fetch_soon(account, forced=False)

    async def _ask(self, account: _Account) -> tuple[str, float] | _Failure:
        granted = await self._ask_once(account, basic=account.basic)
        if isinstance(granted, _Failure) and granted.unknown:
            # Servers need not know both ways to name the client (RFC 6749, 2.3.1), and none says which it knows.
            other = await self._ask_once(account, basic=not account.basic)
            if not isinstance(other, _Failure):
                account.basic = not account.basic
                return other
        return granted

    async def _ask_once(self, account: _Account, *, basic: bool) -> tuple[str, float] | _Failure:
        oauth = account.oauth
        form = {"grant_type": "client_credentials"}
        if oauth.scope:
            form["scope"] = oauth.scope
        headers = [("content-type", "application/x-www-form-urlencoded"), ("accept", "application/json")]
        if basic:
            pair = f"{quote(oauth.client_id, safe='')}:{quote(oauth.client_secret, safe='')}"
            headers.append(("authorization", f"Basic {b64encode(pair.encode()).decode()}"))
        else:
            form |= {"client_id": oauth.client_id, "client_secret": oauth.client_secret}
        try:
            async with self._upstream.exchange(
                account.endpoint,
                "POST",
                account.path,
                headers=headers,
                body=urlencode(form).encode(),
                request_id="token",
            ) as answer:
                body = await answer.read(MAX_ANSWER_BYTES)
        except Unavailable:
            return _Failure("is not reachable")
        except TimedOut:
            return _Failure("did not answer in time")
        except GatewayError:
            return _Failure("sent an answer that is not valid HTTP")
        if 200 <= answer.status < 300:
            return _read_grant(body)
        return _read_refusal(answer.status, body, answer.header("retry-after"))


def _read_grant(body: bytes) -> tuple[str, float] | _Failure:
    """Read a token and its lifetime in seconds (RFC 6749, 5.1)."""
    grant = _read_object(body)
    value = grant.get("access_token")
    if not isinstance(value, str) or len(value) > MAX_TOKEN_CHARACTERS or _TOKEN.fullmatch(value) is None:
        return _Failure("sent no usable token")
    kind = grant.get("token_type", "bearer")
    if not isinstance(kind, str) or not kind.lower().startswith("bearer"):
        return _Failure("sent a token of another type than bearer")
    try:
        lifetime = float(grant.get("expires_in") or 0)
    except (TypeError, ValueError):
        lifetime = 0.0
    return value, min(lifetime, 86400.0 * 365) if lifetime > 0 else ASSUMED_SECONDS


def _read_refusal(status: int, body: bytes, retry_after: str | None) -> _Failure:
    """Read an error answer (RFC 6749, 5.2)."""
    error = _read_object(body).get("error")
    if status in (400, 401, 403):
        named = f" ({error})" if isinstance(error, str) and error in _ERRORS else ""
        unknown = status == 401 or error in (None, "invalid_client", "invalid_request")
        return _Failure(f"refused the client's credentials with status {status}{named}", refused=True, unknown=unknown)
    pause = float(retry_after) if retry_after is not None and re.fullmatch(r"[0-9]{1,3}", retry_after) else 0.0
    return _Failure(f"answered with status {status}", pause=pause)


def _read_object(body: bytes) -> dict[str, Any]:
    try:
        read = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return read if isinstance(read, dict) else {}
