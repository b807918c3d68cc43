"""The docs: `/openapi.json`, and Swagger UI and ReDoc over it, all from the package (API.md 3.1)."""

import asyncio
from collections.abc import Sequence

import msgspec
from sanic.response import HTTPResponse

from gateway.api.assets import docs_policy, send_asset
from gateway.api.guard import OPEN, Endpoint
from gateway.api.openapi import write_document
from gateway.api.services import GatewayRequest
from gateway.settings import Settings


async def show_swagger(request: GatewayRequest) -> HTTPResponse:
    """Serve Swagger UI, where requests can be tried."""
    return await send_asset(request, "docs.html", docs_policy())


async def show_redoc(request: GatewayRequest) -> HTTPResponse:
    """Serve ReDoc, for reading."""
    return await send_asset(request, "redoc.html", docs_policy())


class _Document:
    """The handler of `/openapi.json`; the document is written when it is first asked for."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.endpoints: tuple[Endpoint, ...] = ()
        self._written: bytes | None = None
        self.__name__ = "show_document"

    async def __call__(self, request: GatewayRequest) -> HTTPResponse:
        """Serve the document."""
        del request
        if self._written is None:
            self._written = await asyncio.to_thread(self._write)
        return HTTPResponse(self._written, headers={"cache-control": "no-cache"}, content_type="application/json")

    def _write(self) -> bytes:
        return msgspec.json.encode(write_document(self.endpoints, self._settings))


def make_endpoints(settings: Settings, others: Sequence[Endpoint]) -> tuple[Endpoint, ...]:
    """Make the endpoints of the docs, which document `others` and themselves."""
    document = _Document(settings)
    own = (
        Endpoint("GET HEAD", "/openapi.json", document, OPEN),
        Endpoint("GET HEAD", "/docs", show_swagger, OPEN),
        Endpoint("GET HEAD", "/redoc", show_redoc, OPEN),
    )
    document.endpoints = (*others, *own)
    return own
