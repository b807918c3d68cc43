"""The self-test of the confinement: programs that try to get out, run in real boxes before anything else is.

Each control of `CONTROL_NAMES` gets a verdict. What is asked of the kernel from inside is asked by user code, which
is trusted here because it is ours; time and memory limits are tried by breaking them.
"""

import asyncio
import logging
import math
import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec

from executor.errors import SandboxUnavailable
from executor.runner import conduct
from executor.runs import LEAST_MEMORY_MB, ImageReport, Part, Policy, Run
from executor.sandboxes.base import Engine
from executor.settings import CONTROL_NAMES

log = logging.getLogger("executor.selftest")

PROBE_TIMEOUT_SECONDS = 10.0
SHORT_TIMEOUT_SECONDS = 0.3
SMALL_MEMORY_MB = 64
MIB = 1024 * 1024
ROOM_MB, STEP_MB = 8, 8

_INSIDE = """
import ctypes, errno, os, resource, signal, socket, time

MIB = 1024 * 1024
REFUSED = (errno.EPERM, errno.ENOSYS, errno.EACCES)

def status():
    with open("/proc/self/status") as lines:
        return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}

def network(limits):
    with open("/proc/net/dev") as lines:
        devices = {line.split(":")[0].strip() for line in lines if ":" in line}
    with socket.socket() as there:
        there.settimeout(1)
        return devices <= {"lo"} and there.connect_ex(("192.0.2.1", 80)) in (errno.ENETUNREACH, *REFUSED)

def root_read_only(limits):
    return bool(os.statvfs("/").f_flag & os.ST_RDONLY)

def mounts(limits):
    engines = ("/", "/work", "/tmp", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf")
    with open("/proc/self/mountinfo") as lines:
        places = [line.split()[4] for line in lines]
    return all(place in engines or place.split("/")[1] in ("proc", "sys", "dev") for place in places)

def ipc(limits):
    for kind in ("shm", "sem", "msg"):
        with open(f"/proc/sysvipc/{kind}") as lines:
            if len(list(lines)) > 1:
                return False
    return os.listdir("/dev/shm") == []

def tmpfs(limits):
    wanted = os.ST_NOSUID | os.ST_NODEV
    for path, size in (("/work", limits["workdir_mb"]), ("/tmp", limits["tmp_mb"]), ("/dev/shm", limits["shm_mb"])):
        found = os.statvfs(path)
        if found.f_flag & wanted != wanted or found.f_blocks * found.f_frsize > size * MIB:
            return False
        open(os.path.join(path, ".selftest"), "w").close()
    return True

def capabilities(limits):
    return all(int(status()[name], 16) == 0 for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"))

def no_new_privileges(limits):
    return status()["NoNewPrivs"] == "1"

def seccomp(limits):
    libc = ctypes.CDLL(None, use_errno=True)
    for call in (lambda: libc.unshare(0x10000000), lambda: libc.syscall(425, 1, 0)):
        if call() != -1 or ctypes.get_errno() not in REFUSED:
            return False
    return status()["Seccomp"] == "2"

def user(limits):
    return os.getresuid() == (65534,) * 3 and os.getresgid() == (65534,) * 3 and set(os.getgroups()) <= {65534}

def group(*names):
    for name in names:
        try:
            with open(f"/sys/fs/cgroup/{name}") as file:
                return file.read().split()
        except OSError:
            continue
    return None

def swap(limits):
    two, one = group("memory.swap.max"), group("memory/memory.memsw.limit_in_bytes")
    if two or one:
        return two == ["0"] or one is not None and one == group("memory/memory.limit_in_bytes")
    with open("/proc/swaps") as lines:
        return len(list(lines)) <= 1

def cpu_limit(limits):
    quota = group("cpu.max") or [*(group("cpu/cpu.cfs_quota_us") or ()), *(group("cpu/cpu.cfs_period_us") or ())]
    if len(quota) == 2:
        return quota[0] not in ("max", "-1") and int(quota[0]) <= limits["cpus"] * int(quota[1]) * 1.01
    return used_at_once(limits["cpus"]) <= limits["cpus"] * 1.5

def used_at_once(cpus):
    began = time.monotonic()
    children = []
    for _ in range(int(cpus) + 1):
        child = os.fork()
        if child == 0:
            while time.monotonic() - began < 0.5:
                pass
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    used = os.times()
    return (used.children_user + used.children_system) / 0.5

def process_limit(limits):
    children = []
    try:
        for _ in range(limits["processes"] + 8):
            child = os.fork()
            if child == 0:
                signal.pause()
                os._exit(0)
            children.append(child)
    except BlockingIOError:
        return True
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    return False

def file_limits(limits):
    return (
        resource.getrlimit(resource.RLIMIT_NOFILE)[1] <= limits["open_files"]
        and 0 < resource.getrlimit(resource.RLIMIT_FSIZE)[1] <= limits["file_mb"] * MIB
        and resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)
    )

def environment(limits):
    words = ("SECRET", "TOKEN", "PASSWORD", "EXECUTOR", "GATEWAY", "DOCKER", "API_KEY")
    return socket.gethostname() == "sandbox" and not any(word in name.upper() for name in os.environ for word in words)

def supervisor_hidden(limits):
    for path in ("/proc/1/mem", "/proc/1/environ", "/proc/1/fd/1"):
        try:
            open(path, "rb+" if path.endswith("mem") else "rb").close()
        except PermissionError:
            continue
        return False
    return True

def main(**limits):
    found = {}
    for control in (network, root_read_only, mounts, ipc, tmpfs, capabilities, no_new_privileges, seccomp, user, swap,
                    cpu_limit, process_limit, file_limits, environment, supervisor_hidden):
        try:
            found[control.__name__] = bool(control(limits))
        except Exception as error:
            found[control.__name__] = False
            print(control.__name__, repr(error))
    return found
"""

_EAT_MEMORY = """
eaten = bytearray(2 * limit * 1024 * 1024)
for place in range(0, len(eaten), 4096):
    eaten[place] = 1
"""

_IGNORE_TIME = """
import signal
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
    signal.signal(number, signal.SIG_IGN)
while True:
    pass
"""

_DESCRIBE = """
import importlib.metadata, platform

def held():
    for path, key in (("/sys/fs/cgroup/memory.stat", "anon"), ("/sys/fs/cgroup/memory/memory.stat", "total_rss")):
        try:
            with open(path) as lines:
                return int(dict(line.split() for line in lines)[key])
        except (OSError, KeyError, ValueError):
            continue
    return 0

{
    "python": platform.python_version(),
    "packages": {found.metadata["Name"]: found.version for found in importlib.metadata.distributions()},
    "modules": sorted(importlib.metadata.packages_distributions()),
    "memory_bytes": held(),
}
"""


class _Description(msgspec.Struct):
    python: str
    packages: dict[str, str]
    modules: list[str]
    memory_bytes: int


async def check_controls(engine: Engine, policy: Policy) -> dict[str, bool]:
    """Try every control on real boxes; gives whether each holds. What cannot be tried does not hold.

    Raises `SandboxUnavailable` if no box can be made at all.
    """
    limits = msgspec.json.encode(
        {
            "workdir_mb": policy.workdir_mb,
            "tmp_mb": policy.tmp_mb,
            "shm_mb": policy.shm_mb,
            "cpus": policy.cpus,
            "processes": policy.processes,
            "open_files": policy.open_files,
            "file_mb": policy.file_mb,
        }
    )
    probing = replace(policy, timeout_seconds=PROBE_TIMEOUT_SECONDS)
    small = replace(probing, memory_mb=SMALL_MEMORY_MB)
    short = replace(policy, timeout_seconds=SHORT_TIMEOUT_SECONDS)
    inside, memory, clock = await asyncio.gather(
        _try(engine, probing, _INSIDE, {"input": msgspec.Raw(limits)}),
        _try(engine, small, _EAT_MEMORY.replace("limit", str(SMALL_MEMORY_MB)), {}),
        _try(engine, short, _IGNORE_TIME, {}),
    )
    found = dict.fromkeys(CONTROL_NAMES, False)
    found |= _told(inside)
    found["memory_limit"] = memory.verdict.status == "out_of_memory"
    found["time_limit"] = clock.verdict.status == "timeout"
    for name, part in (("inside", inside), ("memory", memory), ("clock", clock)):
        log.debug("self-test %s: %s %s %s", name, part.verdict.status, part.verdict.error, part.stdout)
    return found


async def describe_image(engine: Engine, policy: Policy) -> ImageReport:
    """Ask an image, from inside, what it holds. Raises `SandboxUnavailable`."""
    part = await _try(engine, replace(policy, timeout_seconds=PROBE_TIMEOUT_SECONDS), _DESCRIBE, {})
    try:
        found = msgspec.json.decode(part.verdict.result, type=_Description)
    except msgspec.DecodeError:
        log.error("image %s does not tell what it holds: %s", policy.image, part.verdict.error)
        raise SandboxUnavailable(f"The image of {policy.image!r} does not run code as it should.") from None
    return ImageReport(
        python=found.python,
        packages=found.packages,
        modules=frozenset(found.modules),
        least_memory_mb=max(LEAST_MEMORY_MB, math.ceil((found.memory_bytes / MIB + ROOM_MB) / STEP_MB) * STEP_MB),
    )


async def _try(engine: Engine, policy: Policy, code: str, extra: Mapping[str, Any]) -> Part:
    sandbox = await engine.create(policy)
    try:
        run = Run(id=f"selftest_{secrets.token_hex(4)}", user="executor", code=code, policy=policy, **extra)
        return (await conduct(run, sandbox)).finish()[0]
    finally:
        await sandbox.destroy()


def _told(part: Part) -> dict[str, bool]:
    try:
        return msgspec.json.decode(part.verdict.result, type=dict[str, bool])
    except msgspec.DecodeError:
        log.error("the self-test did not run: %s %s", part.verdict.status, part.verdict.error)
        return {}
