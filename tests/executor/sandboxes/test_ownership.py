"""Whose a box is: the same place has the same id, two living executors never share one."""

import subprocess
import sys
from pathlib import Path

import pytest

from executor.sandboxes.ownership import claim_owner
from tests.pacing import PATIENCE

HOLD = """
import sys
from executor.sandboxes.ownership import claim_owner
print(claim_owner("here").id, flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_the_same_place_gets_its_id_back_once_the_predecessor_is_gone() -> None:
    first = claim_owner("here")
    first.release()
    second = claim_owner("here")
    assert second.id == first.id
    second.release()


def test_two_that_live_never_share_an_id() -> None:
    owners = [claim_owner("here") for _ in range(3)]
    assert len({owner.id for owner in owners}) == 3
    assert claim_owner("there").id not in {owner.id for owner in owners}


def test_a_process_that_is_killed_gives_its_id_back() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        held = process.stdout.readline().strip()
        beside = claim_owner("here")
        assert beside.id != held
        process.kill()
        process.wait()
    after = claim_owner("here")
    assert after.id == held


def test_without_a_place_for_locks_every_id_is_new(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    assert claim_owner("here").id != claim_owner("here").id


def test_stopping_leaves_no_file(temporary_folder: Path) -> None:
    owner = claim_owner("here")
    assert len(list(temporary_folder.iterdir())) == 1
    owner.release()
    owner.release()
    assert list(temporary_folder.iterdir()) == []


def test_the_files_of_the_dead_are_swept_and_those_of_the_living_stay(temporary_folder: Path) -> None:
    living = claim_owner("here")
    for number in range(5):
        (temporary_folder / f"sandgate-executor-dead-{number}.lock").touch()
    (temporary_folder / "sandgate-executor-another.file").touch()
    beside = claim_owner("there")
    names = {path.name for path in temporary_folder.iterdir()}
    assert names == {
        *(f"sandgate-executor-{owner.id}.lock" for owner in (living, beside)),
        "sandgate-executor-another.file",
    }
    assert claim_owner("here").id != living.id


def test_many_that_start_at_once_beside_others_that_stop_never_share_an_id(temporary_folder: Path) -> None:
    code = HOLD.replace("sys.stdin.read()", "sys.stdin.readline()")
    for _ in range(2):
        leaving = claim_owner("here")
        started = [
            subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(4)
        ]
        leaving.release()
        ids = []
        for process in started:
            assert process.stdout is not None
            ids.append(process.stdout.readline().strip())
        for process in started:
            process.communicate("\n", timeout=PATIENCE)
        assert len(set(ids)) == len(started)
    del temporary_folder
