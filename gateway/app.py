"""The one place where real objects are wired together: settings in, a ready Sanic app out."""

import asyncio
import logging
from functools import partial
from typing import Any
from urllib.parse import unquote, urlsplit

from sanic import Sanic
from sanic.config import Config

from gateway.access.credentials import Credentials
from gateway.access.quotas import Quotas
from gateway.api import (
    anthropic,
    conversation,
    dashboard,
    docs,
    execute,
    guard,
    health,
    llm,
    logs,
    metrics,
    ollama,
    openai,
    passthrough,
    proxy,
    responses,
)
from gateway.api.routes import AnyMethodRouter
from gateway.api.services import Gateway, GatewayRequest, Services
from gateway.execution import Executor
from gateway.messages.models import Model
from gateway.prompts import Prompts
from gateway.providers.stub import StubTransport
from gateway.routing.catalogue import Catalogue
from gateway.routing.conditions import Conditions
from gateway.routing.router import Caller, Router
from gateway.settings import Settings
from gateway.telemetry.calls import CallLog
from gateway.telemetry.logs import configure
from gateway.telemetry.masking import mask
from gateway.telemetry.metrics import Metrics
from gateway.upstream import Upstream
from gateway.upstream.oauth import Tokens
from gateway.upstream.sharing import SharedTokens

log = logging.getLogger(__name__)

MAX_HEADER_BYTES = 16384  # the most that Sanic takes
LIKELY_SECRET = 16  # characters: what else is configured as a header is not blanked out of the logs
GRACEFUL_SECONDS = 30.0  # for running requests and streams after SIGTERM (API.md 1.2)


def create_app(settings: Settings) -> Gateway:
    """Wire the gateway for one process; nothing is contacted before the server has started."""
    config = Config()
    # Of the head too, so never below what that may have; the guard counts the bytes of bodies.
    config.REQUEST_MAX_SIZE = max(settings.max_request_bytes or guard.NO_LIMIT, MAX_HEADER_BYTES)
    config.REQUEST_MAX_HEADER_SIZE = MAX_HEADER_BYTES
    config.RESPONSE_TIMEOUT = 24 * 3600  # deadlines are kept per provider, where they can be explained
    config.KEEP_ALIVE_TIMEOUT = 120
    config.GRACEFUL_SHUTDOWN_TIMEOUT = GRACEFUL_SECONDS
    config.MOTD = False
    configure(settings)
    _mask_secrets(settings)
    services = _wire(settings)
    request_class: Any = GatewayRequest  # Sanic types it as a request of a plain app
    app: Gateway = Sanic(
        "sandgate-gateway", config=config, ctx=services, request_class=request_class, router=AnyMethodRouter()
    )
    guard.install(app, list_endpoints(settings))
    _live(app, services)
    return app


def list_endpoints(settings: Settings) -> tuple[guard.Endpoint, ...]:
    """List every endpoint of the gateway, each with who may use it."""
    endpoints = (
        *health.ENDPOINTS,
        *metrics.ENDPOINTS,
        *llm.ENDPOINTS,
        *openai.ENDPOINTS,
        *responses.ENDPOINTS,
        *anthropic.ENDPOINTS,
        *proxy.ENDPOINTS,
        *execute.ENDPOINTS,
        *ollama.make_endpoints(settings.api_prefix),
        *conversation.make_endpoints(settings.api_prefix),
        *passthrough.make_endpoints(settings),
        *dashboard.ENDPOINTS,
        *logs.ENDPOINTS,
    )
    return (*endpoints, *docs.make_endpoints(settings, endpoints))


def _wire(settings: Settings) -> Services:
    upstream = Upstream(transport=settings.upstream_transport, in_process={"stub": StubTransport()})
    figures = Metrics(workers=settings.workers, folder=settings.runtime_dir, providers=settings.providers)
    calls = CallLog(settings, folder=settings.runtime_dir, on_dropped=figures.calls_dropped)

    def note_rest(provider: str, seconds: float) -> None:
        figures.provider_rested(provider, seconds > 0)
        if seconds > 0:
            calls.event("provider_resting", f"{provider} is left alone for {seconds:g} s", provider=provider)
            asyncio.get_running_loop().call_later(seconds, end_rest, provider)

    def end_rest(provider: str) -> None:
        if not conditions.rest_left(provider):
            figures.provider_rested(provider, False)

    conditions = Conditions(settings.provider_rest_seconds, report=partial(_note_turn, calls), report_rest=note_rest)
    tokens = Tokens(upstream, report=partial(_note_token, calls), keep_secret=mask, shared=_share_tokens(settings))

    async def fetch(provider: str) -> tuple[Model, ...]:
        return await router.models(provider, Caller(request_id="catalogue"))

    catalogue = Catalogue(
        _listed_providers(settings),
        fetch,
        tell=figures.know,
        folder=settings.data_dir or settings.runtime_dir,
        identities={name: f"{known.kind} {known.base_url}" for name, known in settings.providers.items()},
    )
    router = Router(settings, upstream, conditions, catalogue.owners, tokens)
    return Services(
        settings=settings,
        upstream=upstream,
        router=router,
        catalogue=catalogue,
        executor=Executor(settings.executor_url, settings.executor_secret, upstream),
        credentials=Credentials(settings.auth),
        quotas=Quotas(settings.limits, on_unchecked=figures.storage_trouble),
        prompts=Prompts(settings.prompts_dir, settings.default_language),
        metrics=figures,
        calls=calls,
    )


def _share_tokens(settings: Settings) -> SharedTokens | None:
    if settings.token_memory is None or settings.runtime_dir is None:
        return None
    return SharedTokens(
        settings.token_memory,
        settings.runtime_dir,
        [name for name, provider in settings.providers.items() if provider.oauth],
    )


def _note_turn(calls: CallLog, provider: str, up: bool) -> None:  # noqa: FBT001  # the shape that Conditions reports in
    if up:
        calls.event("provider_up", f"{provider} is answering again", provider=provider)
    else:
        calls.event("provider_down", f"{provider} is failing", provider=provider)


def _note_token(calls: CallLog, provider: str, news: float | str) -> None:
    if isinstance(news, str):
        message = f"no OAuth token for {provider}: its token endpoint {news}"
        calls.event("token_refresh_failed", message, provider=provider)
    else:
        message = f"a new OAuth token for {provider}, good for {news:g} s"
        calls.event("token_refresh", message, provider=provider, seconds=round(news, 3))


def _mask_secrets(settings: Settings) -> None:
    """Tell the last line of defence what may never stand in a log line or a row."""
    auth = settings.auth
    secrets = [key.key for key in auth.keys]
    secrets += [auth.jwt_secret or "", settings.executor_secret or "", settings.generated_key or ""]
    addresses = [settings.executor_url, settings.limits.storage_uri or ""]
    for provider in settings.providers.values():
        secrets += [provider.api_key or "", provider.oauth.client_secret if provider.oauth else ""]
        secrets += [value for value in provider.headers.values() if len(value) >= LIKELY_SECRET]
        addresses += [provider.base_url, provider.oauth.token_endpoint if provider.oauth else ""]
    secrets += [unquote(urlsplit(address).password or "") for address in addresses]
    for secret in secrets:
        mask(secret)


def _listed_providers(settings: Settings) -> tuple[str, ...]:
    if settings.placeholder_mode:
        return ("stub",)
    configured = tuple(name for name, provider in settings.providers.items() if provider.configured)
    return configured or (settings.default_provider,)


def _live(app: Gateway, services: Services) -> None:
    """Start what runs in the background with the server, and end it with the server."""

    async def start(_app: Gateway) -> None:
        await services.calls.start()
        services.calls.event("start", "the gateway has started")
        services.catalogue.start()
        services.executor.start(partial(_note_executor, services.calls))

    async def stop(_app: Gateway) -> None:
        await services.catalogue.stop()
        await services.router.stop()
        await services.executor.stop()
        services.calls.event("stop", "the gateway has stopped")
        await services.calls.stop()
        await services.quotas.close()
        await services.upstream.aclose()

    async def end_feeds(_app: Gateway) -> None:
        services.stopping.set()

    app.before_server_start(start)
    app.before_server_stop(end_feeds)
    app.after_server_stop(stop)


def _note_executor(calls: CallLog, up: bool) -> None:  # noqa: FBT001  # the shape that Executor reports in
    if up:
        calls.event("executor_up", "the executor is reachable again")
    else:
        calls.event("executor_down", "the executor cannot be reached")
