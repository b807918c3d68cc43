"""The mock provider and the load generator, both in C so that they are never what is measured."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from typing import Any

from scripts.benchmarks.machine import install
from scripts.benchmarks.processes import LOAD_CORES, free_port, running, wait_for_answer
from scripts.benchmarks.terminal import CannotMeasure

HERE = Path(__file__).parent
SPARE_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent again and again: the path, headers beyond the usual, the body."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    def write(self, file: Path) -> Path:
        """Write it as it goes over the wire."""
        body = json.dumps(self.body, separators=(",", ":"))
        headers = {
            "host": "127.0.0.1",
            "content-type": "application/json",
            "accept": "*/*",
            "user-agent": "sandgate-bench",
            **self.headers,
            "content-length": str(len(body)),
        }
        lines = [f"POST {self.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", body]
        file.write_text("\r\n".join(lines))
        return file


@dataclass(frozen=True, slots=True)
class Load:
    """The load generator and a folder for its request files; every method runs it once and gives its figures.

    It runs where the caller runs, and is to be called on the cores for load.
    """

    program: Path
    folder: Path

    def closed(
        self, port: int, request: Request, *, connections: int, seconds: float, warm_up: float = 0
    ) -> dict[str, Any]:
        """As many requests as are answered; those of the warm-up, on the same connections, count in `all` only."""
        return self._run("closed", port, request, connections, warm_up, seconds, 0)

    def repeat(self, port: int, request: Request, *, connections: int, requests: int, within: float) -> dict[str, Any]:
        """A number of requests, as fast as they are answered."""
        return self._run("closed", port, request, connections, 0, within, requests)

    def open(self, port: int, request: Request, *, rate: int, warm_up: float, seconds: float) -> dict[str, Any]:
        """A fixed schedule of so many requests a second, whatever the answers do."""
        return self._run("open", port, request, rate, warm_up, seconds)

    def streams(
        self, port: int, request: Request, *, connections: int, rounds: int, within: float, chunks: int
    ) -> dict[str, Any]:
        """Streams read to their end, `rounds` on each connection; 0: until `within` seconds are over."""
        return self._run("streams", port, request, connections, rounds, within, chunks)

    def _run(self, way: str, port: int, request: Request, *arguments: float) -> dict[str, Any]:
        command = [str(self.program), way, str(port), str(request.write(self.folder / "request"))]
        done = subprocess.run(
            [*command, *(str(argument) for argument in arguments)],
            capture_output=True,
            text=True,
            check=False,
            timeout=arguments[2] + (arguments[1] if way != "streams" else 0) + SPARE_SECONDS,
        )
        if done.returncode:
            raise CannotMeasure(f"the load generator failed: {done.stderr.strip()}")
        figures: dict[str, Any] = json.loads(done.stdout)
        return figures


def build(folder: Path) -> tuple[Path, Load]:
    """Compile both programs into `folder`; gives the mock provider and the load generator."""
    compiler = which("cc") or which("gcc") or which("clang")
    if compiler is None:
        install("gcc", "libc6-dev")
        compiler = which("cc") or which("gcc")
    if compiler is None:
        raise CannotMeasure("no C compiler was found: install one (Debian: apt install gcc libc6-dev)")
    for name in ("mock_provider", "load"):
        made = subprocess.run(
            [compiler, "-O2", "-o", folder / name, HERE / f"{name}.c"], capture_output=True, text=True, check=False
        )
        if made.returncode:
            raise CannotMeasure(f"{name}.c does not compile here:\n{made.stderr}")
    return folder / "mock_provider", Load(folder / "load", folder)


@contextmanager
def providing(program: Path, folder: Path) -> Iterator[int]:
    """Run the mock provider; yields its port."""
    port, here = free_port(), folder / "provider"
    with running([str(program), str(port)], folder=here, on_cores=LOAD_CORES) as process:
        wait_for_answer(process, port, "/v1/models", folder=here, within=5)
        yield port
