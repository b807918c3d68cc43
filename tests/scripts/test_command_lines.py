import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(file.name for file in (ROOT / "scripts").iterdir() if os.access(file, os.X_OK) and file.is_file())


def run(*command: str | Path, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=50
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy without git, at a path with a blank."""
    copy = tmp_path / "my projects" / "sandgate"
    shutil.copytree(ROOT / "scripts", copy / "scripts")
    return copy


@pytest.mark.parametrize("name", SCRIPTS)
def test_help_tells_what_a_script_does_wherever_it_is_called_from(checkout: Path, name: str, tmp_path: Path) -> None:
    told = run(checkout / "scripts" / name, "--help", cwd=tmp_path)
    assert (told.returncode, told.stderr) == (0, "")
    assert f"usage: scripts/{name}" in told.stdout


@pytest.mark.parametrize("name", ["up", "down", "check", "fix", "docker-engine", "base-image"])
def test_an_unknown_option_is_one_clear_line(name: str) -> None:
    told = run(ROOT / "scripts" / name, "--bogus")
    assert told.returncode == 1
    assert told.stdout == ""
    assert told.stderr == f"error: unknown option --bogus (scripts/{name} --help)\n"


def test_an_engine_that_does_not_answer_is_told_with_what_to_do(checkout: Path) -> None:
    told = run(checkout / "scripts" / "down", DOCKER_HOST="unix:///nowhere/docker.sock")
    assert told.returncode == 1
    assert told.stderr.startswith("error: the Docker engine does not answer")
    assert len(told.stderr.splitlines()) == 1


def test_a_command_that_fails_quietly_shows_its_output_and_its_exit_status() -> None:
    told = run("bash", "-c", ". scripts/terminal.sh; quietly Trying sh -c 'echo inner; exit 3'")
    assert told.returncode == 3
    assert told.stdout == ""
    assert re.fullmatch(r"inner\nfailed Trying \(after \d+s, exit status 3\)\n", told.stderr)


def test_a_script_that_is_stopped_takes_along_what_it_started() -> None:
    reading, writing = os.pipe()
    script = f". scripts/terminal.sh; quietly Waiting bash -c 'sleep 300 & echo up >&{writing}; wait'"
    with os.fdopen(reading) as held, subprocess.Popen(["bash", "-c", script], cwd=ROOT, pass_fds=[writing]) as running:
        os.close(writing)
        assert held.readline() == "up\n"
        running.send_signal(signal.SIGTERM)
        assert running.wait(10) == 130
        assert held.read() == ""  # comes only when the last process that holds the other end has gone


def test_humaneval_names_the_gateway_that_does_not_answer() -> None:
    told = run(sys.executable, "scripts/humaneval", "tests/data/HumanEval.jsonl.gz", "--url", "http://127.0.0.1:9")
    assert told.returncode == 1
    assert told.stderr.startswith("error: no gateway answers at http://127.0.0.1:9")
    assert len(told.stderr.splitlines()) == 1
