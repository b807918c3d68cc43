"""The one table from errors to statuses and titles, and the body of an error (API.md 2, "everywhere else")."""

import logging
from typing import Any

from sanic import HTTPResponse, Request, Sanic
from sanic import exceptions as sanic_errors

from executor import errors
from executor.api.answers import request_id, respond
from executor.api.bodies import answer_past_body
from executor.errors import ExecutorError

log = logging.getLogger("executor.api")

# Looked up along the class's ancestry: an error without a line of its own is answered as its parent is.
TABLE: dict[type[ExecutorError], tuple[int, str]] = {
    errors.ExecutorError: (500, "Internal Server Error"),
    errors.InvalidRequest: (400, "Bad Request"),
    errors.InvalidJson: (400, "Invalid JSON"),
    errors.Unauthorized: (401, "Unauthorized"),
    errors.NotFound: (404, "Not Found"),
    errors.MethodNotAllowed: (405, "Method Not Allowed"),
    errors.RequestTimedOut: (408, "Request Timeout"),
    errors.RequestTooLarge: (413, "Request Too Large"),
    errors.UnsupportedMediaType: (415, "Unsupported Media Type"),
    errors.QueueFull: (429, "Too Many Requests"),
    errors.Unavailable: (503, "Service Unavailable"),
    errors.QueueTimedOut: (503, "Service Unavailable"),
    errors.ShuttingDown: (503, "Service Unavailable"),
    errors.SandboxUnavailable: (503, "Service Unavailable"),
    errors.EngineFailed: (503, "Service Unavailable"),
    errors.ImageMissing: (503, "Service Unavailable"),
    errors.SandboxLost: (503, "Service Unavailable"),
    errors.ControlFailed: (503, "Service Unavailable"),
}


def describe_error(error: ExecutorError, request_id: str) -> tuple[int, dict[str, Any]]:
    """Give the status and the body of an error."""
    status, title = next(TABLE[kind] for kind in type(error).__mro__ if kind in TABLE)
    body: dict[str, Any] = {"error": title, "message": error.message, "code": error.code, "request_id": request_id}
    if error.details:
        body["details"] = [{"field": detail.field, "message": detail.message} for detail in error.details]
    return status, body


def translate(error: Exception) -> ExecutorError:
    """Give our error for one of Sanic's; anything unforeseen is a bug of ours and tells nothing."""
    match error:
        case ExecutorError():
            return error
        case sanic_errors.NotFound():
            return errors.NotFound("There is no such path.")
        case sanic_errors.MethodNotAllowed():
            allowed = error.headers.get("Allow", "")
            return errors.MethodNotAllowed(
                "The path is not served with this method.", allowed=[name for name in allowed.split(", ") if name]
            )
        case sanic_errors.PayloadTooLarge():
            return errors.RequestTooLarge("The request is larger than allowed.")
        case sanic_errors.RequestTimeout():
            return errors.RequestTimedOut("The request did not arrive in time.")
        case sanic_errors.BadRequest():
            return errors.InvalidRequest("The request is malformed.")
        case sanic_errors.ServiceUnavailable():
            return errors.Unavailable("The request took longer than allowed.")
    return ExecutorError("Something went wrong in the executor; its log has more under this request id.")


def install_errors(app: Sanic[Any, Any]) -> None:
    """Have every error answered from the table."""

    @app.exception(Exception)
    async def answer_error(request: Request, exception: Exception) -> HTTPResponse | None:
        error = translate(exception)
        status, body = describe_error(error, request_id(request))
        if status == 500:
            log.error("unforeseen", exc_info=exception, extra={"request_id": request_id(request)})
        headers = {}
        if error.retry_after is not None:
            headers["retry-after"] = str(error.retry_after)
        if isinstance(error, errors.MethodNotAllowed):
            headers["allow"] = ", ".join(error.allowed)
        if isinstance(error, errors.Unauthorized):
            headers["www-authenticate"] = "Bearer"
        return await answer_past_body(request, respond(request, body, status=status, headers=headers))
