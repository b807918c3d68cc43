"""What the kernel counted for this box, read from its control group, version 1 or 2.

Files: Documentation/admin-guide/cgroup-v1/{memory,pids}.rst and cgroup-v2.rst. A figure that cannot be read is None.
"""

import os
import resource
from functools import cache

_ROOT = "/sys/fs/cgroup"
_PEAK = (f"{_ROOT}/memory.peak", f"{_ROOT}/memory/memory.max_usage_in_bytes")
_OOM = (f"{_ROOT}/memory.events", f"{_ROOT}/memory/memory.oom_control")
_PIDS = (f"{_ROOT}/pids.events", f"{_ROOT}/pids/pids.events")
_CURRENT = (f"{_ROOT}/pids.current", f"{_ROOT}/pids/pids.current")
_QUOTA = ((f"{_ROOT}/cpu.max", None), (f"{_ROOT}/cpu/cpu.cfs_quota_us", f"{_ROOT}/cpu/cpu.cfs_period_us"))


class Counts:
    """A reading: how often the kernel killed for memory, and refused a process or thread."""

    def __init__(self, oom_kills: int, pids_refused: int | None) -> None:
        self.oom_kills = oom_kills
        self.pids_refused = pids_refused


def read_counts() -> Counts:
    """Read the counters as they stand."""
    return Counts(oom_kills=_field(_OOM, "oom_kill") or 0, pids_refused=_field(_PIDS, "max"))


def read_memory_peak() -> int | None:
    """Give the most memory the box has used so far, in bytes; without control groups, the largest process's."""
    for path in _PEAK:
        text = _read(path).strip()
        if text.isdecimal():
            return int(text)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 or None


def read_cpu_seconds() -> float:
    """Give the CPU time of all children that have ended and been reaped, and of theirs."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def read_processes() -> int | None:
    """Give how many processes and threads the box has now, this one included."""
    for path in _CURRENT:
        text = _read(path).strip()
        if text.isdecimal():
            return int(text)
    return None


def read_cpu_quota() -> float | None:
    """Give how many CPUs the box may use, None if it is not limited."""
    for path, period in _QUOTA:
        words = _read(path).split()
        if period is not None:
            words += _read(period).split()
        if len(words) == 2 and words[0].isdecimal() and words[1].isdecimal() and int(words[1]):
            return int(words[0]) / int(words[1])
    return None


def _field(paths: tuple[str, ...], name: str) -> int | None:
    for path in paths:
        for line in _read(path).splitlines():
            key, _, value = line.partition(" ")
            if key == name and value.isdecimal():
                return int(value)
    return None


def _read(path: str) -> str:
    descriptor = _open(path)
    if descriptor is None:
        return ""
    try:
        return os.pread(descriptor, 4096, 0).decode("ascii", "replace")
    except OSError:
        return ""


@cache
def _open(path: str) -> int | None:
    # Kept open: these files are read before and after each execution.
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
