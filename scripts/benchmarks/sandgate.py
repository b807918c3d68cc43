"""Sandgate as it is measured: with everything on that costs, and with one thing or another taken away."""

import os
import secrets
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from gateway import __version__
from scripts.benchmarks.processes import TWO_CORES, free_port
from scripts.benchmarks.systems import HERE, ROOT, System
from scripts.benchmarks.terminal import CannotMeasure

# Far above what is sent, so that nothing is refused; a moving window of a second keeps the times of its hits only.
RATE_LIMIT = "200000/second"
MODELS = {
    "openai": "openai:gpt-4o-mini",
    "anthropic": "anthropic:claude-sonnet-4-5",
    "gemini": "gemini:gemini-2.5-flash",
}


def whole(provider: int, folder: Path) -> System:
    """With JWT, rate limit, metrics and call log on disk; its token is good for the call log, too."""
    return _guarded("Sandgate", provider, folder)


def unguarded(provider: int, _folder: Path) -> System:
    """Without JWT and rate limit. Metrics and call log stay."""
    return _system("Sandgate, guard off", _environment(provider))


def two_workers(provider: int, folder: Path) -> System:
    """The whole, with two workers on two cores; where there are but two, load and mock provider share one of them."""
    system = _guarded("Sandgate, 2 workers", provider, folder, "--workers", "2")
    return replace(system, cores=TWO_CORES, only_throughput=True)


def two_on_one_core(provider: int, folder: Path) -> System:
    """The whole, with two workers on the core under test: what the load does costs them nothing."""
    return _guarded("Sandgate, 2 workers on 1 core", provider, folder, "--workers", "2")


def unlogged(provider: int, folder: Path) -> System:
    """The same without call log, which takes a program of its own: no setting switches it off."""
    return _silenced("log", "Sandgate, 2 workers on 1 core, call log off", provider, folder)


def uncounted(provider: int, folder: Path) -> System:
    """The same without metrics."""
    return _silenced("metrics", "Sandgate, 2 workers on 1 core, metrics off", provider, folder)


def _silenced(part: str, name: str, provider: int, folder: Path) -> System:
    system = _guarded(name, provider, folder, "--workers", "2")
    python, _, _, *options = system.command
    return replace(system, command=(python, str(HERE / "silenced_gateway.py"), part, *options))


def _guarded(name: str, provider: int, folder: Path, *options: str) -> System:
    environment = {
        **_environment(provider),
        "ENABLE_AUTH": "true",
        "JWT_SECRET": secrets.token_hex(32),
        "RATE_LIMIT": RATE_LIMIT,
        "DATA_DIR": str(folder / "calls"),
    }
    command = [sys.executable, "-m", "gateway", "token", "--sub", "bench", "--scope", "llm,admin", "--ttl", "1d"]
    made = subprocess.run(
        command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    if made.returncode:
        raise CannotMeasure(f"the gateway makes no token: {made.stderr.strip()}")
    system = _system(name, environment, {"authorization": f"Bearer {made.stdout.strip()}"}, *options)
    return replace(system, has_call_log=True)


def _system(name: str, environment: dict[str, str], headers: dict[str, str] | None = None, *options: str) -> System:
    port = free_port()
    return System(
        name=name,
        version=__version__,
        port=port,
        command=(sys.executable, "-m", "gateway", "--port", str(port), *options),
        environment=environment,
        headers=headers or {},
        models=MODELS,
    )


def _environment(provider: int) -> dict[str, str]:
    root = f"http://127.0.0.1:{provider}"
    return {
        "PYTHONPATH": str(ROOT),
        "OPENAI_BASE_URL": f"{root}/v1",
        "ANTHROPIC_BASE_URL": root,
        "GEMINI_BASE_URL": root,
        "OPENAI_API_KEY": "bench",
        "ANTHROPIC_API_KEY": "bench",
        "GEMINI_API_KEY": "bench",
    }
