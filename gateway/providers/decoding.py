"""From the bytes of a stream to events: framing below, a vendor's grammar above, and what holds for all of them."""

from collections.abc import Iterable, Sequence
from typing import Generic, Protocol, TypeVar

from gateway.errors import GatewayError
from gateway.messages.chat import StreamEvent

Frame = TypeVar("Frame")
FrameIn_contra = TypeVar("FrameIn_contra", contravariant=True)
FrameOut_co = TypeVar("FrameOut_co", covariant=True)


class Framing(Protocol[FrameOut_co]):
    """Cuts bytes into frames."""

    def feed(self, data: bytes) -> Sequence[FrameOut_co]:
        """Take the next bytes, give the frames that are complete with them."""
        ...

    def flush(self) -> Sequence[FrameOut_co]:
        """Give the frame that lacks its end, if there is one."""
        ...


class Grammar(Protocol[FrameIn_contra]):
    """Knows what one vendor's frames mean."""

    @property
    def ended(self) -> bool:
        """Whether the end mark of the wire format has been read."""
        ...

    def read(self, frame: FrameIn_contra) -> Iterable[StreamEvent]:
        """Give the events of one frame; none when it is malformed. An error event raises."""
        ...

    def end(self) -> Iterable[StreamEvent]:
        """Close what is open; raises `UnusableAnswer` when the stream was cut short."""
        ...


class StreamReader(Generic[Frame]):
    """The `StreamDecoder` of every vendor.

    What came before an error is always given first: an error met after events of the same bytes is raised by the
    next call, so that how the bytes were cut makes no difference.
    """

    def __init__(self, framing: Framing[Frame], grammar: Grammar[Frame]) -> None:
        self._framing = framing
        self._grammar = grammar
        self._failure: GatewayError | None = None

    @property
    def ended(self) -> bool:
        """Whether the end mark has come, after which nothing is read any more."""
        return self._grammar.ended

    def feed(self, data: bytes) -> Sequence[StreamEvent]:
        """Take the next bytes, give the events that are complete with them; none after the end mark."""
        if self._failure is not None:
            raise self._failure
        events: list[StreamEvent] = []
        try:
            for frame in () if self.ended else self._framing.feed(data):
                if self.ended:
                    break
                events.extend(self._grammar.read(frame))
        except GatewayError as error:
            if not events:
                raise
            self._failure = error
        return events

    def finish(self) -> Sequence[StreamEvent]:
        """Say that no more bytes come; raises `UnusableAnswer` if the stream was cut short."""
        if self._failure is not None:
            raise self._failure
        events: list[StreamEvent] = []
        for frame in () if self.ended else self._framing.flush():
            events.extend(self._grammar.read(frame))
        events.extend(self._grammar.end())
        return events
