import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from gateway.telemetry.folder import PREFIX, shared_folder


@pytest.fixture(autouse=True)
def _private_temporary_files(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_the_folder_is_private_and_goes_at_the_end():
    with shared_folder() as folder:
        assert folder.stat().st_mode & 0o077 == 0
        (folder / "file").write_text("x")
    assert not folder.exists()


def test_the_folder_of_a_killed_owner_is_removed_by_the_next(tmp_path):
    code = """
import os, signal, sys, tempfile
tempfile.tempdir = sys.argv[1]
from gateway.telemetry.folder import shared_folder
with shared_folder():
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    (left,) = tmp_path.glob(f"{PREFIX}*")
    with shared_folder() as folder:
        assert not left.exists()
        assert folder.exists()


def test_the_folder_of_a_living_owner_stays():
    with shared_folder() as first, shared_folder():
        assert first.exists()


def test_a_link_laid_by_somebody_else_is_not_followed(tmp_path):
    target = Path(tempfile.mkdtemp(prefix="target-"))
    (target / "precious").write_text("x")
    (tmp_path / f"{PREFIX}link").symlink_to(target)
    with shared_folder():
        pass
    assert (target / "precious").exists()
