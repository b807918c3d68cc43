"""The confinement of a sandbox: every engine setting in one pure function (API.md 4.3)."""

import json
from functools import cache
from importlib.resources import files
from typing import Any

from executor.runs import Policy

MIB = 1024 * 1024
NOBODY = "65534:65534"
OWNER_LABEL = "sandgate.owner"
EXPIRES_LABEL = "sandgate.expires"
IMAGE_LABEL = "sandgate.image"
INODES_PER_MB = 256
CPU_PERIOD = 100_000


@cache
def seccomp_profile() -> str:
    """Give the text of the shipped seccomp profile, as the engine's API wants it (not a path)."""
    return json.dumps(json.loads(files("executor").joinpath("runtime/seccomp.json").read_text()), separators=(",", ":"))


def container_settings(policy: Policy, *, owner: str, name: str, expires: int) -> dict[str, Any]:
    """Give everything the engine is told about a box, as keyword arguments of docker-py's low-level client.

    "container" are those of `create_container`, "host" those of `create_host_config`. `expires` is Unix time: an
    owner that lives never keeps a box that long. A request can change memory, CPUs and time, and nothing else.

    The quota is given as period and quota, not as NanoCpus: the engine refuses to change the latter later, and a
    ready box gets the limits of its run when it is claimed. No init: the supervisor must be process 1 itself, since
    an init's descriptors would be open to the user's code.
    """
    memory = policy.memory_mb * MIB
    return {
        "container": {
            "image": policy.reference,
            "name": name,
            "hostname": "sandbox",
            "user": NOBODY,
            "stdin_open": True,
            "tty": False,
            "network_disabled": True,
            "environment": {},
            "labels": make_labels(policy, owner=owner, expires=expires),
        },
        "host": {
            "network_mode": "none",
            "read_only": True,
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges", f"seccomp={seccomp_profile()}"],
            "pids_limit": policy.processes + SUPERVISOR_PROCESSES,
            "mem_limit": memory,
            "memswap_limit": memory,
            "cpu_period": CPU_PERIOD,
            "cpu_quota": cpu_quota(policy.cpus),
            "ipc_mode": "private",
            "shm_size": policy.shm_mb * MIB,
            "ulimits": [
                {"name": "nofile", "soft": policy.open_files, "hard": policy.open_files},
                {"name": "fsize", "soft": policy.file_mb * MIB, "hard": policy.file_mb * MIB},
                {"name": "core", "soft": 0, "hard": 0},
            ],
            "tmpfs": {"/work": _tmpfs(policy.workdir_mb), "/tmp": _tmpfs(policy.tmp_mb)},  # noqa: S108 in the box
            "log_config": {"type": "none", "config": {}},
            "runtime": policy.runtime,
            "init": False,
            "auto_remove": False,
            "privileged": False,
        },
    }


def make_labels(policy: Policy, *, owner: str, expires: int) -> dict[str, str]:
    """Give the labels that say whose a box is, from when on it is nobody's (Unix time), and its image's name."""
    return {OWNER_LABEL: owner, EXPIRES_LABEL: str(expires), IMAGE_LABEL: policy.image}


# The supervisor itself counts against the engine's limit.
SUPERVISOR_PROCESSES = 1


def cpu_quota(cpus: float) -> int:
    """Give the microseconds of CPU in each `CPU_PERIOD`; the kernel takes no less than 1000."""
    return max(1000, round(cpus * CPU_PERIOD))


def _tmpfs(size_mb: int) -> str:
    # Owned by the user, since the OCI runtime gives a mount the mode of the image's own folder, whatever `mode` says.
    owner = NOBODY.split(":")
    inodes = max(1024, size_mb * INODES_PER_MB)
    return f"rw,nosuid,nodev,size={size_mb * MIB},nr_inodes={inodes},mode=1777,uid={owner[0]},gid={owner[1]}"
