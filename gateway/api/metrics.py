"""`GET /metrics`: Prometheus' text format (API.md 3.1)."""

import asyncio

from prometheus_client import CONTENT_TYPE_LATEST
from sanic.response import HTTPResponse

from gateway.api.guard import OPEN, Endpoint
from gateway.api.services import GatewayRequest


async def answer_metrics(request: GatewayRequest) -> HTTPResponse:
    """Expose the counters of all workers."""
    services = request.services
    if services.settings.workers == 1:
        return HTTPResponse(services.metrics.expose(), content_type=CONTENT_TYPE_LATEST)
    text = await asyncio.to_thread(services.metrics.expose)  # reads the files of all workers
    return HTTPResponse(text, content_type=CONTENT_TYPE_LATEST)


ENDPOINTS = (Endpoint("GET HEAD", "/metrics", answer_metrics, OPEN),)
