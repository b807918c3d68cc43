import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = docker\n")
    (tmp_path / "test_some.py").write_text(
        "import pytest\n\n@pytest.mark.docker\ndef test_box(): pass\n\ndef test_plain(): pass\n"
    )
    return tmp_path


def outcome(project: Path, **environment: str) -> str:
    """The last line of a run of pytest without an engine."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "tests.docker_engine", "-c", project / "pytest.ini", project],
        cwd=ROOT,
        env={**os.environ, "DOCKER_HOST": "unix:///nowhere/docker.sock", **environment},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    return done.stdout.splitlines()[-1]


def test_without_an_engine_its_tests_are_skipped(project: Path) -> None:
    assert outcome(project, SANDGATE_REQUIRE_DOCKER="").startswith("1 passed, 1 skipped")


def test_without_an_engine_its_tests_fail_where_docker_is_required(project: Path) -> None:
    assert outcome(project, SANDGATE_REQUIRE_DOCKER="1").startswith("1 passed, 1 error")
