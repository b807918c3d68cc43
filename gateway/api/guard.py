"""Before each request: who is it, from where, may they, and how often; behind each answer: what every answer has.

All endpoints are declared as `Endpoint`s, each with its `Access`, and registered here and nowhere else. The guard
judges a request by its head; only what it lets through has its body read.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any

import sanic.exceptions
from sanic.response import BaseHTTPResponse, HTTPResponse

from gateway.access.credentials import Identity, digest_of, find_credential
from gateway.access.quotas import find_client
from gateway.api.errors import answer_error
from gateway.api.origins import may_be_page, refuse_strangers
from gateway.api.services import Gateway, GatewayRequest
from gateway.errors import Forbidden, RateLimited, RequestTooLarge, Unauthorized, UnsupportedMediaType
from gateway.telemetry.logs import access as log_access
from gateway.telemetry.logs import request_id

LINGER_SECONDS = 1.0
NO_LIMIT = 2**62
UNMATCHED = "unmatched"  # what is counted under no path's template

_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})

Handler = Callable[..., Coroutine[Any, Any, HTTPResponse | None]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """What an endpoint wants: a scope (None: open to everyone), a quota to draw on, a JSON body.

    `overdraws` is for what counts and is let through even so when nothing is left; `any_type` waives the declaration
    of JSON for who cannot be a web page; `any_host` is for what even a rebound name or a strange web page may see.
    """

    scope: str | None = None
    quota: str | None = None
    overdraws: bool = False
    json: bool = False
    any_type: bool = False
    any_host: bool = False


OPEN = Access()
HEALTH = Access(any_host=True)
LLM = Access(scope="llm", quota="requests", json=True)
LLM_ANY_TYPE = Access(scope="llm", quota="requests", json=True, any_type=True)
LLM_RAW = Access(scope="llm", quota="requests")
EXECUTE = Access(scope="execute", quota="executions", json=True)
EXECUTE_LOOK = Access(scope="execute", quota="executions")
# Who has used up the limit may well have code running that does harm, or costs: a refusal would keep it running.
EXECUTE_CANCEL = Access(scope="execute", quota="executions", overdraws=True)
ADMIN = Access(scope="admin")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A path with its methods and its handler, and who may use it. `raw` leaves the body for the handler to read."""

    methods: str
    path: str
    handler: Handler
    access: Access
    raw: bool = False


def install(app: Gateway, endpoints: Iterable[Endpoint]) -> None:
    """Register the endpoints, each behind the guard, and what every answer has behind it."""
    for number, endpoint in enumerate(endpoints):
        app.add_route(
            _guarded(endpoint),
            endpoint.path,
            endpoint.methods.split(),
            name=f"endpoint_{number}",
            stream=True,  # so that the body is not read before the guard has judged
            ctx_access=endpoint.access,
            ctx_template=endpoint.path,
        )
    app.exception(Exception)(_answer_stray)


def _guarded(endpoint: Endpoint) -> Handler:
    access, raw, handler, template = endpoint.access, endpoint.raw, endpoint.handler, endpoint.path
    takes_options = "OPTIONS" in endpoint.methods.split()

    async def handle(request: GatewayRequest, **matched: Any) -> HTTPResponse | None:
        request_id.set(request.request_id)
        try:
            if takes_options and _is_preflight(request):
                response: HTTPResponse | None = await _answer_preflight(request)
            else:
                await admit(request, access)
                if not raw:
                    await _read_body(request)
                response = await handler(request, **matched)
        except Exception as error:
            if request.responded:
                count(request, getattr(request.stream, "response", None), template)
                raise
            response = await answer_error(request, error)
            if getattr(request.stream, "request_body", None):
                await _answer_and_linger(request, response)
                response = None
        count(request, response or getattr(request.stream, "response", None), template)
        return response

    return handle


def _is_preflight(request: GatewayRequest) -> bool:
    """Whether a browser asks what a page may ask: open to everyone, and ours to answer."""
    return request.method == "OPTIONS" and "access-control-request-method" in request.headers


async def _answer_preflight(request: GatewayRequest) -> HTTPResponse:
    await _read_body(request)
    return HTTPResponse(status=204)  # the CORS headers are put on like on every answer


async def _answer_stray(request: GatewayRequest, exception: Exception) -> HTTPResponse:
    """Answer what has come past all guards: a path or a method that there is none for, or what is no HTTP at all."""
    response = await answer_error(request, exception)
    if request.route is None:  # else its guard has counted it
        count(request, response, _find_template(request, exception))
    return response


def _find_template(request: GatewayRequest, exception: Exception) -> str:
    """Give the template of the path that was asked for with another method than those it has."""
    if isinstance(exception, sanic.exceptions.MethodNotAllowed):
        allowed = str(exception.headers.get("Allow", "")).partition(",")[0]
        with contextlib.suppress(sanic.exceptions.SanicException):
            route, _, _ = request.app.router.get(request.path, allowed, request.headers.get("host"))
            return str(route.ctx.template)
    return UNMATCHED


async def admit(request: GatewayRequest, access: Access) -> None:
    """Judge a request by its head alone; raises what it is refused for."""
    services = request.services
    settings, headers = services.settings, request.headers
    if not settings.auth.enabled:
        if not access.any_host:
            refuse_strangers(headers, settings)
    elif access.scope is not None:
        # Nearly every request comes from somebody seen a moment ago, on the same connection with the same head.
        digest = request.findings.digest
        caller = services.credentials.recall_digest(digest) if digest is not None else None
        if caller is None:
            caller = await _identify(request)
        if access.scope not in caller.scopes:
            raise Forbidden(f"This credential does not have the scope {access.scope!r}, which this path wants.")
        request.caller = caller
    if access.json and request.method in _WITH_BODY:
        content_type = headers.get("content-type", "")
        if content_type != "application/json" and not (access.any_type and not may_be_page(headers)):
            want_json(content_type)
        if headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise UnsupportedMediaType("The body must not be compressed: send it without Content-Encoding.")
    check_declared_size(headers.get("content-length"), settings.max_request_bytes)
    if access.quota is not None:
        await _draw(request, access.quota, overdraws=access.overdraws)


async def _identify(request: GatewayRequest) -> Identity:
    presented = find_credential(request.headers, request.query_string, as_gemini=_is_geminis(request))
    if presented is None:
        raise Unauthorized("A credential is wanted: send 'Authorization: Bearer <key or token>'.")
    request.findings.digest = digest_of(presented)
    return await request.services.credentials.identify(presented)


def _is_geminis(request: GatewayRequest) -> bool:
    """Whether the path is that of a provider which Gemini's own clients may be pointed at."""
    provider = request.services.settings.providers.get(request.path.removeprefix("/").partition("/")[0])
    return provider is not None and provider.kind == "gemini"


async def _draw(request: GatewayRequest, quota: str, *, overdraws: bool) -> None:
    services = request.services
    caller = request.caller
    if caller is not None:
        who, own = caller.holder, caller.limits.get(quota, "")
    else:
        peer = request.conn_info.client_ip if request.conn_info else ""
        who, own = find_client(request.headers, peer, services.settings.trusted_proxies), ""
    quotas = services.quotas
    allowance = quotas.hit_here(quota, who, own) if quotas.are_here else await quotas.hit(quota, who, own)
    request.allowance = allowance
    if allowance is not None and not allowance.allowed and not overdraws:
        services.metrics.rate_limited(quota)
        raise RateLimited(
            f"More than {allowance.limit} requests: wait {allowance.retry_after:.0f} s.",
            retry_after=max(1.0, allowance.retry_after),
        )


def want_json(content_type: str) -> None:
    """Refuse a body that is not declared as JSON: a web page from elsewhere can send those without asking first."""
    media_type = content_type.partition(";")[0].strip().lower()
    is_json = media_type.startswith("application/") and media_type.endswith(("/json", "+json"))
    if not is_json:
        given = f"not {media_type!r}" if media_type else "which is not given"
        raise UnsupportedMediaType(f"The content type must be application/json, {given}.")


def check_declared_size(declared: str | None, limit: int) -> None:
    """Refuse a body whose declared length is over the limit; 0 switches the check off."""
    if limit and declared and declared.isdigit() and int(declared) > limit:
        raise RequestTooLarge(f"The body of {declared} bytes is larger than the {limit} allowed (MAX_REQUEST_BYTES).")


async def _read_body(request: GatewayRequest) -> None:
    stream: Any = request.stream
    stream.request_max_size = request.services.settings.max_request_bytes or NO_LIMIT
    pieces: list[bytes] = []
    while stream.request_body:
        piece = await stream.read()
        if piece:
            pieces.append(piece)
    request.body = pieces[0] if len(pieces) == 1 else b"".join(pieces)


async def _answer_and_linger(request: GatewayRequest, response: HTTPResponse) -> None:
    """Answer, then take in what the client is still sending for a moment, or it would never see the answer."""
    stream: Any = request.stream
    awaits_leave = stream.expecting_continue
    if awaits_leave:  # and does not get it: the body never comes
        stream.expecting_continue = False
        stream.request_body = None
    stream.keep_alive = False
    stream.request_max_size = NO_LIMIT
    sent: Any = await request.respond(response)
    await sent.send(end_stream=True)
    if awaits_leave:
        return
    with contextlib.suppress(Exception):
        async with asyncio.timeout(LINGER_SECONDS):
            async for _ in stream:
                pass


def count(request: GatewayRequest, response: BaseHTTPResponse | None, template: str) -> None:
    """Count an answer under its path's template, and write it to the access log."""
    services = request.services
    status = response.status if response is not None else 500
    seconds = time.monotonic() - request.began
    services.metrics.request(request.method, template, status, seconds)
    if services.settings.log_requests:
        log_access(request.method, request.path, status, seconds * 1000, user=request.user)
