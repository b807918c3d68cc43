"""What a provider says when it refuses, turned into our errors, with nothing in it that nobody should see."""

import re
from dataclasses import dataclass
from typing import Any

from gateway.errors import CredentialsRefused, GatewayError, ModelNotFound, ProviderError
from gateway.providers import lenient

MAX_MESSAGE_CHARACTERS = 1000

_URL = re.compile(r"\b(?:https?|wss?)://[^\s\"'<>)\]]+")
_SECRET = re.compile(
    r"\b(?:sk|pk|rk|gsk|xai|hf|AIza|ya29)[-_.]?[A-Za-z0-9*_.\-]{8,}"
    r"|\b[Bb]earer\s+[A-Za-z0-9._~+/=\-]{8,}"
    r"|(?<=key=)[^\s&\"']+"
)
_PUBLIC_HOST = re.compile(r"https?://(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,}(?:/[^?#]*)?", re.ASCII)
_NO_SUCH_MODEL = re.compile(
    r"\bmodels?\b.{0,200}?(?:not found|not exist|no such|unknown|is not available|not supported for)"
    r"|(?:no such|unknown|unrecognized) model|not a valid model",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Complaint:
    """What a provider said of a request: its message, and its `code`, `type` and `param` where it gave them."""

    message: str
    code: str | None = None
    kind: str | None = None
    param: str | None = None


def clean_message(message: str) -> str:
    """Cut a provider's message to a sane length and take out addresses and what looks like a key.

    A link to a public page is kept, without its query.
    """
    message = _URL.sub(_public_address, message.strip())
    message = _SECRET.sub("…", message)
    if len(message) > MAX_MESSAGE_CHARACTERS:
        message = message[:MAX_MESSAGE_CHARACTERS] + "…"
    return message


def _public_address(found: re.Match[str]) -> str:
    address = re.split(r"[?#]", found.group(), maxsplit=1)[0]
    return address if _PUBLIC_HOST.fullmatch(address) else "(address left out)"


def read_said(body: bytes) -> Any:
    """Give what an error answer holds: its JSON value, or the text of one that is neither JSON nor a page.

    None for what says nothing that could be shown to anybody: bytes that are no text, HTML, a stack trace.
    """
    said = lenient.parse_or_none(body)
    if said is not None:
        return said
    try:
        text = body.decode().strip()
    except UnicodeDecodeError:
        return None
    is_shown = not text.startswith("<") and "Traceback (most recent call last)" not in text
    return text if is_shown and "".join(text.split()).isprintable() else None


def openai_complaint(body: Any) -> Complaint | None:
    """Read the error out of an answer in OpenAI's form or one of those seen in servers that imitate it.

    `{"error": {"message", "type", "param", "code"}}` (OpenAI), `{"error": "text"}`, `{"object": "error",
    "message", ...}` (vLLM), `{"detail": …}` (FastAPI), `{"message": "text"}`. None when it holds no error.
    """
    if isinstance(body, list) and len(body) == 1:
        body = body[0]
    answer = lenient.mapping(body)
    error = answer.get("error")
    if isinstance(error, str) and error:
        return Complaint(
            message=error, code=code_text(answer.get("code")), kind=lenient.text_or_none(answer.get("type"))
        )
    if isinstance(error, dict):
        said = error.get("message") or error.get("detail") or error.get("type") or error.get("code")
        return Complaint(
            message=said if isinstance(said, str) else lenient.dump(error),
            code=code_text(error.get("code")),
            kind=lenient.text_or_none(error.get("type")) or lenient.text_or_none(error.get("status")),
            param=lenient.text_or_none(error.get("param")),
        )
    if answer.get("object") == "error":
        return Complaint(
            message=lenient.text(answer.get("message")),
            code=code_text(answer.get("code")),
            kind=lenient.text_or_none(answer.get("type")),
            param=lenient.text_or_none(answer.get("param")),
        )
    return None


def plain_complaint(body: Any) -> Complaint | None:
    """Read the error out of an answer whose status says that it is one: `{"detail"}`, `{"message"}` or a string."""
    if isinstance(body, str) and body.strip():
        return Complaint(message=body)
    answer = lenient.mapping(body)
    for name in ("detail", "message", "msg"):
        said = answer.get(name)
        if said:
            return Complaint(message=said if isinstance(said, str) else lenient.dump(said))
    return None


def code_text(code: Any) -> str | None:
    """Give an error code as text, a number too; None when there is none."""
    return str(code) if isinstance(code, str | int) and not isinstance(code, bool) and code != "" else None


def says_no_such_model(status: int, complaint: Complaint) -> bool:
    """Whether the provider means that it does not have the model."""
    if complaint.code == "model_not_found":
        return True
    return (
        status in {400, 404}
        and _NO_SUCH_MODEL.search(complaint.message) is not None
        and _about_model(status, complaint)
    )


def _about_model(status: int, complaint: Complaint) -> bool:
    return status == 404 or complaint.param == "model" or "not a valid model" in complaint.message.lower()


def refusal(status: int, complaint: Complaint | None, *, no_such_model: bool = False) -> GatewayError:
    """Give our error for an answer with `status`; `no_such_model` where the vendor's form says so beyond doubt."""
    if status in {401, 403}:
        return CredentialsRefused(f"the provider refused the credentials (it answered with status {status})")
    if complaint is None or not complaint.message.strip():
        message = f"the provider answered with status {status} and no explanation"
        complaint = (
            Complaint(message=message)
            if complaint is None
            else Complaint(message=message, code=complaint.code, kind=complaint.kind, param=complaint.param)
        )
    if no_such_model or says_no_such_model(status, complaint):
        return ModelNotFound(clean_message(complaint.message), kind=complaint.kind, param=complaint.param)
    return ProviderError(
        clean_message(complaint.message), status=status, code=complaint.code, kind=complaint.kind, param=complaint.param
    )


def raise_error_in(answer: Any) -> None:
    """Raise the `ProviderError` that an answer with a good status carries, if it does."""
    complaint = openai_complaint(answer)
    if complaint is None:
        return
    code = complaint.code or ""
    raise late_error(complaint, int(code) if code.isdecimal() and 400 <= int(code) < 600 else 502)


def late_error(complaint: Complaint, status: int) -> ProviderError:
    """Give our error for a complaint that came where an answer was due; `status` is what it would have had."""
    message = clean_message(complaint.message) or "the provider answered with an error and no explanation"
    return ProviderError(message, status=status, code=complaint.code, kind=complaint.kind, param=complaint.param)
