"""Every promise is held to over our wire and over httpx's transport."""

from collections.abc import AsyncIterator

import pytest

from gateway.upstream import Upstream


@pytest.fixture(params=["wire", "httpx"])
async def upstream(request: pytest.FixtureRequest, anyio_backend: object) -> AsyncIterator[Upstream]:
    upstream = Upstream(transport=request.param)
    yield upstream
    await upstream.aclose()
