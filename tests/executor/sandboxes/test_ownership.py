"""Whose a box is: the same place has the same id, two living executors never share one."""

import subprocess
import sys
from pathlib import Path

import pytest

from executor.sandboxes.ownership import claim_owner

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
