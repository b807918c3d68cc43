"""Every promise about a box that the engine has to keep (API.md 4.3), one by one."""

import json
from dataclasses import replace
from typing import Any

import pytest

from executor.runs import Policy
from executor.sandboxes.confinement import container_settings

POLICY = Policy(image="base", reference="sandgate-sandbox:base")
MIB = 1024 * 1024


def settings(**changes: Any) -> dict[str, Any]:
    return container_settings(
        replace(POLICY, **changes), owner="owner-0", name="sandgate-owner-0-1", expires=1700000000
    )


HOST = settings()["host"]
CONTAINER = settings()["container"]


def test_there_is_no_network() -> None:
    assert HOST["network_mode"] == "none"
    assert CONTAINER["network_disabled"] is True


def test_the_root_file_system_is_read_only_and_nothing_of_the_host_is_mounted() -> None:
    assert HOST["read_only"] is True
    assert not {"binds", "mounts", "volumes_from", "devices", "pid_mode", "userns_mode"} & HOST.keys()
    assert "volumes" not in CONTAINER


def test_the_only_writable_places_are_small_and_hold_no_devices_and_no_setuid_programs() -> None:
    tmpfs = settings(workdir_mb=8, tmp_mb=4)["host"]["tmpfs"]
    assert tmpfs.keys() == {"/work", "/tmp"}
    for path, size in (("/work", 8), ("/tmp", 4)):
        options = tmpfs[path].split(",")
        assert {"nosuid", "nodev", f"size={size * MIB}"} <= set(options)
        assert any(option.startswith("nr_inodes=") for option in options)
    assert settings(shm_mb=2)["host"]["shm_size"] == 2 * MIB


def test_the_user_is_nobody_without_any_capability_or_way_to_gain_one() -> None:
    assert CONTAINER["user"] == "65534:65534"
    assert HOST["cap_drop"] == ["ALL"]
    assert "cap_add" not in HOST
    assert HOST["privileged"] is False
    assert "no-new-privileges" in HOST["security_opt"]


def test_the_seccomp_profile_is_ours_and_is_sent_as_json() -> None:
    [option] = [option for option in HOST["security_opt"] if option.startswith("seccomp=")]
    profile = json.loads(option.removeprefix("seccomp="))
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    allowed = {name for rule in profile["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]}
    assert "read" in allowed
    assert not {"io_uring_setup", "ptrace", "process_vm_readv", "keyctl", "userfaultfd", "bpf", "mount"} & allowed


def test_memory_is_limited_and_swap_is_none() -> None:
    host = settings(memory_mb=100)["host"]
    assert host["mem_limit"] == host["memswap_limit"] == 100 * MIB


@pytest.mark.parametrize(("cpus", "quota"), [(1.0, 100000), (0.5, 50000), (2, 200000), (0.001, 1000)])
def test_cpus_are_limited(cpus: float, quota: int) -> None:
    host = settings(cpus=cpus)["host"]
    assert (host["cpu_quota"], host["cpu_period"]) == (quota, 100000)


def test_processes_are_limited_and_the_supervisor_is_not_taken_from_them() -> None:
    assert settings(processes=64)["host"]["pids_limit"] == 65


def test_files_are_limited_and_no_core_is_dumped() -> None:
    limits = {limit["name"]: limit for limit in settings(open_files=99, file_mb=3)["host"]["ulimits"]}
    assert limits["nofile"]["hard"] == limits["nofile"]["soft"] == 99
    assert limits["fsize"]["hard"] == limits["fsize"]["soft"] == 3 * MIB
    assert limits["core"]["hard"] == limits["core"]["soft"] == 0


def test_ipc_is_private() -> None:
    assert HOST["ipc_mode"] == "private"


def test_nothing_is_logged_by_the_engine_and_nothing_is_removed_behind_our_back() -> None:
    assert HOST["log_config"]["type"] == "none"
    assert HOST["auto_remove"] is False


def test_the_supervisor_is_process_one_itself() -> None:
    assert HOST["init"] is False
    assert CONTAINER["stdin_open"] is True
    assert CONTAINER["tty"] is False


def test_the_environment_and_the_host_name_tell_nothing() -> None:
    assert CONTAINER["environment"] == {}
    assert CONTAINER["hostname"] == "sandbox"


def test_labels_say_whose_it_is_and_when_it_expires() -> None:
    assert CONTAINER["labels"]["sandgate.owner"] == "owner-0"
    assert CONTAINER["labels"]["sandgate.expires"] == "1700000000"


def test_the_runtime_is_the_engines_unless_one_is_named() -> None:
    assert HOST["runtime"] is None
    assert settings(runtime="runsc")["host"]["runtime"] == "runsc"
