"""The contract of a sandbox and of the engine that makes them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from executor.runs import Event, Policy, Run, StopReason


class Sandbox(Protocol):
    """One box, one run. It is ready to take its job when it is handed out."""

    name: str
    policy: Policy
    python: str
    created: float  # the event loop's clock

    @property
    def alive(self) -> bool:
        """Whether its stream is open, and nothing has come that was not asked for."""

    def on_death(self, call: Callable[[], None] | None) -> None:
        """Have `call` called once when the box dies; None forgets it."""

    async def resize(self, policy: Policy) -> None:
        """Give a box that has no job yet the memory and CPUs of `policy`. Raises `EngineFailed`."""

    def give(self, run: Run) -> None:
        """Hand the job over. Once in a box's life."""

    async def next_event(self) -> Event:
        """Wait for what it tells next; after the last comes `Ended`, always."""

    def stop(self, reason: StopReason) -> None:
        """Ask the supervisor to end the user's processes now and to report as usual."""

    async def kill(self) -> None:
        """End the box from outside; what it wrote before can still be read. Bounded in time, never raises."""

    def hang_up(self) -> None:
        """Cut the stream: nothing more is waited for. Only after `kill` has had its time."""

    async def was_out_of_memory(self) -> bool:
        """Whether the engine saw the box's memory limit end it. Bounded in time, never raises."""

    async def destroy(self) -> None:
        """Kill and remove it. Idempotent, bounded in time, never raises: what fails is left to the sweep."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineReport:
    """What the engine says of itself, and which of the wanted images it has (reference -> there).

    `owner` is the id that our boxes bear.
    """

    owner: str = ""
    version: str = ""
    runtime: str = ""
    runtimes: tuple[str, ...] = ()
    cgroup: str = ""
    images: Mapping[str, bool] = field(default_factory=dict)


class Engine(Protocol):
    """Makes boxes, and cleans up after executors that cannot do it any more."""

    async def create(self, policy: Policy) -> Sandbox:
        """Make a box that is ready to take a job. Raises `EngineFailed`, `ImageMissing` or `SandboxLost`."""

    async def sweep(self) -> int:
        """Remove what dead executors left, found by label; gives how many."""

    async def probe(self, references: Sequence[str]) -> EngineReport:
        """Ask the engine what it is, and which images of `references` it has. Raises `EngineFailed`."""

    async def close(self) -> None:
        """Remove every box that is still there, and let go of the engine."""
