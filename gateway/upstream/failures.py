"""The one place where httpx's errors become ours."""

import ssl
from collections.abc import Mapping
from types import TracebackType

import httpx

from gateway.errors import GatewayError, InvalidRequest, TimedOut, Unavailable, UnusableAnswer
from gateway.wire import BodyTooLarge, ServerDisconnected

FAILURES: Mapping[type[Exception], tuple[type[GatewayError], str]] = {
    ServerDisconnected: (Unavailable, "closed the connection without an answer; try again"),
    BodyTooLarge: (UnusableAnswer, "sent an answer that is too large"),
    httpx.ConnectError: (Unavailable, "is not reachable; check that it is running and that its base URL is right"),
    httpx.ConnectTimeout: (Unavailable, "is not reachable: no connection was made in time"),
    httpx.PoolTimeout: (Unavailable, "is not reachable: all connections to it are busy; try again"),
    httpx.ProxyError: (Unavailable, "is not reachable through the proxy that is set"),
    httpx.UnsupportedProtocol: (Unavailable, "is not reachable: its base URL must begin with http:// or https://"),
    httpx.InvalidURL: (Unavailable, "is not reachable: its base URL is not a valid one"),
    httpx.NetworkError: (Unavailable, "broke off the connection; try again"),
    httpx.TimeoutException: (TimedOut, "did not answer in time"),
    httpx.LocalProtocolError: (InvalidRequest, "cannot be sent this request: it is not valid HTTP"),
    httpx.HTTPError: (UnusableAnswer, "sent an answer that is cut short or not valid HTTP"),
    httpx.StreamError: (UnusableAnswer, "sent an answer that was read after its end"),
    httpx.CookieConflict: (UnusableAnswer, "sent an answer with conflicting cookies"),
}
"""What each of httpx's errors is called here; one that is not named counts as its nearest ancestor."""

_FOREIGN = tuple(FAILURES)


def translate(error: Exception, provider: str) -> GatewayError:
    """Turn an error of `FAILURES`, or a descendant of one, into ours; names the provider, never its address."""
    kind, sentence = next(FAILURES[ancestor] for ancestor in type(error).__mro__ if ancestor in FAILURES)
    if kind is Unavailable and _caused_by(error, ssl.SSLCertVerificationError):
        sentence = "is not reachable: its certificate is not trusted; SSL_CERT_FILE can name one that is"
    return kind(f"Provider {provider} {sentence}.", provider=provider)


def _caused_by(error: BaseException | None, kind: type[BaseException]) -> bool:
    while error is not None and not isinstance(error, kind):
        error = error.__cause__ or error.__context__
    return error is not None


class Translation:
    """`with` it, as often as wanted: what is foreign is raised as ours, naming `provider`."""

    __slots__ = ("_provider",)

    def __init__(self, provider: str) -> None:
        self._provider = provider

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and isinstance(error, _FOREIGN):
            raise translate(error, self._provider) from error
