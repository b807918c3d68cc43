"""The body of an error in each dialect (API.md section 2). The table of statuses and titles is the API's."""

from dataclasses import dataclass
from typing import Any

from gateway.errors import GatewayError, ModelNotFound, ProviderError

_OPENAI_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}

# Anthropic, "Errors": https://docs.anthropic.com/en/api/errors
_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


@dataclass(frozen=True, slots=True)
class Failure:
    """An error with what only the edge knows of it: its HTTP status, its short title, the request's id."""

    error: GatewayError
    status: int
    title: str
    request_id: str | None = None


def openai(failure: Failure) -> dict[str, Any]:
    """OpenAI's shape, with its `type` names; a provider's own `type` wins. `param` is the first field at fault."""
    error = failure.error
    kind = _OPENAI_TYPES.get(failure.status, "server_error" if failure.status >= 500 else "invalid_request_error")
    param = error.details[0].field if error.details else None
    if isinstance(error, ProviderError | ModelNotFound):
        kind, param = error.kind or kind, error.param
    body: dict[str, Any] = {"message": error.message, "type": kind, "param": param, "code": error.error_code}
    if failure.request_id is not None:
        body["request_id"] = failure.request_id
    if error.details:
        body["details"] = _details(error)
    return {"error": body}


def anthropic(failure: Failure) -> dict[str, Any]:
    """Anthropic's shape; a provider's own `type` is kept if it is one of Anthropic's."""
    error = failure.error
    kind = _ANTHROPIC_TYPES.get(failure.status, "api_error" if failure.status >= 500 else "invalid_request_error")
    if isinstance(error, ProviderError | ModelNotFound) and error.kind in {*_ANTHROPIC_TYPES.values(), "api_error"}:
        kind = error.kind
    body: dict[str, Any] = {"type": "error", "error": {"type": kind, "message": error.message}}
    if failure.request_id is not None:
        body["request_id"] = failure.request_id
    return body


def ollama(failure: Failure) -> dict[str, Any]:
    """Ollama's shape, where `error` is the message; the code and the request's id stand beside it."""
    body = {"error": failure.error.message, "code": failure.error.error_code}
    if failure.request_id is not None:
        body["request_id"] = failure.request_id
    return body


def plain(failure: Failure) -> dict[str, Any]:
    """Sandgate's own shape, for every path that speaks no vendor's dialect."""
    error = failure.error
    body: dict[str, Any] = {"error": failure.title, "message": error.message, "code": error.error_code}
    if failure.request_id is not None:
        body["request_id"] = failure.request_id
    if error.provider is not None:
        body["provider"] = error.provider
    if error.model is not None:
        body["model"] = error.model
    if error.details:
        body["details"] = _details(error)
    return body


def _details(error: GatewayError) -> list[dict[str, str]]:
    return [{"field": detail.field, "message": detail.message} for detail in error.details]
