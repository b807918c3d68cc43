"""The systems under test: how each is started before the mock provider, and how it is asked."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from shutil import which

from scripts.benchmarks.load import Request
from scripts.benchmarks.machine import install, said_by
from scripts.benchmarks.processes import SUBJECT_CORES, free_port
from scripts.benchmarks.terminal import Unavailable

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CHAT = "/v1/chat/completions"
QUESTION = "What is the capital of France? Answer in one sentence and name the river that it stands on."


@dataclass(frozen=True, kw_only=True, slots=True)
class System:
    """A proxy: its command (listening on `port`), where its health is asked, what goes with a request.

    `models` are the names of models by the dialect that the provider behind them speaks; it runs on `cores`.
    """

    name: str
    version: str
    port: int
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    health: str = "/health"
    headers: Mapping[str, str] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=lambda: {"openai": "gpt-4o-mini"})
    seconds_to_start: float = 20.0
    cores: frozenset[int] = SUBJECT_CORES
    only_throughput: bool = False
    has_call_log: bool = False

    def ask(self, provider: str = "openai", stream: tuple[int, int] | None = None) -> Request:
        """A chat in OpenAI's dialect; `stream` is how many chunks, how many ms apart."""
        question = QUESTION if stream is None else f"[chunks {stream[0]} every {stream[1]} ms] {QUESTION}"
        body = {
            "model": self.models[provider],
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": question}],
            "temperature": 0.2,
            "max_tokens": 100,
        }
        return Request(CHAT, dict(self.headers), body if stream is None else {**body, "stream": True})


Make = Callable[[int, Path], System]
"""Takes the mock provider's port and a folder for files; raises `Unavailable`."""


def direct(provider: int, _folder: Path) -> System:
    """The mock provider itself."""
    return System(name="direct", version="", port=provider, command=(), health="/v1/models")


def nginx(provider: int, folder: Path) -> System:
    """nginx as plain reverse proxy: one worker, connections kept alive, nothing buffered or logged."""
    program = which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None and install("nginx-light"):
        program = which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        raise Unavailable("nginx is not installed (Debian: apt install nginx-light)")
    port = free_port()
    configuration = folder / "nginx.conf"
    configuration.write_text(NGINX.format(folder=folder, port=port, provider=provider))
    return System(
        name="nginx",
        version=said_by(program, "-v").rpartition("/")[2],
        port=port,
        command=(program, "-p", str(folder), "-c", str(configuration), "-e", str(folder / "nginx.log")),
        health="/v1/models",
    )


def plain_proxy(provider: int, _folder: Path) -> System:
    """Sanic + httpx as everybody writes it."""
    port = free_port()
    return System(
        name="Sanic + httpx",
        version=f"{version('sanic')} + {version('httpx')}",
        port=port,
        command=(sys.executable, str(HERE / "plain_proxy.py"), str(port), f"http://127.0.0.1:{provider}"),
    )


NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.log error;
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests 1000000000; tcp_nodelay on; client_body_buffer_size 64k;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  upstream provider {{ server 127.0.0.1:{provider}; keepalive 256; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://provider; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    }}
  }}
}}
"""
