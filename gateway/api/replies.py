"""Plain answers, and what every answer of the gateway has in its head (API.md 1.6, 1.7 and 1.3)."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from sanic.response import BaseHTTPResponse, HTTPResponse

from gateway.access.quotas import Allowance
from gateway.api.origins import allowed_origin

if TYPE_CHECKING:
    from gateway.api.services import GatewayRequest

_STATUS_LINES = {status.value: b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode()) for status in HTTPStatus}
_EXPOSED = (
    "x-request-id, retry-after, ratelimit-limit, ratelimit-remaining, ratelimit-reset, "
    "x-provider-request-id, x-should-retry"
)


class Reply(HTTPResponse):
    """An answer with a body, whose head is written in one go.

    Sanic passes each name and each value through a translation that takes line breaks out; here only what holds
    something unprintable takes that way.
    """

    __slots__ = ()

    def __init__(
        self,
        body: bytes,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        content_type: str | None = None,
    ) -> None:
        self.asgi = False
        self.body = body
        self.content_type = content_type
        self.stream = None
        self.status = status
        # Each name comes once, in lower case: a plain mapping does what Sanic's own does with them.
        self.headers: Any = dict(headers) if headers else {}
        self._cookies = None

    def write(self, *, keep_alive: bool) -> bytes:
        """Write all of the answer, as HTTP/1.1 has it."""
        headers = self.headers
        headers.setdefault("content-type", self.content_type)
        lines = [f"{name}: {value}" for name, value in headers.items()]
        if not "".join(lines).isprintable():
            clean = BaseHTTPResponse._sanitize_header_value
            lines = [f"{name}: {clean(f'{value}')}" for name, value in headers.items()]
        body = self.body or b""
        connection = "keep-alive" if keep_alive else "close"
        lines.append(f"content-length: {len(body)}\r\nconnection: {connection}\r\n\r\n")
        return b"%b%b%b" % (_STATUS_LINES[self.status], "\r\n".join(lines).encode(errors="surrogateescape"), body)


def complete(request: "GatewayRequest", response: BaseHTTPResponse) -> None:
    """Put on an answer what every answer has: the request's id, the limits, the CORS headers."""
    headers = response.headers
    headers["x-request-id"] = request.request_id
    if request.path.startswith("/v1/messages"):
        headers["request-id"] = request.request_id  # the name that Anthropic's clients look for
    if request.allowance is not None:
        _show_allowance(headers, request.allowance)
    origin = request.headers.get("origin")
    if origin is None:
        return
    allowed = "*" if request.path == "/health" else allowed_origin(origin, request.services.settings)
    if allowed is None:
        _vary_by_origin(headers)  # for another origin the answer is another
        return
    headers["access-control-allow-origin"] = allowed
    headers["access-control-expose-headers"] = _EXPOSED
    if allowed != "*":
        _vary_by_origin(headers)
    if request.method == "OPTIONS":
        headers["access-control-allow-methods"] = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
        headers["access-control-allow-headers"] = request.headers.get("access-control-request-headers", "*")
        headers["access-control-max-age"] = "600"


def _vary_by_origin(headers: Any) -> None:
    known = headers.get("vary")
    headers["vary"] = f"{known}, Origin" if known else "Origin"


def _show_allowance(headers: Any, allowance: Allowance) -> None:
    headers["ratelimit-limit"] = str(allowance.limit)
    headers["ratelimit-remaining"] = str(allowance.remaining)
    headers["ratelimit-reset"] = str(max(0, round(allowance.reset_seconds)))
