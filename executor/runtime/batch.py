"""Many inputs, one program: it is loaded once, and a fresh copy of it is forked for each input.

The loaded program is a process of the user's, so nothing that it says is believed: each copy is orphaned at birth,
whereby it becomes a child of process 1, which sees for itself how it ends. A loaded program that dies is loaded anew.
"""

import os
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NoReturn

from executor.runtime import program as programs
from executor.runtime.execution import caps_of, conclude, environment_of, feed_of, limits_of
from executor.runtime.processes import (
    CONTROL,
    Ends,
    Pipes,
    confine,
    lead_session,
    open_streams,
    set_dumpable,
    start_child,
    take_streams,
)
from executor.runtime.session import Session, hand_over, open_stdin, prepare, refuse_stdin, set_cpu_count
from executor.runtime.verdicts import Seen
from executor.runtime.watch import LOADED, Box, Caps, Watch, watch

# What all inputs together may have kept of their output, so that the reader's memory stays bounded.
MAX_KEPT = 32 * 1024 * 1024
_ANSWER_SECONDS = 10.0
_fork, _waitpid, _exit = os.fork, os.waitpid, os._exit


def run_batch(box: Box, job: Mapping[str, Any]) -> None:
    """Run the code for each of `inputs`, and send a verdict for each, in order."""
    batch = Batch(box, job)
    inputs = job["inputs"]
    for index, value in enumerate(inputs):
        seen = batch.run(index, value)
        conclude(box, job, seen, index, last=index == len(inputs) - 1)
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
        self.written: list[tuple[bytes, bytes]] = []

    def run(self, index: int, value: Any) -> Seen:
        """Run one input; what the program wrote while it was loaded is told again for each."""
        started = self._start(index)
        self.box.wire.send(b"B", {"index": index})
        for kind, data in self.written:
            self.box.wire.send(kind, data[: max(0, self.kept)])
            self.kept -= len(data)
        if isinstance(started, Seen):
            return started
        process, pipes = started
        caps = self._caps()
        before = caps.stdout + caps.stderr
        watched = Watch(self.box, pipes, feed_of(self.job, value), caps)
        seen = watch(watched, process, self.job["timeout_seconds"], spared=self.process)
        self.kept -= before - caps.stdout - caps.stderr
        return seen

    def _start(self, index: int) -> tuple[int, Pipes] | Seen:
        """Have a copy of the program forked; if it has none to fork, what was seen stands for this input."""
        for _ in range(2):
            if self.failed is None and self.box.stop is None and self.process is None:
                self.load()
            if self.box.stop is not None:
                return Seen(stopped=self.box.stop)
            if self.failed is not None:
                return self.failed
            pipes, ends = open_streams()
            process = self._fork(index, ends)
            ends.close()
            if process:
                return process, pipes
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
        job = self.job

        def body() -> NoReturn:
            prepare()
            confine(limits_of(job), environment_of(job))
            set_cpu_count(job["cpus"])
            Loaded(job).serve()

        self.process = start_child(body, ends, control=theirs.detach())
        self.box.wire.send(b"B", {})
        loading = Watch(self.box, pipes, feed, caps_of(job), emit=lambda kind, data: self.written.append((kind, data)))
        seen = watch(loading, self.process, job["timeout_seconds"])
        if not loading.loaded or seen.stopped is not None:
            self.failed = seen

    def _fork(self, index: int, ends: Ends) -> int | None:
        """Have the loaded program fork a copy with these streams; gives its process id, 0 if there can be no more.

        None if the program does not answer.
        """
        assert self.control is not None
        try:
            socket.send_fds(self.control, [b"%d" % index], [ends.stdin, ends.stdout, ends.stderr, ends.result])
            return int(self.control.recv(32))
        except (OSError, ValueError):
            return None


class Loaded(Session):
    """The loaded program, seen from its own process."""

    def serve(self) -> NoReturn:
        """Load the program, then fork a copy for each order that comes."""
        import random

        fresh = random.getstate()
        ended = self.attempt(self._load)
        if ended[0]["status"] != "ok" or self.left:
            self.finish(ended)
        # The random module starts anew in each fork; a program that has chosen its seed keeps it.
        state = random.getstate()
        hand_over(LOADED, b"")
        set_dumpable(False)
        control = socket.socket(fileno=CONTROL)
        while True:
            message, descriptors, _, _ = socket.recv_fds(control, 32, 4)
            if not message:
                _exit(0)
            ends = Ends(*descriptors)
            if _fork_copy(control):
                control.close()
                if state != fresh:
                    random.setstate(state)
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
        value = self.job["inputs"][index]
        if self._calls:
            if not self.job.get("stdin"):
                refuse_stdin()
            sys.stdin = open_stdin()
            self.finish(self.attempt(lambda: self.call(value)))
        sys.stdin = open_stdin()
        self.finish(self.attempt(lambda: programs.load(self.code, self.namespace)))


def _fork_copy(control: socket.socket) -> bool:
    """Fork a copy that nobody of the user's is the parent of, and tell its process id; true in the copy."""
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
