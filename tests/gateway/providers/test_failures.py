"""What a provider says of an error reaches the client, without what it must not see."""

import pytest

from gateway.errors import CredentialsRefused, ModelNotFound, ProviderError
from gateway.providers import failures
from gateway.providers.failures import Complaint, clean_message, refusal


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("plain words", "plain words"),
        (
            "see https://platform.openai.com/docs/errors#rate for more",
            "see https://platform.openai.com/docs/errors for more",
        ),
        ("at https://example.com/a?key=AIzaSyD4x8x8x8x8x8x8x", "at https://example.com/a"),
        ("Get http://127.0.0.1:11434/api: refused", "Get (address left out) refused"),
        ("from http://ollama:11434/x", "from (address left out)"),
        ("https://user:pass@example.com/x", "(address left out)"),
        ("key sk-proj-abcdefgh12345678 is bad", "key … is bad"),
        ("Bearer abcdefgh.12345678 is bad", "… is bad"),
        ("AIzaSyA1234567890abcdef", "…"),
        ("the risk-averse task-force", "the risk-averse task-force"),
    ],
)
def test_addresses_and_keys_are_taken_out(said: str, shown: str):
    assert clean_message(said) == shown


def test_a_long_message_is_cut():
    assert len(clean_message("x" * 100_000)) == failures.MAX_MESSAGE_CHARACTERS + 1


@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials_say_nothing_of_what_the_provider_said(status: int):
    error = refusal(status, Complaint(message="Incorrect API key provided: hunter2"))
    assert isinstance(error, CredentialsRefused)
    assert "hunter2" not in error.message


@pytest.mark.parametrize(
    ("status", "complaint"),
    [
        (
            404,
            Complaint(message="The model `x` does not exist or is not yours.", code="model_not_found"),
        ),
        (400, Complaint(message="no", code="model_not_found")),
        (404, Complaint(message="model 'x' not found")),
        (404, Complaint(message='model "x" not found, try pulling it first')),
        (404, Complaint(message="The model `x` does not exist.", kind="NotFoundError", code="404")),
        (400, Complaint(message="x is not a valid model ID", code="400")),
    ],
)
def test_that_a_model_is_missing_is_understood(status: int, complaint: Complaint):
    assert isinstance(refusal(status, complaint), ModelNotFound)


@pytest.mark.parametrize(
    ("status", "message"),
    [(400, "the model does not support tools; function not found"), (404, "page not found"), (500, "model not found")],
)
def test_other_errors_about_models_are_passed_on(status: int, message: str):
    error = refusal(status, Complaint(message=message))
    assert isinstance(error, ProviderError)
    assert (error.status, error.message) == (status, message)
