"""Is it up? `/health` for whoever asks, `/healthz` with what is known of everything behind."""

import time
from datetime import UTC, datetime

import msgspec
from sanic.response import HTTPResponse

from gateway import __version__
from gateway.api.guard import HEALTH, OPEN, Endpoint
from gateway.api.services import GatewayRequest, Services


async def answer_health(request: GatewayRequest) -> HTTPResponse:
    """Answer `ok`, or JSON to a client that names it; never depends on anything else."""
    if "application/json" not in request.headers.get("accept", ""):
        return HTTPResponse("ok", headers={"vary": "Accept"}, content_type="text/plain; charset=utf-8")
    report = {
        "status": "healthy",
        "service": "sandgate",
        "version": __version__,
        "timestamp": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
    }
    return HTTPResponse(msgspec.json.encode(report), headers={"vary": "Accept"}, content_type="application/json")


async def answer_healthz(request: GatewayRequest) -> HTTPResponse:
    """Tell what is known of providers and executor, without asking any of them now."""
    return HTTPResponse(msgspec.json.encode(describe_health(request.services)), content_type="application/json")


def describe_health(services: Services) -> dict[str, object]:
    """Describe the state of the whole: `degraded` when something configured is known to be out of reach."""
    settings = services.settings
    conditions = services.router.conditions
    providers = {
        name: {
            "configured": provider.configured,
            "reachable": conditions.of(name).reachable,
            "resting_seconds": round(conditions.rest_left(name), 1),
        }
        for name, provider in settings.providers.items()
    }
    executor = services.executor.state
    out = [name for name, state in providers.items() if state["configured"] and state["reachable"] is False]
    return {
        "status": "degraded" if out or executor.reachable is False else "ok",
        "uptime_seconds": round(time.monotonic() - services.started, 3),
        "version": __version__,
        "rate_limit": {
            "enabled": settings.limits.enabled,
            "window_seconds": settings.limits.window_seconds,
            "max_requests": settings.limits.max_requests,
        },
        "logging": {"enabled": settings.log_requests, "level": settings.log_level},
        "cors": {"allow_origins": list(allowed_origins(services))},
        "auth": {"enabled": settings.auth.enabled, "modes": list(settings.auth.modes)},
        "providers": providers,
        "executor": {"reachable": executor.reachable, "ready_sandboxes": executor.ready_sandboxes},
    }


def allowed_origins(services: Services) -> tuple[str, ...]:
    """Give the origins that web pages may come from, as the settings stand."""
    if services.settings.cors_allow_origins:
        return services.settings.cors_allow_origins
    return ("*",) if services.settings.auth.enabled else ("http://localhost:*", "http://127.0.0.1:*", "http://[::1]:*")


ENDPOINTS = (
    Endpoint("GET HEAD", "/health", answer_health, HEALTH),
    Endpoint("GET HEAD", "/healthz", answer_healthz, OPEN),
)
