"""`GET /metrics`: Prometheus text (API.md 4.4)."""

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sanic import Blueprint, HTTPResponse, Request

from executor.api.answers import ID_HEADER, request_id
from executor.api.services import services_of

blueprint = Blueprint("metrics")


@blueprint.get("/metrics")
@blueprint.head("/metrics", name="metrics_head")
async def metrics(request: Request) -> HTTPResponse:
    """Tell what has been counted."""
    return HTTPResponse(
        generate_latest(services_of(request).meters.registry),
        content_type=CONTENT_TYPE_LATEST,
        headers={ID_HEADER: request_id(request)},
    )
