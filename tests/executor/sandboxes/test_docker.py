"""Boxes on a real engine: made, resized, lost, removed, and swept when their owner is dead."""

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from executor.errors import EngineFailed, ImageMissing, SandboxLost
from executor.runner import conduct
from executor.runs import Policy, Run, Verdict
from executor.sandboxes.attach import attach
from executor.sandboxes.docker import DockerEngine
from executor.sandboxes.ownership import claim_owner
from tests.executor.conftest import BASE_IMAGE, boxes
from tests.pacing import PATIENCE

pytestmark = [pytest.mark.anyio, pytest.mark.docker]

HOST = "unix:///var/run/docker.sock"
POLICY = Policy(image="base", reference=BASE_IMAGE)


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[DockerEngine]:
    made = DockerEngine(HOST, owner=claim_owner(str(tmp_path)), lifetime=600)
    yield made
    await made.close()
    assert boxes(f"sandgate.owner={made.owner}") == []


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True).stdout.strip()


def plant(owner: str, expires: float, *, start: bool = True) -> str:
    """Make a container such as an executor of this id would have."""
    verb = ["run", "--detach"] if start else ["create"]
    labels = ["--label", f"sandgate.owner={owner}", "--label", f"sandgate.expires={int(expires)}"]
    return docker(*verb, "--network", "none", *labels, "--entrypoint", "sleep", BASE_IMAGE, "60")


async def test_a_box_is_ready_runs_one_job_and_is_gone(engine: DockerEngine) -> None:
    sandbox = await engine.create(POLICY)
    assert sandbox.alive
    assert sandbox.python.startswith("3.")
    sandbox.give(Run(id="exec_1", user="ann", code="1 + 1", policy=POLICY))
    while not isinstance(event := await sandbox.next_event(), Verdict):
        pass
    assert (event.status, bytes(event.result)) == ("ok", b"2")
    await sandbox.destroy()
    await sandbox.destroy()
    assert not sandbox.alive
    assert boxes(f"sandgate.owner={engine.owner}") == []


async def test_a_box_that_has_said_its_last_leaves_by_itself_and_is_not_killed(engine: DockerEngine) -> None:
    # One that is killed costs the engine a process more; the engine tells of each kill.
    began = int(time.time())
    for code in ("1 + 1", "raise ValueError", "while True: pass"):
        sandbox = await engine.create(POLICY)
        await conduct(Run(id="exec_1", user="ann", code=code, policy=replace(POLICY, timeout_seconds=0.2)), sandbox)
        await sandbox.destroy()
    label = f"label=sandgate.owner={engine.owner}"
    events = docker(
        "events", "--since", str(began), "--until", str(int(time.time()) + 1), "--filter", label,
        "--format", "{{.Action}} {{.Actor.Attributes.exitCode}}",
    ).splitlines()  # fmt: skip
    assert events.count("die 0") == 3
    assert not [event for event in events if event.startswith("kill")]


async def test_a_ready_box_can_be_given_other_limits(engine: DockerEngine) -> None:
    sandbox = await engine.create(POLICY)
    for memory, cpus in ((512, 2.0), (64, 0.5)):
        await sandbox.resize(Policy(image="base", reference=BASE_IMAGE, memory_mb=memory, cpus=cpus))
        found = docker("inspect", "--format", "{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}}", sandbox.name)
        assert found == f"{memory * 2**20} {memory * 2**20}"
    assert sandbox.policy.memory_mb == 64


async def test_a_box_that_dies_tells_so(engine: DockerEngine) -> None:
    sandbox = await engine.create(POLICY)
    died = asyncio.Event()
    sandbox.on_death(died.set)
    docker("kill", sandbox.name)
    async with asyncio.timeout(PATIENCE):
        await died.wait()
    assert not sandbox.alive


async def test_an_image_that_is_missing_or_no_sandbox_is_told_apart(engine: DockerEngine) -> None:
    with pytest.raises(ImageMissing):
        await engine.create(Policy(image="base", reference="no-such-image:1"))
    with pytest.raises(SandboxLost):
        await engine.create(
            Policy(image="base", reference=docker("images", "--quiet", "--no-trunc", BASE_IMAGE), memory_mb=6)
        )
    report = await engine.probe([BASE_IMAGE, "no-such-image:1"])
    assert report.images == {BASE_IMAGE: True, "no-such-image:1": False}
    assert report.version


async def test_an_engine_that_cannot_be_reached_is_a_failure_of_its_own(tmp_path: Path) -> None:
    nowhere = DockerEngine(f"unix://{tmp_path}/none.sock", owner=claim_owner("nowhere"), lifetime=600)
    with pytest.raises(EngineFailed):
        await nowhere.create(POLICY)
    await nowhere.close()


async def test_the_sweep_takes_what_is_dead_and_leaves_what_may_live(engine: DockerEngine) -> None:
    soon, past = time.time() + 600, time.time() - 1
    ours = await engine.create(POLICY)
    kept = {
        "a living foreigner": plant("foreign-0", soon),
        "a foreigner that is being made": plant("foreign-0", soon, start=False),
        "a living namesake": plant(engine.owner, soon),
    }
    dead = {
        "a predecessor's, never started": plant(engine.owner, soon, start=False),
        "an expired foreigner": plant("foreign-1", past),
        "an expired one, never started": plant("foreign-1", past, start=False),
        "a predecessor's, expired": plant(engine.owner, past),
    }
    try:
        await engine.sweep()
        left = set(docker("ps", "--all", "--quiet", "--no-trunc").split())
        assert {name for name, box in kept.items() if box not in left} == set()
        assert {name for name, box in dead.items() if box in left} == set()
        assert ours.alive
    finally:
        docker("rm", "--force", *kept.values())


async def test_an_engine_that_does_not_answer_is_given_up_in_time(tmp_path: Path) -> None:
    hanging: list[asyncio.StreamWriter] = []
    road = str(tmp_path / "engine.sock")
    server = await asyncio.start_unix_server(lambda _, writer: hanging.append(writer), road)
    engine = DockerEngine(f"unix://{road}", owner=claim_owner(str(tmp_path)), lifetime=600)
    try:
        with pytest.raises(EngineFailed, match="in time"):
            await engine.call(lambda client: client.info(), seconds=0.2)
        with pytest.raises(EngineFailed):
            await attach(f"unix://{road}", "box", seconds=0.2)
    finally:
        for writer in hanging:
            writer.close()
        server.close()
