"""One execution, watched from its start to its end: streams drained and capped, time kept, the end observed."""

from __future__ import annotations

import json
import mmap
import os
import select
import time
from contextlib import suppress

from executor.runtime import counters, signals
from executor.runtime.processes import Pipes, kill_all, kill_others, reap
from executor.runtime.results import MAX_DISPLAY_BYTES, MAX_DISPLAYS
from executor.runtime.verdicts import Seen
from executor.runtime.wire import Closed, Decoder, Wire

TYPE_CHECKING = False  # for types only: see `executor.runtime`
if TYPE_CHECKING:
    from collections.abc import Callable

    Emit = Callable[[bytes, bytes], None]

STOPS = ("timeout", "cancelled")
LOADED = b"L"
_READ = 64 * 1024
_FEED = 64 * 1024
# A stream that trickles is read at most this often, so that a program that prints a lot does not become as many frames.
_PAUSE_SECONDS = 0.004
_TRICKLE = 16 * 1024
_DRAIN_SECONDS = 0.5
_MAX_END = 16 * 1024 * 1024
_MAX_HANDED = 64 * 1024 * 1024
_BALLAST = 1024 * 1024


class Caps:
    """How much may still be sent of each stream, and be written to both together."""

    def __init__(self, stdout: int, stderr: int, written: int) -> None:
        self.stdout = stdout
        self.stderr = stderr
        self.written = written


class Box:
    """What outlives one execution: the wire, the stop that was asked for, and which processes have ended."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.stop: str | None = None
        self.ended: dict[int, int] = {}
        self.ballast: mmap.mmap | None = None
        self.counts = counters.read_counts()
        self.displays = MAX_DISPLAYS
        self.display_bytes = MAX_DISPLAY_BYTES
        self.waker, wakes = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signals.signal(signals.SIGCHLD, _ignore)
        signals.set_wakeup_fd(wakes, warn_on_full_buffer=False)

    def take_ballast(self) -> None:
        """Hold memory that is given back once the user's processes are dead.

        After a run that filled the memory of the box, this is what there is to collect the rest with.
        """
        self.ballast = mmap.mmap(-1, _BALLAST, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE)

    def notice_ends(self) -> None:
        """Reap whoever has ended."""
        with suppress(BlockingIOError):
            os.read(self.waker, 4096)
        self.ended |= reap()

    def forget_ends(self, spared: int | None) -> None:
        """Forget all who have ended but `spared`: their numbers are given to others after a while."""
        self.ended = {process: status for process, status in self.ended.items() if process == spared}

    def listen(self) -> None:
        """Read what the executor says; `Closed` if it has gone."""
        self.hear(self.wire.receive())

    def hear(self, frames: list[tuple[bytes, bytes]]) -> None:
        """Take what the executor said: only to stop means anything now."""
        for kind, payload in frames:
            if kind == b"S":
                reason = json.loads(payload).get("reason")
                self.stop = reason if reason in STOPS else "cancelled"

    def end_processes(self, spared: int | None) -> None:
        """End the user's processes, all of them or all but one."""
        self.notice_ends()
        if spared is None or spared in self.ended:
            self.ended |= kill_all()
            self.ballast = None
        else:
            self.ended |= kill_others(spared)


def _ignore(_number: int, _frame: object) -> None:
    """Only wake up."""


class Watch:
    """The streams of one execution until they are drained. Its time counts from when this is made."""

    def __init__(self, box: Box, pipes: Pipes, feed: bytes, caps: Caps, emit: Emit | None = None) -> None:
        self.box = box
        self.emit = emit or box.wire.send
        self.pipes = pipes
        self.feed = memoryview(feed)
        self.caps = caps
        self.seen = Seen()
        self.loaded = False
        self.note = b""
        self.poll = select.poll()
        self.handed = Decoder(_MAX_END)
        self.handed_bytes = 0
        self.paused: dict[int, float] = {}
        self.open = {pipes.stdout, pipes.stderr, pipes.result}
        self.cpu_before = counters.read_cpu_seconds()
        self.began = time.monotonic()

    def follow(self, process: int, deadline: float) -> None:
        """Watch until the process ends, must be ended (`seen.stopped` tells why), or says that it is loaded."""
        box, poll = self.box, self.poll
        poll.register(box.wire.incoming, select.POLLIN)
        poll.register(box.waker, select.POLLIN)
        for descriptor in self.open:
            poll.register(descriptor, select.POLLIN)
        if not self.feed:
            self.pipes.close_stdin()
        elif self.pipes.stdin is not None:
            poll.register(self.pipes.stdin, select.POLLOUT)
        box.notice_ends()
        while process not in box.ended and not self.loaded:
            now = time.monotonic()
            if box.stop is not None or self.caps.written < 0 or now >= deadline:
                self.seen.stopped = box.stop or ("output_limit" if self.caps.written < 0 else "timeout")
                return
            self._resume(now)
            if box.wire.backlog:
                poll.register(box.wire.outgoing, select.POLLOUT)
            wait = min([deadline, *self.paused.values()]) - now
            for descriptor, _ in poll.poll(max(0.0, wait) * 1000 + 0.5):
                self._handle(descriptor, now)

    def _resume(self, now: float) -> None:
        for descriptor in [descriptor for descriptor, until in self.paused.items() if until <= now]:
            del self.paused[descriptor]
            self.poll.register(descriptor, select.POLLIN)

    def _handle(self, descriptor: int, now: float) -> None:
        box = self.box
        if descriptor == box.waker:
            box.notice_ends()
        elif descriptor == box.wire.incoming:
            box.listen()
        elif descriptor == box.wire.outgoing:
            box.wire.pump()
            if not box.wire.backlog:
                self.poll.unregister(descriptor)
        elif descriptor == self.pipes.stdin:
            self._feed()
        else:
            taken = self._take(descriptor)
            if taken == 0:
                self.poll.unregister(descriptor)
            elif taken is not None and taken < _TRICKLE:
                self.poll.unregister(descriptor)
                self.paused[descriptor] = now + _PAUSE_SECONDS

    def _feed(self) -> None:
        assert self.pipes.stdin is not None
        try:
            self.feed = self.feed[os.write(self.pipes.stdin, self.feed[:_FEED]) :]
        except BlockingIOError:
            return
        except OSError:
            self.feed = self.feed[:0]
        if not self.feed:
            self.poll.unregister(self.pipes.stdin)
            self.pipes.close_stdin()

    def _take(self, descriptor: int) -> int | None:
        """Read a stream once and pass it on; gives how much, 0 at its end, None if nothing is there."""
        try:
            data = os.read(descriptor, _READ)
        except BlockingIOError:
            return None
        if not data:
            self.open.discard(descriptor)
        elif descriptor == self.pipes.result:
            self._take_handed(data)
        else:
            self._pass_on(descriptor, data)
        return len(data)

    def _pass_on(self, descriptor: int, data: bytes) -> None:
        caps, seen = self.caps, self.seen
        caps.written -= len(data)
        if descriptor == self.pipes.stdout:
            kept = data[: caps.stdout]
            caps.stdout -= len(kept)
            seen.stdout_dropped += len(data) - len(kept)
            kind = b"O"
        else:
            kept = data[: caps.stderr]
            caps.stderr -= len(kept)
            seen.stderr_dropped += len(data) - len(kept)
            kind = b"E"
        if kept:
            self.emit(kind, kept)

    def _take_handed(self, data: bytes) -> None:
        self.handed_bytes += len(data)
        if self.handed_bytes > _MAX_HANDED:
            self.seen.end = None
            return
        try:
            frames = self.handed.feed(data)
        except Closed:
            self.handed_bytes = _MAX_HANDED
            return
        for kind, payload in frames:
            if kind == b"V":
                self.seen.end = payload
            elif kind == b"D":
                self._take_display(payload)
            elif kind == LOADED:
                self.loaded, self.note = True, payload

    def _take_display(self, payload: bytes) -> None:
        box = self.box
        try:
            found = json.loads(payload)
            mime, data = found["mime"], found["data"]
        except (ValueError, RecursionError, KeyError, TypeError):
            return
        if not isinstance(mime, str) or not isinstance(data, str) or len(mime) > 200:
            return
        if box.displays < 1 or len(data) > box.display_bytes:
            self.seen.displays_dropped += 1
            return
        box.displays -= 1
        box.display_bytes -= len(data)
        box.wire.send(b"D", {"mime": mime, "data": data})

    def drain(self) -> None:
        """Read what is in the pipes. Bounded in time; waits for their ends only if all who could write are dead."""
        deadline = time.monotonic() + _DRAIN_SECONDS
        while self.open and time.monotonic() < deadline:
            for descriptor in tuple(self.open):
                if self._take(descriptor) is None:
                    self.open.discard(descriptor)


def watch(watched: Watch, process: int, seconds: float, spared: int | None = None) -> Seen:
    """Follow an execution since `watched` was made, end what is left of it, and give what was seen.

    `spared` is a process that may live on: the loaded program of a batch. So may `process` itself when it is loaded.
    """
    box, seen = watched.box, watched.seen
    watched.follow(process, watched.began + seconds)
    seen.wall_seconds = time.monotonic() - watched.began
    box.end_processes(process if watched.loaded and seen.stopped is None else spared)
    watched.drain()
    watched.pipes.close()
    if seen.stopped is None and watched.caps.written < 0:
        seen.stopped = "output_limit"
    seen.status = box.ended.pop(process, None)
    box.forget_ends(spared)
    before, after = box.counts, counters.read_counts()
    box.counts = after
    seen.cpu_seconds = counters.read_cpu_seconds() - watched.cpu_before
    seen.memory_peak = counters.read_memory_peak()
    seen.oom_kills = after.oom_kills - before.oom_kills
    if after.pids_refused is not None and before.pids_refused is not None:
        seen.processes_refused = after.pids_refused > before.pids_refused
    return seen
