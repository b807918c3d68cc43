"""The one table from errors to statuses and titles, and the one handler that answers all of them.

The body is in the dialect of the path that was asked (API.md 2), for 404, 405 and 413 as well.
"""

import logging
import math
import traceback
from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec
import sanic.exceptions
from sanic.response import HTTPResponse

from gateway import errors
from gateway.api.services import GatewayRequest
from gateway.dialects import errors as bodies
from gateway.settings import Settings
from gateway.telemetry.logs import request_id as logged_as
from gateway.telemetry.masking import masked

log = logging.getLogger(__name__)

MAX_HEAD_BYTES = 16384  # REQUEST_MAX_HEADER_SIZE as gateway.app sets it, the most that Sanic takes


class Verdict(NamedTuple):
    """How an error looks over HTTP."""

    status: int
    title: str


STATUSES: dict[type[errors.GatewayError], Verdict] = {
    errors.GatewayError: Verdict(500, "Internal Server Error"),
    errors.InvalidRequest: Verdict(400, "Bad Request"),
    errors.InvalidJSON: Verdict(400, "Invalid JSON"),
    errors.ProviderNotConfigured: Verdict(400, "Provider Not Configured"),
    errors.Unsupported: Verdict(400, "Unsupported"),
    errors.Unauthorized: Verdict(401, "Unauthorized"),
    errors.Forbidden: Verdict(403, "Forbidden"),
    errors.NotFound: Verdict(404, "Not Found"),
    errors.ModelNotFound: Verdict(404, "Model Not Found"),
    errors.MethodNotAllowed: Verdict(405, "Method Not Allowed"),
    errors.RequestTooLarge: Verdict(413, "Request Too Large"),
    errors.UnsupportedMediaType: Verdict(415, "Unsupported Media Type"),
    errors.RateLimited: Verdict(429, "Rate limit exceeded"),
    errors.ProviderError: Verdict(502, "Bad Gateway"),
    errors.UnusableAnswer: Verdict(502, "Bad Gateway"),
    errors.CredentialsRefused: Verdict(502, "Bad Gateway"),
    errors.Unavailable: Verdict(503, "Service Unavailable"),
    errors.TimedOut: Verdict(504, "Gateway Timeout"),
}

_TITLES = {verdict.status: verdict.title for verdict in STATUSES.values()} | {400: "Bad Request", 404: "Not Found"}
_TITLES |= {502: "Bad Gateway", 529: "Overloaded"}


def judge(error: errors.GatewayError) -> Verdict:
    """Give the status and title of an error; a provider's own 4xx, 502-504 and 529 keep their status, but 499."""
    if isinstance(error, errors.ProviderError):
        status = error.status if 400 <= error.status < 499 or error.status in (502, 503, 504, 529) else 502
        status = 400 if status == 422 else status  # never 422 (API.md 2)
        return Verdict(status, _TITLES.get(status) or _phrase(status))
    for kind in type(error).__mro__:
        if kind in STATUSES:
            return STATUSES[kind]
    return STATUSES[errors.GatewayError]


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


_OPENAI_ROOTS = ("/v1/", "/chat/completions", "/completions", "/embeddings", "/models", "/responses")
_OLLAMA_PATHS = frozenset({"chat", "generate", "tags", "embed", "embeddings", "show", "version", "ps"})


def describe(error: errors.GatewayError, request_id: str) -> bodies.Failure:
    """Give an error together with what only the edge knows of it, and no secret in its message."""
    verdict = judge(error)
    error.message = masked(error.message)
    return bodies.Failure(error, verdict.status, verdict.title, request_id)


def write_body(path: str, settings: Settings, failure: bodies.Failure) -> bytes:
    """Write the body of an error in the dialect of `path`."""
    prefix = f"{settings.api_prefix}/"
    if path.startswith(("/v1/messages", "/messages")):
        body = bodies.anthropic(failure)
    elif path.startswith(_OPENAI_ROOTS):
        body = bodies.openai(failure)
    elif path.startswith(prefix) and path.removeprefix(prefix) in _OLLAMA_PATHS:
        body = bodies.ollama(failure)
    else:
        body = bodies.plain(failure)
    return msgspec.json.encode(body)


def header_lines(error: errors.GatewayError) -> dict[str, str]:
    """Give the headers that go with an error."""
    lines: dict[str, str] = {}
    if error.retry_after is not None:
        lines["retry-after"] = str(math.ceil(error.retry_after))
    if isinstance(error, errors.Unauthorized):
        lines["www-authenticate"] = "Bearer"
    if isinstance(error, errors.MethodNotAllowed) and error.allowed:
        lines["allow"] = ", ".join(sorted(error.allowed))
    if error.request_id:
        lines["x-provider-request-id"] = error.request_id
    if error.given_up:
        lines["x-should-retry"] = "false"
    return lines


def translate(exception: BaseException, settings: Settings) -> errors.GatewayError:
    """Turn whatever reached the edge into one of our errors; an unforeseen one is logged and says nothing."""
    match exception:
        case errors.GatewayError():
            return exception
        case sanic.exceptions.MethodNotAllowed():
            allowed = [str(method) for method in exception.headers.get("Allow", "").split(", ") if method]
            return errors.MethodNotAllowed(f"This path takes {' or '.join(sorted(allowed))}.", allowed=allowed)
        case sanic.exceptions.NotFound():
            return errors.NotFound("There is no such path here: GET /docs lists all endpoints.")
        case sanic.exceptions.PayloadTooLarge() if "header" in str(exception):  # as `sanic.http.http1` words it
            too_large = f"The head of the request is larger than {MAX_HEAD_BYTES} bytes"
            if settings.auth.enabled:
                return errors.Unauthorized(f"{too_large}, so that no credential in it was read.")
            return errors.RequestTooLarge(f"{too_large}.")
        case sanic.exceptions.PayloadTooLarge():
            return errors.RequestTooLarge(
                f"The body is larger than the {settings.max_request_bytes} bytes allowed (MAX_REQUEST_BYTES)."
            )
        case sanic.exceptions.RequestTimeout():
            return errors.InvalidRequest("The request did not arrive in full in time.", code="request_timeout")
        case sanic.exceptions.SanicException() if exception.status_code < 500:
            return errors.InvalidRequest("The request is not well-formed HTTP.")
    log.error("unforeseen %s", type(exception).__name__, exc_info=exception)
    message = (
        "".join(traceback.format_exception(exception)) if settings.debug else "Something went wrong in the gateway."
    )
    return errors.GatewayError(message)


async def answer_error(request: GatewayRequest, exception: Exception) -> HTTPResponse:
    """Answer any exception that a handler, the guard or Sanic itself has raised."""
    if request.method == "OPTIONS" and isinstance(
        exception, (sanic.exceptions.MethodNotAllowed, sanic.exceptions.NotFound)
    ):
        too_large = await _discard_body(request)
        if too_large is None:
            return HTTPResponse(status=204)  # a preflight: the CORS headers are put on like on every answer
        exception = too_large
    logged_as.set(request.request_id)
    settings = request.services.settings
    error = translate(exception, settings)
    failure = describe(error, request.request_id)
    request.outcome = error.message
    if failure.status >= 500:
        log.warning("%s %s: %s %s", request.method, request.path, failure.status, error.message)
    return HTTPResponse(
        write_body(request.path, settings, failure),
        status=failure.status,
        headers=header_lines(error),
        content_type="application/json",
    )


async def _discard_body(request: GatewayRequest) -> Exception | None:
    """Read what nobody wants to know, since Sanic takes a body left lying behind a success for our mistake."""
    stream: Any = request.stream
    try:
        async for _ in stream:
            pass
    except sanic.exceptions.SanicException as error:
        return error
    return None
