"""What a passage has to offer."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol

from gateway.dialects.envelope import Envelope
from gateway.dialects.errors import Failure
from gateway.dialects.passing.frames import FrameCutter
from gateway.errors import GatewayError, UnusableAnswer
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


class FrameStream(ABC):
    """The `PassingStream` of every format: frame by frame, and nothing after the end mark.

    What came before an error is always given first: an error met after frames of the same bytes is raised by the
    next call.
    """

    __slots__ = ("_cutter", "_failure", "seen")

    def __init__(self, cutter: FrameCutter) -> None:
        self.seen = Seen()
        self._cutter = cutter
        self._failure: GatewayError | None = None

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes, give the frames to pass on."""
        if self._failure is not None:
            raise self._failure
        passed: list[bytes] = []
        try:
            for frame in self._cutter.cut(data):
                if self.seen.ended:
                    break
                passed += self._pass(frame)
        except GatewayError as error:
            if not passed:
                raise
            self._failure = error
        return passed

    def finish(self) -> list[bytes]:
        """Check that the stream has ended, and put the end mark where it is missing."""
        passed = self.feed(self._cutter.complete())
        if self._failure is not None:
            raise self._failure
        if self.seen.ended:
            return passed
        if self.seen.finish_reason is None:
            raise UnusableAnswer("The provider's stream ended early.")
        return [*passed, *self._end()]

    @abstractmethod
    def _pass(self, frame: bytes) -> Sequence[bytes]:
        """Look at a frame, give what of it is to go on."""

    @abstractmethod
    def _end(self) -> Sequence[bytes]:
        """Give the end mark for a stream that has finished without one."""


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

    def stream(self, envelope: Envelope, model: str) -> PassingStream:
        """Give a fresh stream; `model` is the name to show where the provider gives none."""
        ...
