"""The dashboard: its page at `/`, its files, and the effective configuration (API.md 3.6)."""

from typing import Any

from sanic.response import HTTPResponse

from gateway import __version__
from gateway.api.assets import send_asset
from gateway.api.guard import ADMIN, OPEN, Endpoint
from gateway.api.health import allowed_origins
from gateway.api.inference import answer_json
from gateway.api.services import GatewayRequest, Services
from gateway.configuration.report import without_password
from gateway.settings import AuthSettings, LimitSettings, ProviderSettings, Settings, masked


async def show_page(request: GatewayRequest) -> HTTPResponse:
    """Serve the page."""
    return await send_asset(request, "index.html")


async def show_file(request: GatewayRequest, path: str) -> HTTPResponse:
    """Serve one of the files that the pages are made of."""
    return await send_asset(request, path)


async def show_configuration(request: GatewayRequest) -> HTTPResponse:
    """Tell the effective configuration; the access keys in full, every other secret masked."""
    described = describe_configuration(request.services)
    return answer_json({"base_url": find_base_url(request), **described}, {"cache-control": "no-store"})


def find_base_url(request: GatewayRequest) -> str:
    """Give the address that the client reached the gateway at; a trusted proxy may say that it was https."""
    settings = request.services.settings
    forwarded = request.headers.get("x-forwarded-proto", "") if settings.trusted_proxies else ""
    scheme = "https" if forwarded.strip().lower() == "https" else request.scheme
    return f"{scheme}://{request.headers.get('host') or f'{settings.host}:{settings.port}'}"


def describe_configuration(services: Services) -> dict[str, Any]:
    """Describe all settings of a running gateway."""
    settings = services.settings
    return {
        "version": __version__,
        "host": settings.host,
        "port": settings.port,
        "workers": settings.workers,
        "debug": settings.debug,
        "api_prefix": settings.api_prefix,
        "default_provider": settings.default_provider,
        "providers": [_provider(provider) for provider in settings.providers.values()],
        "models": {
            name: {"model": entry.model, "fallbacks": list(entry.fallbacks), "options": dict(entry.options)}
            for name, entry in settings.models.items()
        },
        "model_provider_map": dict(settings.model_provider_map),
        "filters": {"provider": settings.provider_filter, "model": settings.model_filter},
        "placeholder_mode": settings.placeholder_mode,
        "passthrough_provider": settings.passthrough_provider,
        "provider_rest_seconds": settings.provider_rest_seconds,
        "auth": _auth(settings.auth),
        "limits": _limits(settings.limits) | {"max_request_bytes": settings.max_request_bytes},
        "cors": {"allow_origins": list(allowed_origins(services)), "allowed_hosts": list(settings.allowed_hosts)},
        "trusted_proxies": settings.trusted_proxies,
        "executor": {
            "url": without_password(settings.executor_url),
            "secret": masked(settings.executor_secret),
        },
        "logging": _logging(settings),
        "prompts": {
            "folder": str(settings.prompts_dir) if settings.prompts_dir else None,
            "default_language": settings.default_language,
            "languages": list(services.prompts.languages()),
        },
        "config_file": str(settings.config_file) if settings.config_file else None,
        "notes": list(settings.notes),
    }


def _provider(provider: ProviderSettings) -> dict[str, Any]:
    oauth = provider.oauth
    return {
        "name": provider.name,
        "kind": provider.kind,
        "base_url": without_password(provider.base_url),
        "configured": provider.configured,
        "api_key": masked(provider.api_key),
        "key_source": provider.key_source,
        "headers": {name: masked(value) for name, value in provider.headers.items()},
        "timeout_seconds": provider.timeout_seconds,
        "retries": provider.retries,
        "oauth": None
        if oauth is None
        else {
            "token_endpoint": without_password(oauth.token_endpoint),
            "client_id": oauth.client_id,
            "client_secret": masked(oauth.client_secret),
            "scope": oauth.scope,
            "refresh_buffer_minutes": oauth.refresh_buffer_minutes,
        },
    }


def _auth(auth: AuthSettings) -> dict[str, Any]:
    return {
        "enabled": auth.enabled,
        "modes": list(auth.modes),
        "keys": [
            {
                "name": key.name,
                "key": key.key,  # only a caller with `admin` gets here
                "scopes": sorted(key.scopes),
                "models": list(key.models),
                "requests": key.requests,
                "executions": key.executions,
            }
            for key in auth.keys
        ],
        "jwt_secret": masked(auth.jwt_secret),
        "jwks_url": without_password(auth.jwks_url) if auth.jwks_url else None,
        "issuer": auth.issuer,
        "audience": auth.audience,
        "algorithms": list(auth.algorithms),
    }


def _limits(limits: LimitSettings) -> dict[str, Any]:
    return {
        "enabled": limits.enabled,
        "window_seconds": limits.window_seconds,
        "max_requests": limits.max_requests,
        "requests": limits.requests,
        "executions": limits.executions,
        "storage_uri": without_password(limits.storage_uri).partition("?")[0] if limits.storage_uri else None,
    }


def _logging(settings: Settings) -> dict[str, Any]:
    return {
        "level": settings.log_level,
        "requests": settings.log_requests,
        "format": settings.log_format,
        "file": str(settings.log_file) if settings.log_file else None,
        "bodies": settings.log_bodies,
        "data_dir": str(settings.data_dir) if settings.data_dir else None,
    }


ENDPOINTS = (
    Endpoint("GET HEAD", "/", show_page, OPEN),
    Endpoint("GET HEAD", "/static/<path:path>", show_file, OPEN),
    Endpoint("GET HEAD", "/api/config", show_configuration, ADMIN),
)
