"""What all tests share: the event loop, and real servers on loopback."""

import asyncio
import atexit
import gc
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from sanic import Sanic
from sanic.server import HttpProtocol

from gateway.api.services import Services
from tests.docker_engine import pytest_runtest_setup  # noqa: F401  # pytest finds its hooks here by name
from tests.secret_watch import (
    check_marks,
    heard,
    pytest_runtest_makereport,  # noqa: F401
    pytest_runtest_protocol,  # noqa: F401
    search_remains,
)

# Two apps of one name may live in one process: each test makes its own.
Sanic.test_mode = True

# How long an example takes says how busy the machine is.
settings.register_profile("sandgate", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("sandgate")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def free_port() -> int:
    """A port that nobody listens on, and that the system gives to nobody else until the tests end.

    It is bound and not listened on, which keeps it from whoever takes any port (Linux); who names it, and sets
    SO_REUSEADDR as servers do, gets it.
    """
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    atexit.register(holder.close)
    port: int = holder.getsockname()[1]
    return port


@asynccontextmanager
async def serve(app: Sanic[Any, Any]) -> AsyncIterator[str]:
    """Run `app` on a free port of loopback inside the test's own event loop; yields its URL.

    A gateway is watched while it runs: nothing that it says may have a secret in it (tests.secret_watch).
    """
    services = app.ctx if isinstance(app.ctx, Services) else None
    if services is not None:
        check_marks(services.settings)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    server = await app.create_server(
        sock=listener,
        protocol=HttpProtocol if services is None else heard(),
        return_asyncio_server=True,
        access_log=False,
    )
    assert server is not None
    # CPython 3.11 can fail to parse the router's code when a collection strikes in the middle of it.
    gc.disable()
    try:
        await server.startup()
    finally:
        gc.enable()
    await server.before_start()
    await server.after_start()
    serving = asyncio.ensure_future(server.start_serving())
    await serving
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await server.before_stop()
        await server.close()
        for connection in list(server.connections):
            connection.close() if hasattr(connection, "close") else connection.abort()
        if services is not None:
            await search_remains(services)
        await server.after_stop()
        app.shutdown_tasks(1)
