"""Programs that the benchmark starts: on cores of their own, in groups of their own, ended with certainty.

What they use is read from /proc: proportional set size (smaps_rollup, Pss) and CPU time
(schedstat, which counts in ns where stat counts in ticks of 10 ms).
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from scripts.benchmarks.terminal import CannotMeasure

SUBJECT_CORES = frozenset({0})
LOAD_CORES = frozenset({1})
CORES = frozenset(os.sched_getaffinity(0))  # those that this process was given at its start
TWO_CORES = frozenset({0, 2}) if 2 in CORES else frozenset({0, 1})  # for two workers; 1 is the load's already
STOP_SECONDS = 45.0


@contextmanager
def pinned(wanted: frozenset[int]) -> Iterator[None]:
    """Keep the calling thread, and what it starts inside the context, to some cores, as far as there are such."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, wanted & CORES or CORES)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def free_port() -> int:
    """A port of loopback that nobody listens on right now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def running(
    command: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    on_cores: frozenset[int] = CORES,
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a program in `folder` until the context is left; what it says goes to `program.log` there.

    It sees PATH, HOME and `environment`, and nothing else that is set.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "DOCKER_HOST", "LANG") if name in os.environ}
    with (folder / "program.log").open("ab") as output, pinned(on_cores):
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**kept, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        stop(process)


def stop(process: "subprocess.Popen[bytes]") -> None:
    """End a program and all that it has started: kindly first."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        pass
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for_answer(process: "subprocess.Popen[bytes]", port: int, path: str, *, folder: Path, within: float) -> float:
    """Ask for `path` until it is answered with 200; gives the clock's time of that.

    `CannotMeasure` with the end of the program's log if it ends before or takes longer than `within` seconds.
    """
    until = time.monotonic() + within
    while time.monotonic() < until and process.poll() is None:
        if _answers(port, path):
            return time.monotonic()
        time.sleep(0.003)
    end = (folder / "program.log").read_text(errors="replace").splitlines()[-6:]
    raise CannotMeasure(f"{process.args!r} does not answer {path}:\n  " + "\n  ".join(end))


def _answers(port: int, path: str) -> bool:
    asked = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode()
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(asked)
            return connection.recv(64).split(b" ")[1:2] == [b"200"]
    except OSError:
        return False


def family(pid: int) -> list[int]:
    """A process and all its descendants."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found = [pid]
    for member in found:
        found.extend(children.get(member, ()))
    return found


def pss_mb(pid: int) -> float:
    """Proportional set size of a process and its descendants in MB (10^6 bytes); `OSError` if it may not be read."""
    kib = 0
    for member in family(pid):
        with suppress(FileNotFoundError, ProcessLookupError):
            for line in Path(f"/proc/{member}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    kib += int(line.split()[1])
    return kib * 1024 / 1e6


def cpu_clock(pid: int) -> dict[int, int]:
    """CPU time in ns of each thread of a process and its descendants (schedstat, first field), by thread id."""
    clock = {}
    for member in family(pid):
        for file in Path(f"/proc/{member}/task").glob("*/schedstat"):
            with suppress(OSError):
                clock[int(file.parent.name)] = int(file.read_text().split()[0])
    return clock


def cpu_seconds(before: dict[int, int], after: dict[int, int]) -> float:
    """CPU time between two readings of `cpu_clock`, of the threads that still live at the second."""
    return sum(spent - before.get(thread, 0) for thread, spent in after.items()) / 1e9
