"""Errors in the form of each dialect (API.md 2)."""

import pytest
from anthropic.types import ErrorResponse

from gateway.dialects import errors
from gateway.dialects.errors import Failure
from gateway.errors import Detail, GatewayError, InvalidRequest, ModelNotFound, ProviderError, TimedOut

WRONG = Failure(
    error=InvalidRequest.naming([Detail("n", "must be at least 1")]), status=400, title="Bad Request", request_id="r"
)


def failure(status: int, error: GatewayError | None = None) -> Failure:
    return Failure(error=error or GatewayError("m"), status=status, title="T", request_id="r")


def test_openais_form() -> None:
    assert errors.openai(WRONG) == {
        "error": {
            "message": "n: must be at least 1",
            "type": "invalid_request_error",
            "param": "n",
            "code": "invalid_request",
            "request_id": "r",
            "details": [{"field": "n", "message": "must be at least 1"}],
        }
    }


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (403, "permission_error"),
        (404, "invalid_request_error"),
        (413, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "server_error"),
        (504, "server_error"),
    ],
)
def test_openais_type_follows_the_status(status: int, kind: str) -> None:
    assert errors.openai(failure(status))["error"]["type"] == kind


def test_what_a_provider_said_survives_in_openais_form() -> None:
    said = ProviderError("too long", status=400, code="context_length_exceeded", kind="tokens", param="messages")
    error = errors.openai(failure(400, said))["error"]
    assert (error["type"], error["param"], error["code"]) == ("tokens", "messages", "context_length_exceeded")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (502, "api_error"),
        (504, "timeout_error"),
        (529, "overloaded_error"),
    ],
)
def test_anthropics_form_and_type(status: int, kind: str) -> None:
    written = errors.anthropic(failure(status))
    assert written == {"type": "error", "error": {"type": kind, "message": "m"}, "request_id": "r"}
    assert ErrorResponse.model_validate(written).error.type == kind


def test_only_anthropics_own_types_are_kept_in_its_form() -> None:
    for kind, kept in (("overloaded_error", "overloaded_error"), ("tokens", "rate_limit_error")):
        assert errors.anthropic(failure(429, ProviderError("m", status=429, kind=kind)))["error"]["type"] == kept


def test_ollamas_error_is_the_message() -> None:
    assert errors.ollama(failure(504, TimedOut("slow")))["error"] == "slow"


def test_the_plain_form() -> None:
    error = ModelNotFound("no such model", provider="ollama", model="m")
    assert errors.plain(Failure(error=error, status=404, title="Model Not Found", request_id="r")) == {
        "error": "Model Not Found",
        "message": "no such model",
        "code": "model_not_found",
        "request_id": "r",
        "provider": "ollama",
        "model": "m",
    }
    assert errors.plain(WRONG)["details"] == [{"field": "n", "message": "must be at least 1"}]
