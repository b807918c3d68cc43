"""How much the gateway brings along: its packages and their size, installed afresh as gateway/Dockerfile does it."""

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from scripts.benchmarks.systems import ROOT
from scripts.benchmarks.terminal import Unavailable, say, step

QUIETLY = ("-q", "--no-warn-script-location", "--disable-pip-version-check")
EXTRA, LEFT_OUT = "redis", "docker"  # what gateway/Dockerfile installs as well, and what it leaves to the executor


def measure(folder: Path) -> dict[str, Any]:
    """Install into `folder`, without pip. Raises `Unavailable`, with the reason, for example without a network.

    Gives `packages` (names with versions, Sandgate itself among them), `mb` (disk space of all, bytecode included,
    10^6 bytes), `bytecode_mb` of it, and `largest` (top-level folders with their MB).
    """
    say("the gateway's packages")
    home = folder / "installation"
    python = home / "bin" / "python"
    with step("installing them afresh"):
        _run(sys.executable, "-m", "venv", "--without-pip", str(home))
        _install(python, "--no-compile", *_requirements())
        _install(python, "--no-compile", "--no-deps", str(ROOT))
        _run(str(python), "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", str(home / "lib"))
    packages = next(home.glob("lib/python*/site-packages"))
    listed = [file.name.removesuffix(".dist-info").split("-", 1) for file in packages.glob("*.dist-info")]
    sizes = {entry.name: _size(entry) for entry in packages.iterdir()}
    return {
        "packages": dict(sorted(listed)),
        "mb": sum(sizes.values()),
        "bytecode_mb": sum(map(_size, packages.rglob("__pycache__"))),
        "largest": dict(sorted(sizes.items(), key=lambda entry: -entry[1])[:8]),
    }


def _requirements() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [package for package in project["dependencies"] if not package.startswith(LEFT_OUT)]
    return [*needed, *project["optional-dependencies"][EXTRA]]


def _install(python: Path, *arguments: str) -> None:
    _run(sys.executable, "-m", "pip", "--python", str(python), "install", *QUIETLY, *arguments)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no reason given").splitlines()[-1]
        raise Unavailable(f"the gateway's packages could not be installed: {last}")


def _size(entry: Path) -> float:
    """Disk space of a file, or of a folder with all that is in it, in MB (10^6 bytes)."""
    files = [entry, *(entry.rglob("*") if entry.is_dir() else ())]
    blocks: int = sum(file.lstat().st_blocks for file in files)
    return blocks * 512 / 1e6
