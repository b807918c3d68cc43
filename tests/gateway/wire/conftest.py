"""Every promise is held to on asyncio's loop and on uvloop, and, where it is httpx's interface, by both transports."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from gateway.wire import Wire, WireTransport


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture(params=["wire", "httpx"])
async def client(request: pytest.FixtureRequest, anyio_backend: object) -> AsyncIterator[httpx.AsyncClient]:
    """An httpx client over our transport, and over httpx's own."""
    transport = WireTransport() if request.param == "wire" else httpx.AsyncHTTPTransport()
    async with httpx.AsyncClient(transport=transport, timeout=30) as client:
        yield client


@pytest.fixture
async def wire(anyio_backend: object) -> AsyncIterator[Wire]:
    wire = Wire()
    yield wire
    await wire.aclose()
