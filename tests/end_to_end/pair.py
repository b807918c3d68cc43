"""The pair, brought up for real: a compose project and a port of its own, seen through the gateway."""

import json
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

ROOT = Path(__file__).parents[2]
UP_SECONDS = 1500  # on a fresh machine it builds four images


@dataclass(frozen=True)
class Pair:
    """One running pair. Boxes of its executor bear its project's name as their image."""

    project: str
    url: str
    environment: dict[str, str]

    def run(self, *command: str, seconds: float = 300) -> str:
        """Run a command in the root of the repository; what it prints."""
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=seconds, check=False
        )
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done.stdout

    def execute(self, code: str, **fields: Any) -> dict[str, Any]:
        """Run code through the gateway; the answer's body."""
        answer = httpx.post(f"{self.url}/execute", json={"code": code, **fields}, timeout=90)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def container(self, service: str) -> str:
        """The id of a service's container."""
        return self.listed("ps", f"com.docker.compose.service={service}", self.project_label)[0]

    @property
    def compose(self) -> list[str]:
        """The words that call compose: the plugin or the older program."""
        plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0
        return ["docker", "compose"] if plugin else ["docker-compose"]

    def inspect(self, service: str) -> dict[str, Any]:
        """What the engine knows of a service's container."""
        known: dict[str, Any] = json.loads(self.run("docker", "inspect", self.container(service)))[0]
        return known

    def boxes(self) -> set[str]:
        """The ids of all boxes of this pair's executor, running or not."""
        return set(self.listed("ps", f"sandgate.image={self.project}"))

    @property
    def project_label(self) -> str:
        """What compose marks everything of this pair with."""
        return f"com.docker.compose.project={self.project}"

    def listed(self, kind: str, *labels: str) -> list[str]:
        """Ids of containers ("ps") or networks ("network") with these labels."""
        command = ["docker", "ps", "-aq"] if kind == "ps" else ["docker", kind, "ls", "-q"]
        return self.run(*command, *(f"--filter=label={label}" for label in labels)).split()


def make_pair(port: int) -> Pair:
    """A pair that is not up yet. Of the caller's settings none gets in: empty counts as not set."""
    project = f"sandgate-e2e-{os.getpid()}"
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    names = {entry for service in services.values() for entry in service.get("environment", []) if "=" not in entry}
    environment = {
        **os.environ,
        **dict.fromkeys(names, ""),
        "COMPOSE_PROJECT_NAME": project,
        "GATEWAY_HOST": "",
        "GATEWAY_PORT": str(port),
        "SANDBOX_IMAGES": f"{project}=sandgate-sandbox:base",
        "POOL_SIZE": f"{project}=2",
    }
    return Pair(project=project, url=f"http://127.0.0.1:{port}", environment=environment)


def wait_until(holds: Callable[[], bool], seconds: float) -> None:
    """Ask again and again; an AssertionError if it does not hold in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"did not come true within {seconds} s"
        time.sleep(0.2)
