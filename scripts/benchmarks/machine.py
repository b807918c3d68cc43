"""What the figures were measured on, and what may be installed there."""

import fcntl
import os
import platform
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from shutil import which
from typing import Any

from scripts.benchmarks.interpreter import describe_build
from scripts.benchmarks.processes import CORES, LOAD_CORES, SUBJECT_CORES
from scripts.benchmarks.terminal import CannotMeasure, step, warn

BUSY = 0.3  # of a core
WATCH_SECONDS = 2.0
PACKAGES = ("sanic", "httpx", "httpcore", "httptools", "uvloop", "msgspec", "pyjwt", "docker")


@contextmanager
def alone() -> Iterator[None]:
    """Hold the lock that keeps a second benchmark from measuring at the same time."""
    with (Path(tempfile.gettempdir()) / f"sandgate-bench-{os.getuid()}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise CannotMeasure("another benchmark is running on this machine: wait for its end") from None
        yield


def busy_cores(seconds: float = WATCH_SECONDS, stat: Path = Path("/proc/stat")) -> float:
    """How many cores are at work for others, on average over some seconds from now; what the host steals counts.

    Not the load average: that still tells of our own preparation a minute later.
    """
    began, before = time.monotonic(), _busy_ticks(stat)
    time.sleep(seconds)
    ticks = _busy_ticks(stat) - before
    return ticks / os.sysconf("SC_CLK_TCK") / (time.monotonic() - began)


def _busy_ticks(stat: Path) -> int:
    """All ticks of the machine but the idle ones (proc_stat(5); guests' ticks are in user's and nice's already)."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, stat.read_text().split()[1:9])
    return user + nice + system + irq + softirq + steal


def describe() -> dict[str, Any]:
    """The conditions: machine, system, versions, and how much else goes on, which takes two seconds."""
    with step("whether the machine is quiet"):
        busy = busy_cores()
    cpu = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": cpu[1] if cpu else platform.machine(),
        "cores": len(CORES),
        "memory_gb": round(int(memory[1]) * 1024 / 1e9) if memory else None,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "python_build": describe_build(),
        "busy_cores": busy,
        "pinned": (SUBJECT_CORES | LOAD_CORES) <= CORES,
        "versions": {name: _version(name) for name in PACKAGES},
    }


def complain(conditions: dict[str, Any]) -> list[str]:
    """What of the conditions spoils the figures."""
    complaints = []
    if conditions["busy_cores"] > BUSY:
        complaints.append(f"the machine is not quiet ({conditions['busy_cores']:.1f} cores busy with other work)")
    if not conditions["pinned"]:
        complaints.append("cores 0 and 1 are not both there: load and subject share, all figures are floors")
    build = conditions["python_build"]
    if build["optimized"] is False:
        complaints.append(
            f"this Python is slower than most ({build['why']}): name another with PYTHON=/path/to/python3"
        )
    elif build["optimized"] is None:
        complaints.append(f"whether this Python is optimised cannot be told ({build['why']})")
    for complaint in complaints:
        warn(complaint)
    return complaints


def install(*packages: str) -> bool:
    """Install packages of Debian, if that is possible here; gives whether it was tried and done."""
    if os.getuid() != 0 or which("apt-get") is None:
        return False
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}  # 1: start no service
    with step(f"installing {' '.join(packages)} with apt-get"):
        for command in (["apt-get", "update", "-q"], ["apt-get", "install", "-y", "-q", "--no-install-recommends"]):
            done = subprocess.run(
                [*command, *(packages if "install" in command else ())], env=quiet, capture_output=True, check=False
            )
    return done.returncode == 0


def said_by(*command: str) -> str:
    """What a program says of itself, its first line."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return next(iter((done.stdout + done.stderr).strip().splitlines()), "")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
