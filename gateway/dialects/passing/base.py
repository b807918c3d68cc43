"""What a passage has to offer."""

from collections.abc import Sequence
from typing import Protocol

from gateway.dialects.envelope import Envelope
from gateway.dialects.errors import Failure
from gateway.messages.chat import Usage


class Seen:
    """What has been seen of an answer in passing.

    `begun` is whether something of the answer itself has come, `ended` whether the end mark of its stream has.
    """

    __slots__ = ("begun", "ended", "finish_reason", "usage")

    def __init__(self) -> None:
        self.begun = False
        self.ended = False
        self.finish_reason: str | None = None
        self.usage: Usage | None = None


class PassingStream(Protocol):
    """One stream on its way through; made afresh for each."""

    seen: Seen

    def feed(self, data: bytes) -> Sequence[bytes]:
        """Take the next bytes, give the frames to pass on; `ProviderError` for an error in the stream."""
        ...

    def finish(self) -> Sequence[bytes]:
        """Say that no more bytes come; `UnusableAnswer` if the stream was cut short."""
        ...


class Passage(Protocol):
    """One dialect that is also a provider's wire format. `wire` is what vendors call it in their `native_paths`."""

    wire: str

    def read(self, body: bytes) -> Envelope:
        """Look at the outside of a request; `InvalidRequest` naming what is wrong with it."""
        ...

    def write_request(self, envelope: Envelope, model: str) -> bytes:
        """Give the request for the provider, under its own name of the model."""
        ...

    def look(self, body: bytes) -> Seen | None:
        """Look at a whole answer; None if it is not well formed and has to be read and written anew."""
        ...

    def first_frame(self, begun: bytes) -> bytes | None:
        """Give the first frame that says something, None if it is not complete yet."""
        ...

    def begins_well(self, frame: bytes) -> bool:
        """Tell whether the first frame of a stream is of the expected form."""
        ...

    def fail(self, failure: Failure) -> Sequence[bytes]:
        """Write an error that ends a stream."""
        ...

    def stream(self, envelope: Envelope) -> PassingStream:
        """Give a fresh stream."""
        ...
