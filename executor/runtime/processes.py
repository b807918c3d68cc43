"""Children of the supervisor: how one is started and confined, and how all of them are ended."""

from __future__ import annotations

import _ctypes
import os
import resource
import time
from contextlib import suppress

from executor.runtime import counters, signals

TYPE_CHECKING = False  # for types only: see `executor.runtime`
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import NoReturn

WORKDIR = "/work"
RESULT = 3  # the descriptor of the result's own channel in the child
CONTROL = 4  # where our own code in the child takes the job, or orders; closed before the user's code runs
MARK = 5  # where it says that the user's code is about to run; closed then
_PR_SET_DUMPABLE = 4
_NICENESS = 5
_KILL_SECONDS = 5.0
_ALONE = 2  # the supervisor and the loaded program

# The C part of `ctypes` alone: the rest takes longer to import than forking a child does.
_write, _close = os.write, os.close
_libc = _ctypes.dlopen(None, 0)  # type: ignore[arg-type] # not in typeshed: the program itself


class Limits:
    """What a child's own limits are: how many open files, and how many bytes in one."""

    def __init__(self, open_files: int, file_bytes: int) -> None:
        self.open_files = open_files
        self.file_bytes = file_bytes


class Mark:
    """A sign that a child gives at most once, and cannot take back: in a pipe that it closes then."""

    def __init__(self) -> None:
        self._reader, self.writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def set(self) -> None:
        """Give the sign, in the child, which has no way to it from then on."""
        _write(MARK, b"x")
        _close(MARK)

    def take(self) -> bool:
        """Whether the child has given it. To be asked once."""
        try:
            return bool(os.read(self._reader, 1))
        except BlockingIOError:
            return False
        finally:
            os.close(self._reader)


class Pipes:
    """The supervisor's ends of a child's streams; `stdin` is None once all is fed."""

    def __init__(self, stdin: int | None, stdout: int, stderr: int, result: int) -> None:
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr
        self.result = result

    def close_stdin(self) -> None:
        """Let the child's stdin end here."""
        if self.stdin is not None:
            os.close(self.stdin)
            self.stdin = None

    def close(self) -> None:
        """Close what is open."""
        self.close_stdin()
        for descriptor in (self.stdout, self.stderr, self.result):
            os.close(descriptor)


class Ends:
    """The child's ends of its streams; without `stdin` it keeps the one it has."""

    def __init__(self, stdin: int | None, stdout: int, stderr: int, result: int) -> None:
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr
        self.result = result

    def close(self) -> None:
        """Close them, where the child has its own."""
        for descriptor in (self.stdin, self.stdout, self.stderr, self.result):
            if descriptor is not None:
                os.close(descriptor)


def set_dumpable(dumpable: bool) -> None:  # noqa: FBT001 the kernel's own flag
    """Say whether processes of the same user may look into this one: prctl(2), PR_SET_DUMPABLE."""
    if _call("prctl", _PR_SET_DUMPABLE, int(dumpable), 0, 0, 0) != 0:
        raise OSError("prctl(PR_SET_DUMPABLE) failed")


def trim_memory() -> None:
    """Give freed memory back to the kernel, where the C library can."""
    with suppress(OSError):
        _call("malloc_trim", 0)


def _call(name: str, *arguments: int) -> int:
    """Call a function of the C library that takes and gives integers; `OSError` if it has none of that name."""
    result: int = _ctypes.call_function(_ctypes.dlsym(_libc, name), arguments)
    return result


def open_streams(*, stdin: bool = True) -> tuple[Pipes, Ends]:
    """Make fresh pipes for one execution."""
    source, feed = os.pipe2(os.O_CLOEXEC) if stdin else (None, None)
    if feed is not None:
        os.set_blocking(feed, False)
    readers, writers = zip(*(os.pipe2(os.O_CLOEXEC) for _ in range(3)), strict=True)
    for reader in readers:
        os.set_blocking(reader, False)
    return Pipes(feed, *readers), Ends(source, *writers)


def start_child(body: Callable[[], NoReturn], ends: Ends, control: int, mark: Mark) -> int:
    """Fork a child that is to become the user's, and have it run `body`, which never returns. Gives its process id.

    It keeps its streams, the descriptor `control` as `CONTROL`, and what it needs to give the sign; every other one is
    closed.
    """
    child = os.fork()
    if child:
        ends.close()
        os.close(control)
        os.close(mark.writer)
        return child
    try:
        take_streams(ends)
        if control != CONTROL:
            os.dup2(control, CONTROL, inheritable=False)
        if mark.writer != MARK:
            os.dup2(mark.writer, MARK, inheritable=False)
        os.closerange(MARK + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        _leave_supervisor()
        body()
    finally:
        os._exit(70)


def take_streams(ends: Ends) -> None:
    """Put a child's ends where they belong: 0, 1, 2 and `RESULT`."""
    if ends.stdin is not None:
        os.dup2(ends.stdin, 0)
    os.dup2(ends.stdout, 1)
    os.dup2(ends.stderr, 2)
    if ends.result != RESULT:
        os.dup2(ends.result, RESULT, inheritable=False)


def lead_session() -> None:
    """Leave the session and group of whoever forked this process, which may have hidden itself."""
    os.setsid()
    set_dumpable(True)


def _go_first() -> None:
    """Be the first to be killed when memory is short, and all that comes from this process."""
    score = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
    os.write(score, b"1000")
    os.close(score)


def _leave_supervisor() -> None:
    signals.set_wakeup_fd(-1)
    signals.signal(signals.SIGCHLD, signals.SIG_DFL)
    signals.signal(signals.SIGINT, signals.default_int_handler)
    lead_session()
    _go_first()
    os.nice(_NICENESS)  # within its own box the supervisor goes first
    os.umask(0o022)
    os.chdir(WORKDIR)


def confine(limits: Limits) -> None:
    """Put this process, and all that come from it, under the job's limits."""
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_NOFILE, limits.open_files)
    _lower(resource.RLIMIT_FSIZE, limits.file_bytes)


def set_environment(environment: Mapping[str, str]) -> None:
    """Put this process, and all that come from it, into the user's environment."""
    os.environ.clear()
    os.environ.update(environment)


def _lower(limit: int, value: int) -> None:
    _, hard = resource.getrlimit(limit)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(limit, (value, value))


def reap() -> dict[int, int]:
    """Collect every child that has ended; gives process id -> wait status."""
    ended: dict[int, int] = {}
    while True:
        try:
            child, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if not child:
            return ended
        ended[child] = status


def kill_all() -> dict[int, int]:
    """End every process in the box but this one, and reap them. Bounded in time.

    Process 1 is not hit by its own kill(-1), and what its children leave behind becomes its own to reap.
    """
    ended: dict[int, int] = {}
    deadline = time.monotonic() + _KILL_SECONDS
    pause = 0.0
    while time.monotonic() < deadline:
        try:
            os.kill(-1, signals.SIGKILL)
        except ProcessLookupError:
            return ended | reap()
        ended |= reap()
        time.sleep(pause)
        pause = min(0.005, pause + 0.0002)
    return ended


def kill_others(spared: int) -> dict[int, int]:
    """End every process in the box but this one and `spared`, a program that waits for the next input of its batch.

    All are stopped in one step first, so that nothing can fork its way past the kill. Gives who ended.
    """
    ended = reap()
    if counters.read_processes() == _ALONE or not _others(spared):
        return ended
    os.kill(-1, signals.SIGSTOP)
    deadline = time.monotonic() + _KILL_SECONDS
    while (others := _others(spared)) and time.monotonic() < deadline:
        for process in others:
            try:
                os.kill(process, signals.SIGKILL)
            except ProcessLookupError:
                continue
        ended |= reap()
        time.sleep(0.0005)
    with suppress(ProcessLookupError):
        os.kill(spared, signals.SIGCONT)
    return ended


def _others(spared: int) -> list[int]:
    return [
        int(name)
        for name in os.listdir("/proc")
        if name.isdecimal() and int(name) not in (1, spared) and not _has_ended(name)
    ]


def _has_ended(process: str) -> bool:
    """Whether all that is left of a process is how it ended, for a parent that has not asked: proc(5), stat.

    One whose first thread alone has ended looks the same, but for the number of its threads.
    """
    try:
        with open(f"/proc/{process}/stat", "rb") as stat:
            fields = stat.read(4096).rpartition(b")")[2].split()
    except OSError:
        return True
    return fields[0] in (b"Z", b"X") and int(fields[17]) <= 1
