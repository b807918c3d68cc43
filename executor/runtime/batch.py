"""Many inputs, one program: it is loaded once, and a fresh copy of it is forked for each input.

The loaded program is a process of the user's, so nothing that it says is believed: each copy is born, or orphaned at
birth, as a child of process 1, which sees for itself how it ends. A loaded program that dies is loaded anew.
"""

from __future__ import annotations

import gc
import os
import socket
import sys
from contextlib import suppress

from executor.runtime import program as programs
from executor.runtime.arguments import NO_INPUT
from executor.runtime.execution import caps_of, conclude, environment_of, feed_of, limits_of
from executor.runtime.forking import fork_sibling
from executor.runtime.processes import (
    CONTROL,
    Ends,
    Mark,
    Pipes,
    confine,
    lead_session,
    open_streams,
    set_dumpable,
    set_environment,
    start_child,
    take_streams,
)
from executor.runtime.randomness import Seeding
from executor.runtime.session import Session, enter, hand_over, open_stdin, own_modules, refuse_stdin, set_cpu_count
from executor.runtime.verdicts import Seen
from executor.runtime.watch import LOADED, Box, Caps, Watch, watch

TYPE_CHECKING = False  # for types only: see `executor.runtime`
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, NoReturn

# What all inputs together may have kept of their output, so that the reader's memory stays bounded.
MAX_KEPT = 32 * 1024 * 1024
CALLED = b"called"
_ANSWER_SECONDS = 10.0
_fork, _waitpid, _exit = os.fork, os.waitpid, os._exit


def run_batch(box: Box, job: Mapping[str, Any]) -> None:
    """Run the code for each of `inputs`, and send a verdict for each, in order."""
    batch = Batch(box, job)
    last = len(job["inputs"]) - 1
    for index in range(last + 1):
        seen = batch.run(index)
        if index < last:
            batch.order(index + 1)  # the next copy is forked while this one's verdict is written
        conclude(box, job, seen, index, last=index == last)
    box.end_processes(None)


class Batch:
    """The loaded program, seen from the supervisor."""

    def __init__(self, box: Box, job: Mapping[str, Any]) -> None:
        self.box = box
        self.job = job
        self.kept = MAX_KEPT
        self.process: int | None = None
        self.control: socket.socket | None = None
        self.failed: Seen | None = None
        self.called = False
        self.written: list[tuple[bytes, bytes]] = []
        self.ordered: tuple[Pipes, bytes] | None = None

    def run(self, index: int) -> Seen:
        """Run one input; what the program wrote while it was loaded is told again for each."""
        started = self._start(index)
        self.box.wire.send(b"B", {"index": index})
        for kind, data in self.written:
            self.box.wire.send(kind, data[: max(0, self.kept)])
            self.kept -= len(data)
        if isinstance(started, Seen):
            return started
        process, pipes, feed = started
        caps = self._caps()
        before = caps.stdout + caps.stderr
        watched = Watch(self.box, pipes, feed, caps)
        seen = watch(watched, process, self.job["timeout_seconds"], spared=self.process)
        self.kept -= before - caps.stdout - caps.stderr
        return seen

    def order(self, index: int) -> None:
        """Ask the loaded program, if there is one, for the copy that runs an input."""
        if self.process is None or self.box.stop is not None:
            return
        assert self.control is not None
        feed = feed_of(self.job, NO_INPUT if self.called else self.job["inputs"][index])
        pipes, ends = open_streams(stdin=bool(feed))
        self.ordered = pipes, feed
        streams = [end for end in (ends.stdout, ends.stderr, ends.result, ends.stdin) if end is not None]
        # One that is dead does not answer either.
        with suppress(OSError):
            socket.send_fds(self.control, [b"%d" % index], streams)
        ends.close()

    def _start(self, index: int) -> tuple[int, Pipes, bytes] | Seen:
        """Have a copy of the program forked; if it has none to fork, what was seen stands for this input."""
        for _ in range(2):
            if self.failed is None and self.box.stop is None and self.process is None:
                self.load()
            if self.box.stop is not None:
                return Seen(stopped=self.box.stop)
            if self.failed is not None:
                return self.failed
            if self.ordered is None:
                self.order(index)
            assert self.ordered is not None
            (pipes, feed), self.ordered = self.ordered, None
            process = self._hear_of_copy()
            if process:
                return process, pipes, feed
            pipes.close()
            if process == 0:
                return Seen(stopped="process_limit")
            # An input before this one has killed the program: it is loaded anew.
            self.box.end_processes(None)
            self.process = None
        return Seen(stopped="process_limit")

    def _caps(self) -> Caps:
        caps = caps_of(self.job)
        for kind, data in self.written:
            caps.written -= len(data)
            if kind == b"O":
                caps.stdout -= len(data)
            else:
                caps.stderr -= len(data)
        return Caps(max(0, min(caps.stdout, self.kept)), max(0, min(caps.stderr, self.kept)), caps.written)

    def load(self) -> None:
        """Start the program and wait until it is loaded; if it does not get there, `failed` tells of each input."""
        if self.control is not None:
            self.control.close()
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control.settimeout(_ANSWER_SECONDS)
        self.written = []
        feed = (self.job.get("stdin") or "").encode("utf-8", "replace")
        pipes, ends = open_streams()
        job, ours, begun = self.job, own_modules(), Mark()

        def body() -> NoReturn:
            enter(ours)
            confine(limits_of(job))
            set_environment(environment_of(job["cpus"]))
            set_cpu_count(job["cpus"])
            Loaded(job, begun).serve()

        self.process = start_child(body, ends, theirs.detach(), begun)
        self.box.wire.send(b"B", {})
        loading = Watch(self.box, pipes, feed, caps_of(job), emit=lambda kind, data: self.written.append((kind, data)))
        seen = watch(loading, self.process, job["timeout_seconds"])
        seen.begun = begun.take()
        if not loading.loaded or seen.stopped is not None:
            self.failed = seen
        self.called = loading.note == CALLED

    def _hear_of_copy(self) -> int | None:
        """Give the process id of the copy that was ordered, 0 if there can be no more, None without an answer."""
        assert self.control is not None
        try:
            return int(self.control.recv(32))
        except (OSError, ValueError):
            return None


class Loaded(Session):
    """The loaded program, seen from its own process."""

    def serve(self) -> NoReturn:
        """Load the program, then fork a copy for each order that comes."""
        # A copy collects its garbage at its end; what is ours is not to be looked at, and so copied, for that.
        gc.collect()
        gc.freeze()
        seeding = Seeding()
        ended = self.attempt(self._load)
        if ended[0]["status"] != "ok" or self.left:
            self.finish(ended)
        seeding.settle()
        refuse_stdin()
        sys.stdin = open_stdin()
        hand_over(LOADED, CALLED if self._calls else b"")
        set_dumpable(False)
        control = socket.socket(fileno=CONTROL)
        while True:
            message, descriptors, _, _ = socket.recv_fds(control, 32, 4)
            if not message:
                _exit(0)
            stdout, stderr, result, *stdin = descriptors
            ends = Ends(stdin[0] if stdin else None, stdout, stderr, result)
            seeding.prepare_copy()
            if _fork_copy(control):
                control.close()
                seeding.enter_copy()
                self._run_copy(int(message), ends)
            ends.close()

    def _load(self) -> None:
        self.compile()
        if self._calls:
            programs.load(self.code, self.namespace)

    @property
    def _calls(self) -> bool:
        return self.is_called(None)

    def _run_copy(self, index: int, ends: Ends) -> NoReturn:
        take_streams(ends)
        ends.close()
        lead_session()
        self.speak()
        value = self.job["inputs"][index]
        if self._calls:
            self.finish(self.attempt(lambda: self.call(value)))
        self.finish(self.attempt(lambda: self.after_script(value, programs.load(self.code, self.namespace))))


def _fork_copy(control: socket.socket) -> bool:
    """Fork a copy that nobody of the user's is the parent of, and tell its process id; true in the copy."""
    copy = fork_sibling()
    if copy is None:
        return _fork_orphan(control)
    if copy:
        control.send(b"%d" % copy)
    return not copy


def _fork_orphan(control: socket.socket) -> bool:
    """Do the same by a process in the middle that ends at once, whose own is the copy."""
    try:
        middle = _fork()
    except OSError:
        control.send(b"0")
        return False
    if middle:
        with suppress(ChildProcessError):
            _waitpid(middle, 0)
        return False
    try:
        copy = _fork()
    except OSError:
        control.send(b"0")
        _exit(1)
    if copy:
        control.send(b"%d" % copy)
        _exit(0)
    return True
