"""Several server processes on one port: started, watched, replaced when they die, stopped together.

Each worker has a listening socket of its own on the same port (SO_REUSEPORT), so that the system spreads connections
evenly. The parent keeps them all open: connections that wait at a worker which has died are served by the one that
takes its place. Workers are forked, before the parent has threads or an event loop. They hold the reading end of a
pipe of the parent's: should that one be killed, the pipe ends, and they with it, instead of keeping the port.
"""

import multiprocessing
import multiprocessing.connection
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.context import ForkProcess
from types import FrameType

STOP_SECONDS = 35.0  # more than a worker gives its running requests
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_QUICK_SECONDS = 1.0
_MAXIMUM_PAUSE = 10.0

Serve = Callable[[socket.socket], None]


def open_sockets(host: str, port: int, count: int) -> list[socket.socket]:
    """Open `count` sockets on one address, ready to listen on; `OSError` if the port is taken or the host is nobody's.

    The first of them is opened in a way that fails when anybody else listens there.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
        probe.listen(1)
        if port == 0:
            address = probe.getsockname()
    sockets = []
    for _ in range(count):
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if count > 1:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(address)
        listener.setblocking(False)
        sockets.append(listener)
    return sockets


class Workers:
    """The processes of one run. `run` returns the exit status when all of them have ended."""

    def __init__(self, serve: Serve, sockets: Sequence[socket.socket], say: Callable[[str], None]) -> None:
        self._serve = serve
        self._sockets = list(sockets)
        self._say = say
        self._processes: dict[int, ForkProcess] = {}
        self._started: dict[int, float] = {}
        self._pause = 0.0
        self._signals = 0
        self._parent_lives = os.pipe()

    def run(self) -> int:
        """Keep one worker on each socket until SIGTERM or SIGINT; a second signal ends them at once."""
        for number in _SIGNALS:
            signal.signal(number, self._take_signal)
        for place in range(len(self._sockets)):
            self._start(place)
        while not self._signals:
            self._wait(1.0)
            self._replace_dead()
        return self._stop()

    def _take_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._signals += 1
        passed_on = signal.SIGTERM if self._signals == 1 else signal.SIGKILL
        for process in self._processes.values():
            if process.pid is not None and process.exitcode is None:
                with suppress(ProcessLookupError):
                    os.kill(process.pid, passed_on)

    def _start(self, place: int) -> None:
        process = multiprocessing.get_context("fork").Process(target=self._work, args=(place,), name=f"worker-{place}")
        # No signal may reach the new process while it still has the parent's handlers.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            process.start()
        finally:
            self._processes[place] = process
            self._started[place] = time.monotonic()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)

    def _work(self, place: int) -> None:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        os.setpgid(0, 0)  # Ctrl-C goes to the parent alone, which passes it on once
        for other, listener in enumerate(self._sockets):
            if other != place:
                listener.close()
        reading, writing = self._parent_lives
        os.close(writing)
        threading.Thread(target=_end_with_parent, args=(reading,), daemon=True).start()
        self._serve(self._sockets[place])

    def _wait(self, seconds: float) -> None:
        multiprocessing.connection.wait([process.sentinel for process in self._processes.values()], seconds)

    def _replace_dead(self) -> None:
        for place, process in list(self._processes.items()):
            if process.is_alive() or self._signals:
                continue
            quick = time.monotonic() - self._started[place] < _QUICK_SECONDS
            self._pause = min(_MAXIMUM_PAUSE, max(0.1, self._pause * 2)) if quick else 0.0
            self._say(f"worker {place} ended with status {process.exitcode}, another takes its place")
            time.sleep(self._pause)
            if not self._signals:
                self._start(place)

    def _stop(self) -> int:
        for listener in self._sockets:
            listener.close()
        deadline = time.monotonic() + STOP_SECONDS
        for process in self._processes.values():
            process.join(max(0.0, deadline - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join()
        # One that was still starting dies of our signal; it had nothing to finish.
        return 0 if all(process.exitcode in {0, -signal.SIGTERM} for process in self._processes.values()) else 1


def _end_with_parent(reading: int) -> None:
    """Wait until the other end of the parent's pipe is closed, which nobody but its death does; then end in order."""
    os.read(reading, 1)
    os.kill(os.getpid(), signal.SIGTERM)
