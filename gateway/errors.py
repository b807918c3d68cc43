"""What can go wrong in the gateway, drawn as one tree.

The tree follows what a caller would branch on. It knows nothing of HTTP: `gateway.api.errors` holds the one
table from these classes to statuses and titles. Messages are written for the person at the other end: what is
wrong, and what to do. They never hold a key, a token, a provider's URL or a path of this machine.

    GatewayError
    ├── InvalidRequest          the request itself is wrong
    │   └── InvalidJSON, ProviderNotConfigured, Unsupported
    ├── Unauthorized, Forbidden
    ├── NotFound
    │   └── ModelNotFound
    ├── MethodNotAllowed, RequestTooLarge, UnsupportedMediaType
    ├── RateLimited
    ├── ProviderError           a provider answered with an error of its own, passed on
    ├── UnusableAnswer          a provider answered with something that cannot be used
    │   └── CredentialsRefused
    ├── Unavailable             somebody behind us cannot be reached
    └── TimedOut                somebody behind us took too long
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Detail:
    """One complaint about one field; `field` is a path such as `messages[0].role`."""

    field: str
    message: str


class GatewayError(Exception):
    """Base of everything the gateway refuses or fails at.

    `code` is the stable snake_case name that clients branch on; `provider` and `model` say what was being asked,
    where that is known; `retry_after` is in seconds; `given_up` says that the gateway has tried often enough, so
    that the caller need not; `request_id` is the provider's own id of the request that it turned down.
    """

    code: ClassVar[str] = "internal_error"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        provider: str | None = None,
        model: str | None = None,
        details: Sequence[Detail] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.error_code = code or self.code
        self.provider = provider
        self.model = model
        self.details = tuple(details)
        self.retry_after = retry_after
        self.given_up = False
        self.request_id: str | None = None


class InvalidRequest(GatewayError):
    """The request is malformed or a value in it is out of range."""

    code = "invalid_request"

    @classmethod
    def naming(cls, details: Sequence[Detail]) -> "InvalidRequest":
        """Build the error whose message names the first of `details` and which lists them all."""
        first = details[0]
        more = f" (and {len(details) - 1} more, see details)" if len(details) > 1 else ""
        return cls(f"{first.field}: {first.message}{more}", details=details)


class InvalidJSON(InvalidRequest):
    """The body is not JSON."""

    code = "invalid_json"


class ProviderNotConfigured(InvalidRequest):
    """The provider asked for needs a key or an address and has none."""

    code = "provider_not_configured"


class Unsupported(InvalidRequest):
    """The provider asked for cannot do this at all; the message says which ones can."""

    code = "unsupported"


class Unauthorized(GatewayError):
    """No credential, or one that is not good."""

    code = "unauthorized"


class Forbidden(GatewayError):
    """A good credential without the right to do this, or a request that looks like an attack."""

    code = "forbidden"


class NotFound(GatewayError):
    """No such path or thing."""

    code = "not_found"


class ModelNotFound(NotFound):
    """No provider, or not the one asked, has this model.

    `kind` and `param` are the provider's `type` and `param` where it was the one to say so.
    """

    code = "model_not_found"

    def __init__(
        self,
        message: str,
        *,
        kind: str | None = None,
        param: str | None = None,
        provider: str | None = None,
        model: str | None = None,
    ) -> None:
        super().__init__(message, provider=provider, model=model)
        self.kind = kind
        self.param = param


class MethodNotAllowed(GatewayError):
    """The path exists, but not with this method; `allowed` lists those it has."""

    code = "method_not_allowed"

    def __init__(self, message: str, *, allowed: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.allowed = tuple(allowed)


class RequestTooLarge(GatewayError):
    """The body, declared or counted, is over the limit."""

    code = "request_too_large"


class UnsupportedMediaType(GatewayError):
    """The body is not of the content type that this path takes."""

    code = "unsupported_media_type"


class RateLimited(GatewayError):
    """The caller is over a limit of the gateway's own."""

    code = "rate_limit_exceeded"


class ProviderError(GatewayError):
    """A provider's own error, passed on with what it said.

    `status` is the provider's; `kind` and `param` are its `type` and `param` where it gave them.
    """

    code = "upstream_error"

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str | None = None,
        kind: str | None = None,
        param: str | None = None,
        provider: str | None = None,
        model: str | None = None,
        retry_after: float | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message, code=code, provider=provider, model=model, retry_after=retry_after)
        self.status = status
        self.kind = kind
        self.param = param
        self.request_id = request_id


class UnusableAnswer(GatewayError):
    """A provider answered with something that holds no usable answer; the offending body is logged, not shown."""

    code = "invalid_upstream_response"


class CredentialsRefused(UnusableAnswer):
    """A provider refused the gateway's credentials: ours to mend, not the caller's."""

    code = "upstream_credentials_refused"


class Unavailable(GatewayError):
    """The executor or a provider cannot be reached."""

    code = "upstream_unreachable"


class TimedOut(GatewayError):
    """The executor or a provider took longer than allowed."""

    code = "upstream_timeout"
