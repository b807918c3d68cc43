"""The way to a provider: address, headers and time-outs, worked out once instead of for every request."""

import base64
import ipaddress
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import SplitResult, quote, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from gateway import __version__
from gateway.settings import ProviderSettings
from gateway.upstream.failures import Translation
from gateway.wire import Origin, Timeouts, write_headers, write_line

CONNECT_SECONDS = 5.0
_POOL_SECONDS = 10.0
_REMEMBERED = 64
_VISIBLE = "!$%&'()*+,-./:;=?@[]_~|^`{}\\\"<>"
_CREDENTIALS = frozenset({"authorization", "x-api-key", "x-goog-api-key"})
# Of one connection (RFC 9110, 7.6.1) or of the message's framing, so never the caller's to say.
_OURS = frozenset({
    "connection", "content-length", "expect", "host", "keep-alive", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade", "x-request-id",
})  # fmt: skip


@dataclass(slots=True)
class Route:
    """The way to one provider.

    `prefix` is the path of its base URL, without a slash at the end; `transport` is None where the wire serves.
    """

    provider: ProviderSettings
    origin: Origin
    authority: bytes
    prefix: str
    login: str | None = field(repr=False)
    transport: httpx.AsyncBaseTransport | None
    translation: Translation
    timeouts: Timeouts
    _written: dict[tuple[str, str, tuple[tuple[str, str], ...]], bytes] = field(default_factory=dict, repr=False)

    def target(self, path: str) -> bytes:
        """Give the request target for `path`; what is not visible ASCII goes percent-encoded."""
        if path.isascii() and path.isprintable() and " " not in path and "#" not in path:
            return (self.prefix + path).encode()
        return (self.prefix + quote(path, safe=_VISIBLE, errors="surrogateescape")).encode()

    def written(self, method: str, path: str, headers: Sequence[tuple[str, str]]) -> bytes:
        """Give request line and headers of `assembled` ready to write; those that come again are remembered."""
        key = (method, path, tuple(headers))
        head = self._written.get(key)
        if head is None:
            if len(self._written) >= _REMEMBERED:
                self._written.clear()
            head = write_line(raw(method), self.target(path)) + write_headers(self.assembled(headers))
            self._written[key] = head
        return head

    def assembled(self, headers: Sequence[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
        """Put the caller's headers together with those that the configuration gives this provider.

        The configured ones win, but not over a credential of the caller's. Host is added, and user-agent and
        accept-encoding where nobody gives them; what belongs to the connection is left out.
        """
        own = {name.lower(): value for name, value in self.provider.headers.items()}
        if self.login is not None:
            own.setdefault("authorization", self.login)
        given = {name.lower() for name, _ in headers}
        own = {name: value for name, value in own.items() if name not in given & _CREDENTIALS}
        pairs = [("host", self.authority.decode("ascii"))]
        pairs += [(name, value) for name, value in headers if name.lower() not in _OURS and name.lower() not in own]
        pairs += [(name, value) for name, value in own.items() if name not in _OURS]
        if "accept-encoding" not in given | own.keys():
            pairs.append(("accept-encoding", "identity"))
        if "user-agent" not in given | own.keys():
            pairs.append(("user-agent", f"sandgate/{__version__}"))
        return [(raw(name), raw(value)) for name, value in pairs]


def raw(text: str) -> bytes:
    """Give the bytes of a header as they came: undecodable ones stand in `text` as surrogates."""
    return text.encode("utf-8", "surrogateescape")


def declared_length(headers: Sequence[tuple[str, str]]) -> int | None:
    """Give the size that the caller declares for a streamed body."""
    for name, value in headers:
        if name.lower() == "content-length" and value.isascii() and value.isdigit():
            return int(value)
    return None


def split_address(base_url: str) -> tuple[SplitResult, Origin]:
    """Take a base URL apart; `httpx.UnsupportedProtocol` or `httpx.InvalidURL` for one that leads nowhere."""
    try:
        address = urlsplit(base_url)
        host, port = address.hostname, address.port
    except ValueError as error:
        raise httpx.InvalidURL("not a URL") from error
    if address.scheme not in {"http", "https"}:
        raise httpx.UnsupportedProtocol("not http or https")
    if not host:
        raise httpx.InvalidURL("no host")
    try:
        host = host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise httpx.InvalidURL("not a host name") from error
    return address, Origin(address.scheme, host, port or (443 if address.scheme == "https" else 80))


def plan_route(provider: ProviderSettings, base_url: str, transport: httpx.AsyncBaseTransport | None) -> Route:
    """Work out the way to `provider` at `base_url`, through `transport` or else the wire."""
    address, origin = split_address(base_url)
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    standard = origin.port == (443 if origin.scheme == "https" else 80)
    login = None
    if address.username is not None:
        user = f"{unquote(address.username)}:{unquote(address.password or '')}"
        login = "Basic " + base64.b64encode(user.encode()).decode("ascii")
    seconds = provider.timeout_seconds if provider.timeout_seconds > 0 else math.inf
    return Route(
        provider=provider,
        origin=origin,
        authority=(host if standard else f"{host}:{origin.port}").encode("ascii"),
        prefix=quote(address.path.rstrip("/"), safe=_VISIBLE),
        login=login,
        transport=transport,
        translation=Translation(provider.name),
        timeouts=Timeouts(min(CONNECT_SECONDS, seconds), seconds, seconds, min(_POOL_SECONDS, seconds)),
    )


def proxy_for(origin: Origin) -> str | None:
    """Give the proxy that the environment sets for `origin`, if any.

    HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY as everywhere; loopback is never reached through a proxy (as in
    Go's net/http), so that a local model server works on a machine behind one.
    """
    if _is_loopback(origin.host):
        return None
    proxies = getproxies()
    proxy = proxies.get(origin.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(f"{origin.host}:{origin.port}") or proxy_bypass(origin.host):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
