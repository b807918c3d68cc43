"""What becomes of tests marked `docker` without an engine: skipped on a laptop, failed where Docker is required."""

import functools
import os
import subprocess

import pytest

REQUIRED = "SANDGATE_REQUIRE_DOCKER"


@functools.cache
def engine_trouble() -> str | None:
    """None if a Docker engine answers, else why not."""
    try:
        asked = subprocess.run(["docker", "version"], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None if asked.returncode == 0 else asked.stderr.strip().splitlines()[-1]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Hold a test that needs an engine to having one, before its fixtures are made."""
    if item.get_closest_marker("docker") is None:
        return
    trouble = engine_trouble()
    if trouble is None:
        return
    if os.environ.get(REQUIRED):
        pytest.fail(f"{REQUIRED} is set and no Docker engine answers: {trouble}", pytrace=False)
    pytest.skip(f"no Docker engine answers: {trouble}")
