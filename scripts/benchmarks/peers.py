"""LiteLLM and Portkey, each installed once into a folder of its own in the cache."""

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path
from shutil import which

from scripts.benchmarks.processes import free_port
from scripts.benchmarks.systems import System
from scripts.benchmarks.terminal import Unavailable, step

# Later versions of its server answer every streamed request with 500 (Portkey-AI/gateway issue 1389).
PORTKEY = {"dependencies": {"@portkey-ai/gateway": "1.15.2"}, "overrides": {"@hono/node-server": "1.3.3"}}
LITELLM_CONFIG = """
general_settings: {{master_key: {key}}}
model_list:
  - model_name: gpt-4o-mini
    litellm_params: {{model: openai/gpt-4o-mini, api_base: "http://127.0.0.1:{provider}/v1", api_key: bench}}
  - model_name: claude-sonnet-4-5
    litellm_params: {{model: anthropic/claude-sonnet-4-5, api_base: "http://127.0.0.1:{provider}", api_key: bench}}
"""


def cache() -> Path:
    """Where peers are installed."""
    own = os.environ.get("SANDGATE_BENCH_CACHE")
    shared = os.environ.get("XDG_CACHE_HOME")
    folder = Path(own) if own else Path(shared or Path.home() / ".cache") / "sandgate-bench"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def litellm(provider: int, folder: Path) -> System:
    """LiteLLM's proxy, one worker, with a master key (it does not start without one) and no database."""
    home = cache() / "litellm"
    python = home / "bin" / "python"
    if not (home / "installed").exists():
        _install("LiteLLM", [sys.executable, "-m", "venv", str(home)])
        _install("LiteLLM", [str(python), "-m", "pip", "install", "-q", "litellm[proxy]"])
        (home / "installed").touch()
    asked = "import importlib.metadata as m; print(m.version('litellm'))"
    config, port, key = folder / "litellm.yaml", free_port(), f"sk-{secrets.token_hex(32)}"
    config.write_text(LITELLM_CONFIG.format(provider=provider, key=key))
    return System(
        name="LiteLLM",
        version=subprocess.run([python, "-c", asked], capture_output=True, text=True, check=True).stdout.strip(),
        port=port,
        command=(str(home / "bin" / "litellm"), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)),
        environment={"LITELLM_TELEMETRY": "False", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"},
        health="/health/liveliness",
        headers={"authorization": f"Bearer {key}"},
        models={"openai": "gpt-4o-mini", "anthropic": "claude-sonnet-4-5"},
        seconds_to_start=120,
    )


def portkey(provider: int, _folder: Path) -> System:
    """Portkey's gateway on Node."""
    node, home = which("node"), cache() / "portkey"
    if node is None or which("npm") is None:
        raise Unavailable("Portkey needs Node and npm")
    if not (home / "installed").exists():
        home.mkdir(exist_ok=True)
        (home / "package.json").write_text(json.dumps({"private": True, **PORTKEY}))
        _install("Portkey", ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(home)])
        (home / "installed").touch()
    package, port = home / "node_modules" / "@portkey-ai" / "gateway", free_port()
    return System(
        name="Portkey",
        version=json.loads((package / "package.json").read_text())["version"],
        port=port,
        command=(node, str(package / "build" / "start-server.js"), f"--port={port}", "--headless"),
        environment={"NODE_ENV": "production"},
        health="/",
        headers={
            "authorization": "Bearer bench",
            "x-portkey-provider": "openai",
            "x-portkey-custom-host": f"http://127.0.0.1:{provider}/v1",
        },
    )


def _install(name: str, command: list[str]) -> None:
    with step(f"installing {name} into {cache()}"):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip() or "no reason given").splitlines()[-1]
        raise Unavailable(f"{name} could not be installed: {last}")
