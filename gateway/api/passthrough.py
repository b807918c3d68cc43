"""Bytes through to a provider: `/<provider>/<path>`, and what `/v1` does not know itself (API.md 3.3 and 3.4)."""

from collections.abc import AsyncIterator, Iterable
from typing import Any
from urllib.parse import unquote

from gateway.api.guard import LLM_RAW, Endpoint
from gateway.api.services import GatewayRequest
from gateway.errors import Forbidden, InvalidRequest, NotFound, RequestTooLarge
from gateway.routing.router import Caller
from gateway.settings import ProviderSettings, Settings

METHODS = "GET HEAD POST PUT PATCH DELETE"

#: of one connection only (RFC 9110, 7.6.1), or of the gateway itself
_HOP_BY_HOP = frozenset({
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade",
})  # fmt: skip
_OURS = frozenset({
    "host", "authorization", "x-api-key", "x-goog-api-key", "x-provider-authorization", "cookie", "origin", "referer",
    "expect", "x-request-id", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "forwarded",
})  # fmt: skip
_NOT_PASSED_BACK = _HOP_BY_HOP | {"x-request-id", "access-control-allow-origin", "access-control-allow-credentials"}


def make_endpoints(settings: Settings) -> tuple[Endpoint, ...]:
    """Make the endpoints of direct proxying: one for each provider, and the rest of `/v1`."""
    prefixes = {f"/{name}": name for name in settings.providers} | {"/v1": settings.passthrough_provider}
    return tuple(
        Endpoint(METHODS, f"{prefix}/<path:path>", _Proxy(name, prefix), LLM_RAW, raw=True)
        for prefix, name in prefixes.items()
    )


class _Proxy:
    """The handler of one prefix: what follows it goes to one provider."""

    def __init__(self, provider: str, prefix: str) -> None:
        self._provider = provider
        self._prefix = prefix
        self.__name__ = f"proxy_{provider}"

    async def __call__(self, request: GatewayRequest, path: str) -> None:
        del path  # decoded; the raw one goes through
        provider = find_open_provider(request, self._provider)
        rest = request.raw_url.decode("latin-1").partition("#")[0].removeprefix(self._prefix)
        path_and_query = clean_path(rest)
        if self._prefix == "/v1" and provider.kind not in ("openai", "openai-compatible", "stub"):
            path_and_query = f"/v1{path_and_query}"  # their base URL is the server's root (API.md 6)
        await pass_through(request, provider, path_and_query)


def find_open_provider(request: GatewayRequest, name: str) -> ProviderSettings:
    """Find a provider whose whole API this caller may use; what a filter or a credential bounds is refused.

    Bytes are passed on unread here, so that bounds on models could not be kept.
    """
    settings = request.services.settings
    provider = settings.providers.get(name)
    if provider is None or (settings.provider_filter is not None and settings.provider_filter != name):
        raise NotFound(f"There is no provider {name!r} here.")
    if settings.placeholder_mode and provider.kind != "stub":
        raise Forbidden("In placeholder mode no provider is contacted.", code="placeholder_mode")
    if settings.model_filter is not None:
        raise Forbidden("Only one model is exposed here: ask for it by its name.", code="model_not_allowed")
    if request.caller is not None and not request.caller.may_use(f"{name}:*"):
        raise Forbidden(f"This credential is bound to certain models, not to all of {name}.", code="model_not_allowed")
    return provider


async def pass_through(request: GatewayRequest, provider: ProviderSettings, path: str) -> None:
    """Send the request on as it is, with the provider's credentials, and its answer back as it comes."""
    services = request.services
    caller = Caller(request_id=request.request_id, key=request.caller_key)
    headers = forwarded(request.headers.items())
    given = {name for name, _ in headers}  # a version of its API that the client names wins over ours
    headers += [pair for pair in services.router.credential_headers(provider, caller) if pair[0].lower() not in given]
    limit = services.settings.max_request_bytes
    has_body = "content-length" in request.headers or "transfer-encoding" in request.headers
    async with services.upstream.exchange(
        provider,
        request.method,
        strip_key(path),
        headers=headers,
        body=_read_body(request, limit) if has_body else b"",
        request_id=request.request_id,
    ) as answer:
        response: Any = await request.respond(
            status=answer.status, headers=passed_back(answer.headers), content_type=answer.header("content-type")
        )
        async for piece in answer:
            await response.send(piece)
        await response.eof()


def clean_path(path: str) -> str:
    """Refuse a path that could leave the provider's base URL: `..` however encoded, a host, a backslash."""
    bare, _, query = path.partition("?")
    decoded = bare
    for _ in range(3):
        decoded = unquote(decoded)
    if (
        not bare.startswith("/")
        or decoded.startswith("//")
        or "\\" in decoded
        or "://" in decoded.partition("?")[0].split("/")[1]
        or any(ord(character) < 0x20 or ord(character) == 0x7F for character in decoded)
        or any(part in (".", "..") for part in decoded.split("/"))
    ):
        raise InvalidRequest("The path must stay inside the provider's base URL.", code="invalid_path")
    return f"{bare}?{query}" if query else bare


def strip_key(path: str) -> str:
    """Take the gateway's own credential out of a query (`?key=`, the way of Gemini's clients)."""
    bare, _, query = path.partition("?")
    kept = "&".join(pair for pair in query.split("&") if pair and pair.partition("=")[0] != "key")
    return f"{bare}?{kept}" if kept else bare


def forwarded(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Give the caller's headers that go on: none of the connection, none with a credential."""
    pairs = [(name.lower(), value) for name, value in headers]
    named = {token.strip().lower() for name, value in pairs if name == "connection" for token in value.split(",")}
    kept = [(name, value) for name, value in pairs if name not in _HOP_BY_HOP | _OURS | named]
    if not any(name == "accept-encoding" for name, _ in kept):
        kept.append(("accept-encoding", "identity"))
    return kept


def passed_back(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Give the provider's headers that go back; its own request id under a name of its own."""
    back: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        if name in ("x-request-id", "request-id"):
            back.setdefault("x-provider-request-id", value)
        if name in _NOT_PASSED_BACK or name == "content-type":
            continue
        back[name] = f"{back[name]}, {value}" if name in back else value
    return back


async def _read_body(request: GatewayRequest, limit: int) -> AsyncIterator[bytes]:
    counted = 0
    stream: Any = request.stream
    async for piece in stream:
        counted += len(piece)
        if limit and counted > limit:
            raise RequestTooLarge(f"The body is larger than the {limit} bytes allowed (MAX_REQUEST_BYTES).")
        yield piece
