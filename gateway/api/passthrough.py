"""Bytes through to a provider (API.md 3.3 to 3.5).

`/<provider>/<path>` and what `/v1` does not know itself go on as they come; `{prefix}/passthrough` says in a JSON
body what is to be sent.
"""

import logging
import re
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from urllib.parse import quote, unquote, unquote_plus, urlencode

import msgspec
from sanic.compat import Header
from sanic.response import HTTPResponse

from gateway.api import anthropic, openai, responses
from gateway.api.guard import LLM, LLM_RAW, Endpoint, admit
from gateway.api.inference import caller_of, find_route
from gateway.api.recording import Recording
from gateway.api.services import GatewayRequest
from gateway.dialects.reading import Fields, open_body
from gateway.errors import Forbidden, GatewayError, InvalidRequest, MethodNotAllowed, NotFound, RequestTooLarge
from gateway.routing.login import blank_secrets
from gateway.routing.names import Target
from gateway.settings import ProviderSettings, Settings
from gateway.upstream import Answer

log = logging.getLogger(__name__)

METHODS = "GET HEAD POST PUT PATCH DELETE"
ANY_METHOD = f"{METHODS} OPTIONS"  # with OPTIONS come all those that have no name here (gateway.api.routes)

_KNOWN = {known.path: known for known in (*openai.ENDPOINTS, *responses.ENDPOINTS, *anthropic.ENDPOINTS)}

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
_ABSOLUTE = re.compile(r"/*[A-Za-z][A-Za-z0-9+.-]*:/")
_VISIBLE = "!$%&'()*+,-./:;=?@[]_~|^`{}\\\"<>"


def make_endpoints(settings: Settings) -> tuple[Endpoint, ...]:
    """Make the endpoints of direct proxying: one for each provider, and the rest of `/v1`."""
    prefixes = {f"/{name}": name for name in settings.providers} | {"/v1": settings.passthrough_provider}
    return (
        Endpoint("POST", f"{settings.api_prefix}/passthrough", pass_described, LLM),
        *(
            Endpoint(ANY_METHOD, f"{prefix}/<path:path>", _Proxy(name, prefix), LLM_RAW, raw=True)
            for prefix, name in prefixes.items()
        ),
    )


class _Proxy:
    """The handler of one prefix: what follows it goes to one provider."""

    def __init__(self, provider: str, prefix: str) -> None:
        self._provider = provider
        self._prefix = prefix
        self.__name__ = f"proxy_{provider}"

    async def __call__(self, request: GatewayRequest, path: str) -> HTTPResponse | None:
        if self._prefix == "/v1" and path.endswith("/") and (known := _KNOWN.get(request.path.rstrip("/"))):
            return await _serve_known(request, known)
        del path  # decoded; the raw one goes through
        provider = find_open_provider(request, self._provider)
        rest = request.raw_url.decode("latin-1").partition("#")[0].removeprefix(self._prefix)
        path_and_query = clean_path(rest)
        if self._prefix == "/v1" and provider.kind not in ("openai", "openai-compatible", "stub"):
            path_and_query = f"/v1{path_and_query}"  # their base URL is the server's root (API.md 6)
        has_body = "content-length" in request.headers or "transfer-encoding" in request.headers
        limit = request.services.settings.max_request_bytes
        body = _read_body(request, limit) if has_body else b""
        path_and_query = strip_key(path_and_query, provider)
        raw = Raw(request.method, path_and_query, tuple(request.headers.items()), body)
        return await pass_through(request, provider, raw)


async def _serve_known(request: GatewayRequest, known: Endpoint) -> HTTPResponse | None:
    """Answer a path of our own that was asked for with a slash at its end, which only the rest of `/v1` matches."""
    if request.method not in known.methods.split():
        raise MethodNotAllowed(f"This path takes {known.methods}.", allowed=known.methods.split())
    await admit(request, replace(known.access, quota=None))  # the quota has been drawn on already
    limit = request.services.settings.max_request_bytes
    request.body = b"".join([piece async for piece in _read_body(request, limit)])
    return await known.handler(request)


@dataclass(frozen=True, slots=True)
class Raw:
    """A request as it is to be sent; what of its headers may go on is decided later."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes | AsyncIterator[bytes] = b""


async def pass_described(request: GatewayRequest) -> HTTPResponse | None:
    """Send the call that the body describes, to a provider or to that of a model; answers as the provider does."""
    fields = open_body(request.body)
    raw = read_raw(fields)
    name = fields.text("provider", empty=False)
    model = fields.text("model", empty=False)
    if name is None and model is None and not fields.complaints:
        fields.complain("provider", "is required, or a model that leads to one")
    fields.check()
    provider = find_open_provider(request, name or find_route(request, model or "").targets[0].provider)
    return await pass_through(request, provider, raw)


def read_raw(fields: Fields) -> Raw:
    """Read `method`, `path`, `query`, `headers` and `body`; complains of what is wrong with them."""
    method = fields.choice("method", METHODS.split()) or "POST"
    path = fields.text("path", required=True, empty=False) or "/"
    body = fields.get("body")
    content = body.encode() if isinstance(body, str) else b"" if body is None else msgspec.json.encode(body)
    headers = _read_pairs(fields, "headers")
    for place, (key, value) in enumerate(headers):
        if key.lower() in _OURS:
            fields.complain(f"headers.{key}", "is not the caller's to set in such a call")
        elif not _is_header(key, value):
            headers[place] = ("", "")
            fields.complain(f"headers.{key[:40]}", "is not a header that can be sent")
    if content and not any(key.lower() == "content-type" for key, _ in headers):
        headers.append(("content-type", "application/json"))
    query = fields.get("query")
    written = query.removeprefix("?") if isinstance(query, str) else urlencode(_read_pairs(fields, "query"))
    if "#" in path or "#" in written:
        fields.complain("path", "must not hold a fragment")
    path = quote(path if path.startswith("/") else f"/{path}", safe=_VISIBLE)
    if written:
        path += ("&" if "?" in path else "?") + quote(written, safe=_VISIBLE)
    try:
        return Raw(method, clean_path(path), tuple(headers), content)
    except InvalidRequest as error:
        fields.complain("path", error.message)
        return Raw(method, "/", ())


def _is_header(name: str, value: str) -> bool:
    return name.isascii() and name.replace("-", "").replace("_", "").isalnum() and value.isprintable()


def _read_pairs(fields: Fields, name: str) -> list[tuple[str, str]]:
    """Read an object whose values are texts, numbers, booleans or lists of them."""
    pairs: list[tuple[str, str]] = []
    for key, given in (fields.mapping(name) or {}).items():
        for value in given if isinstance(given, list) else [given]:
            if isinstance(value, bool):
                pairs.append((key, "true" if value else "false"))
            elif isinstance(value, (str, int, float)):
                pairs.append((key, str(value)))
            elif value is not None:
                fields.complain(f"{name}.{key}", "must be a text or a number")
    return pairs


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


async def pass_through(request: GatewayRequest, provider: ProviderSettings, raw: Raw) -> HTTPResponse | None:
    """Send a request on as it is, with the provider's credentials, and the answer back as it comes."""
    services = request.services
    caller = caller_of(request)
    headers = [(name, value) for name, value in forwarded(raw.headers) if not request.is_ours(value)]
    given = {name for name, _ in headers}  # a version of its API that the client names wins over ours
    credentials = await services.router.credential_headers(provider, caller)
    headers += [pair for pair in credentials if pair[0].lower() not in given]
    with Recording(request, asked="") as recording:
        recording.aimed_at(Target(provider=provider.name, model=""))
        async with services.upstream.exchange(
            provider,
            raw.method,
            _drop_ours(request, raw.path),
            headers=headers,
            body=raw.body,
            request_id=request.request_id,
        ) as answer:
            recording.answered(answer.status)
            if answer.status == 401:
                services.router.note_refused(provider, credentials)
            if raw.method == "HEAD":
                return _pass_head_back(request, answer)
            clean = partial(blank_secrets, provider=provider, sent=credentials) if answer.status >= 400 else bytes
            recording.ended(await _pass_back(request, answer, clean))
            return None


def _pass_head_back(request: GatewayRequest, answer: Answer) -> HTTPResponse:
    """Give an answer that has no body; its length is that of a body only where the client has asked for the head."""
    headers = passed_back(answer.headers)
    if request.method != "HEAD":
        headers.pop("content-length", None)
    return HTTPResponse(status=answer.status, headers=headers, content_type=answer.header("content-type"))


async def _pass_back(request: GatewayRequest, answer: Answer, clean: Callable[[bytes], bytes]) -> GatewayError | None:
    """Send an answer back as it comes, each piece cleaned; gives the error that broke it off, if one did."""
    response: Any = await request.respond(
        status=answer.status, headers=passed_back(answer.headers), content_type=answer.header("content-type")
    )
    try:
        async for piece in answer:
            await response.send(clean(piece))
    except GatewayError as error:
        log.warning("%s %s: the answer broke off: %s", request.method, request.path, error.message)
        request.outcome = error.message
        connection: Any = request.transport
        if connection is not None:
            connection.abort()  # the only way left to say that this is not the end
        return error
    await response.eof()
    return None


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
        or _ABSOLUTE.match(decoded)
        or any(ord(character) < 0x20 or ord(character) == 0x7F for character in decoded)
        or any(part in (".", "..") for part in decoded.split("/"))
    ):
        raise InvalidRequest("The path must stay inside the provider's base URL.", code="invalid_path")
    return f"{bare}?{query}" if query else bare


def strip_key(path: str, provider: ProviderSettings) -> str:
    """Take `key` out of a query to Gemini: there it is a credential of the gateway's, or one that does not count."""
    bare, _, query = path.partition("?")
    if provider.kind != "gemini":
        return path
    kept = "&".join(pair for pair in query.split("&") if pair and unquote_plus(pair.partition("=")[0]) != "key")
    return f"{bare}?{kept}" if kept else bare


def _drop_ours(request: GatewayRequest, path: str) -> str:
    """Take what lets callers in here out of a query, whatever it is called there."""
    bare, _, query = path.partition("?")
    pairs = query.split("&")
    kept = [pair for pair in pairs if not request.is_ours(unquote_plus(pair.partition("=")[2]))]
    if len(kept) == len(pairs):
        return path
    return f"{bare}?{'&'.join(kept)}" if kept else bare


def forwarded(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Give the caller's headers that go on: none of the connection, none with a credential."""
    pairs = [(name.lower(), value) for name, value in headers]
    named = {token.strip().lower() for name, value in pairs if name == "connection" for token in value.split(",")}
    kept = [(name, value) for name, value in pairs if name not in _HOP_BY_HOP | _OURS | named]
    if not any(name == "accept-encoding" for name, _ in kept):
        kept.append(("accept-encoding", "identity"))
    return kept


def passed_back(headers: Iterable[tuple[bytes, bytes]]) -> Header:
    """Give the provider's headers that go back; its own request id under a name of its own."""
    pairs = [(name.decode("latin-1").lower(), value.decode("utf-8", "surrogateescape")) for name, value in headers]
    named = {token.strip().lower() for name, value in pairs if name == "connection" for token in value.split(",")}
    back = Header()
    for name, value in pairs:
        if name in ("x-request-id", "request-id"):
            back.setdefault("x-provider-request-id", value)
        if name not in _NOT_PASSED_BACK | named:
            back.add(name, value)
    return back


async def _read_body(request: GatewayRequest, limit: int) -> AsyncIterator[bytes]:
    counted = 0
    stream: Any = request.stream
    async for piece in stream:
        counted += len(piece)
        if limit and counted > limit:
            raise RequestTooLarge(f"The body is larger than the {limit} bytes allowed (MAX_REQUEST_BYTES).")
        yield piece
