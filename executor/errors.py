"""What can go wrong in the executor, drawn as one tree.

User code that fails is an outcome, not an error: only refusals and our own failures stand here. The tree knows
nothing of HTTP: `executor.api.errors` holds the one table from these classes to statuses and titles. Messages are
written for the person at the other end; they hold no secret, no path and no container id.

    ExecutorError
    ├── InvalidRequest            the request itself is wrong
    │   └── InvalidJson
    ├── Unauthorized
    ├── NotFound, MethodNotAllowed, RequestTooLarge, UnsupportedMediaType, RequestTimedOut
    ├── QueueFull                 more runs wait than may
    └── Unavailable               nothing wrong with the request, it cannot be served now
        ├── QueueTimedOut, ShuttingDown
        └── SandboxUnavailable    no sandbox to run it in
            └── EngineFailed, ImageMissing, SandboxLost, ControlFailed
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Detail:
    """One complaint about one field; `field` is a path such as `files[0].path`."""

    field: str
    message: str


class ExecutorError(Exception):
    """Base of everything the executor refuses or fails at.

    `code` is the stable snake_case name that clients branch on; `retry_after` is in seconds.
    """

    code: ClassVar[str] = "internal_error"

    def __init__(self, message: str, *, details: Sequence[Detail] = (), retry_after: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details = tuple(details)
        self.retry_after = retry_after


class InvalidRequest(ExecutorError):
    """A field is missing, unknown, of the wrong type or out of range."""

    code = "invalid_request"

    @classmethod
    def naming(cls, details: Sequence[Detail]) -> "InvalidRequest":
        """Build the error whose message names the first of `details` and which lists them all."""
        first = details[0]
        more = f" (and {len(details) - 1} more, see details)" if len(details) > 1 else ""
        return cls(f"{first.field}: {first.message}{more}", details=details)


class InvalidJson(InvalidRequest):
    """The body is not JSON."""

    code = "invalid_json"


class Unauthorized(ExecutorError):
    """No service token, or one that is not good."""

    code = "unauthorized"


class NotFound(ExecutorError):
    """No such path or run."""

    code = "not_found"


class MethodNotAllowed(ExecutorError):
    """The path exists, but not with this method; `allowed` lists those it has."""

    code = "method_not_allowed"

    def __init__(self, message: str, *, allowed: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.allowed = tuple(allowed)


class RequestTooLarge(ExecutorError):
    """The body, declared or counted, is over the limit."""

    code = "request_too_large"


class UnsupportedMediaType(ExecutorError):
    """The body is not declared as JSON."""

    code = "unsupported_media_type"


class RequestTimedOut(ExecutorError):
    """The body did not arrive in time."""

    code = "request_timeout"


class QueueFull(ExecutorError):
    """More runs are waiting than the queue may hold."""

    code = "queue_full"


class Unavailable(ExecutorError):
    """The request is good, but cannot be served now."""

    code = "unavailable"


class QueueTimedOut(Unavailable):
    """The run waited its longest for a place and got none."""

    code = "queue_timeout"


class ShuttingDown(Unavailable):
    """The executor is stopping and takes no new runs."""

    code = "shutting_down"


class SandboxUnavailable(Unavailable):
    """There is no sandbox to run the code in."""

    code = "sandbox_unavailable"


class EngineFailed(SandboxUnavailable):
    """The container engine cannot be reached, did not answer in time, or refused."""


class ImageMissing(SandboxUnavailable):
    """The sandbox's image is not on the engine."""


class SandboxLost(SandboxUnavailable):
    """A sandbox ended before the code began: another one may be tried."""


class ControlFailed(SandboxUnavailable):
    """A confinement that is a must failed its self-test and is not waived."""
