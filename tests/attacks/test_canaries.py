"""Each control of a box (API.md 4.3) has an attack that it stops, and that succeeds as soon as it is taken away.

The table goes through `executor/sandboxes/confinement.py` line by line. An attack succeeds if its code ends well with
true as its result. `beside` is changed in both boxes: where several controls stop the same thing, it takes away the
others.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import docker.errors
import pytest

from tests.attacks.box import BASE, Box, Boxes, make_job, policy_of

pytestmark = pytest.mark.docker

ROOT = {"user": "0:0"}
OPEN_TMP = "rw,suid,dev,exec,mode=1777"
UNLIMITED = [{"name": name, "soft": -1, "hard": -1} for name in ("fsize", "core")]


@dataclass(frozen=True, kw_only=True)
class Canary:
    """What is taken away, and the attack. `container` and `host` are settings of docker-py, `policy` of ours."""

    control: str
    attack: str
    host: Mapping[str, Any] = field(default_factory=dict)
    container: Mapping[str, Any] = field(default_factory=dict)
    beside: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    policy: Mapping[str, Any] = field(default_factory=dict)
    job: Mapping[str, Any] = field(default_factory=dict)


CANARIES = [
    Canary(control="no network", host={"network_mode": "bridge"}, container={"network_disabled": False},
           attack="len(open('/proc/net/dev').readlines()) > 3"),
    Canary(control="read-only root", host={"read_only": False}, beside={"container": ROOT},
           attack="open('/etc/planted', 'w').close()\nTrue"),
    Canary(control="size of the tmpfs", host={"tmpfs": {"/work": OPEN_TMP, "/tmp": OPEN_TMP}},
           attack="for name in 'ab': open(f'/tmp/{name}', 'wb').write(bytes(40 << 20))\nTrue"),
    Canary(control="inodes of the tmpfs", host={"tmpfs": {"/work": OPEN_TMP, "/tmp": OPEN_TMP + ",nr_inodes=99999"}},
           policy={"tmp_mb": 4}, attack="for number in range(2000): open(f'/tmp/{number}', 'w').close()\nTrue"),
    Canary(control="nosuid", host={"tmpfs": {"/work": OPEN_TMP, "/tmp": OPEN_TMP}},
           attack="import os\nany(not os.statvfs(path).f_flag & os.ST_NOSUID for path in ('/tmp', '/work'))"),
    Canary(control="nodev", host={"tmpfs": {"/work": OPEN_TMP, "/tmp": OPEN_TMP}},
           beside={"container": ROOT, "host": {"cap_add": ["MKNOD"]}}, attack="""
import os
os.mknod("/tmp/null", 0o666 | 0o020000, os.makedev(1, 3))
open("/tmp/null", "w").close()
True
"""),
    Canary(control="user", container=ROOT, attack="bool(open('/etc/shadow').read())"),
    Canary(control="capabilities", host={"cap_drop": []}, beside={"container": ROOT},
           attack="import os\nopen('/tmp/x', 'w').close(); os.chown('/tmp/x', 1, 1)\nTrue"),
    Canary(control="no new privileges", host={"security_opt": ["seccomp=unconfined"]},
           beside={"host": {"security_opt": ["no-new-privileges", "seccomp=unconfined"]}},
           attack="import ctypes\nctypes.CDLL(None).prctl(39, 0, 0, 0, 0) == 0"),
    Canary(control="seccomp profile", host={"security_opt": ["no-new-privileges", "seccomp=unconfined"]},
           attack="import ctypes\nctypes.CDLL(None).ptrace(0, 0, 0, 0) == 0"),
    Canary(control="memory", host={"mem_limit": 0, "memswap_limit": 0}, policy={"memory_mb": 48},
           attack="x = bytearray(90 << 20)\nfor at in range(0, len(x), 4096): x[at] = 1\nTrue"),
    Canary(control="swap", host={"memswap_limit": -1}, attack="""
def read(path):
    try: return open(f"/sys/fs/cgroup/{path}").read().strip()
    except OSError: return None
swap, both, memory = map(read, ("memory.swap.max", "memory/memory.memsw.limit_in_bytes",
                                "memory/memory.limit_in_bytes"))
swap != "0" if swap is not None else both != memory
"""),
    Canary(control="CPU quota", host={"cpu_quota": 0, "cpu_period": 0}, policy={"cpus": 0.25}, attack="""
import os, time
def held_back():
    for path in ("cpu.stat", "cpu/cpu.stat"):
        try: return "nr_throttled 0" not in open(f"/sys/fs/cgroup/{path}").read().splitlines()
        except OSError: pass
began = time.monotonic()
os.fork()
while time.monotonic() - began < 1 and not held_back(): pass
held_back() is False
"""),
    Canary(control="processes", host={"pids_limit": -1}, attack="""
import os, signal
for _ in range(80):
    if os.fork() == 0: signal.pause()
True
"""),
    Canary(control="size of a file", host={"ulimits": UNLIMITED}, job={"limits": {"file_mb": 500}},
           attack="open('big', 'wb').truncate(80 << 20) > 0"),
    Canary(control="open files", host={"ulimits": UNLIMITED}, job={"limits": {"open_files": 1000}},
           attack="kept = [open('/dev/null') for _ in range(300)]\nTrue"),
    Canary(control="core dumps", host={"ulimits": UNLIMITED},
           attack="any(l.startswith('Max core') and l.split()[4:6] != ['0', '0'] for l in open('/proc/1/limits'))"),
    Canary(control="size of shared memory", host={"shm_size": 64 << 20},
           attack="open('/dev/shm/big', 'wb').write(bytes(20 << 20)) > 0"),
    Canary(control="host name", container={"hostname": None},
           attack="import socket\nsocket.gethostname() != 'sandbox'"),
    Canary(control="environment", attack="import os\n'EXECUTOR_SECRET' in os.environ", container={
        "environment": {"EXECUTOR_SECRET": "x", "SANDBOX_KEEP_ENV": "EXECUTOR_SECRET"}}),
    Canary(control="nothing of the host mounted", host={"binds": ["/etc:/host:ro"]},
           attack="import os\nos.path.exists('/host/passwd')"),
    Canary(control="supervisor as process 1", host={"init": True},
           attack="open('/proc/1/environ', 'rb').close()\nTrue"),
    Canary(control="not privileged", host={"privileged": True},
           attack="import os\nos.path.exists('/dev/kmsg') or os.path.exists('/dev/mem')"),
]  # fmt: skip


def succeeds(canary: Canary, *, without: bool) -> bool:
    """Make a box, run the attack in it, and say whether it got what it wanted."""
    changes = [canary.beside] + ([{"host": canary.host, "container": canary.container}] if without else [])
    host = {name: value for change in changes for name, value in change.get("host", {}).items()}
    container = {name: value for change in changes for name, value in change.get("container", {}).items()}
    box = Box(policy_of(**canary.policy), host=host, **container)
    try:
        verdict = box.run(canary.attack.strip(), **canary.job).verdict
    finally:
        box.remove()
    return verdict["status"] == "ok" and verdict["result"] is True


@pytest.mark.parametrize("canary", CANARIES, ids=lambda canary: canary.control.replace(" ", "-"))
def test_the_attack_fails_with_the_control_and_succeeds_without_it(canary: Canary) -> None:
    with ThreadPoolExecutor(2) as threads:
        kept, taken = threads.map(lambda without: succeeds(canary, without=without), (False, True))
    assert (kept, taken) == (False, True)


def test_nobody_can_join_the_memory_that_a_box_shares_unless_it_is_made_shareable() -> None:
    shared = Box(host={"ipc_mode": "shareable"})
    try:
        intruder = Box(host={"ipc_mode": f"container:{shared.id}"})
        try:
            assert intruder.run("open('/dev/shm/planted', 'w').close()").status == "ok"
        finally:
            intruder.remove()
        assert shared.run("import os\nos.path.exists('/dev/shm/planted')").result is True
    finally:
        shared.remove()


def test_nobody_can_join_the_memory_of_a_box(boxes: Boxes) -> None:
    box = boxes.take()
    try:
        with pytest.raises(docker.errors.APIError, match="non-shareable"):
            Box(host={"ipc_mode": f"container:{box.id}"})
    finally:
        box.remove()


@pytest.mark.parametrize(("driver", "kept"), [("none", False), ("json-file", True)])
def test_the_engine_keeps_what_a_box_writes_only_with_a_log(driver: str, kept: bool) -> None:
    box = Box(host={"log_config": {"type": driver, "config": {}}})
    try:
        box.send(b"J", make_job(BASE, "print('kept')"))
        box.collect(20)
        assert box.is_logged(b"kept") is kept
    finally:
        box.remove()
