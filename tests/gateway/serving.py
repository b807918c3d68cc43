"""A whole gateway on loopback, made from environment variables as a user would."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from gateway.app import create_app
from gateway.configuration import load
from tests.conftest import serve

NOBODY = "http://127.0.0.1:9"  # the discard port: nobody listens there


@asynccontextmanager
async def gateway(folder: Path, *argv: str, **environ: str) -> AsyncIterator[httpx.AsyncClient]:
    """Serve a gateway with these options and variables; yields a client whose base URL it is."""
    settings = load(argv, {"EXECUTOR_URL": NOBODY, "LLM_RETRIES": "0", **environ}, folder)
    async with serve(create_app(settings)) as url, httpx.AsyncClient(base_url=url, timeout=20) as client:
        yield client
