"""`POST /llm`: one shape for every provider (API.md 3.2)."""

from functools import partial

from sanic.response import HTTPResponse

from gateway.api.guard import LLM, Endpoint
from gateway.api.inference import answer_chat, answer_embeddings, answer_json, caller_of, find_route
from gateway.api.services import GatewayRequest
from gateway.dialects import unified
from gateway.dialects.base import Parsed
from gateway.routing.names import Target, is_visible, unknown_provider


async def answer_llm(request: GatewayRequest) -> HTTPResponse | None:
    """Chat, embed, or list models, as the body's `type` says."""
    call = unified.parse(request.body)
    match call:
        case Parsed():
            return await answer_chat(request, unified, call, shows_bare_name=True)
        case unified.EmbeddingsCall():
            write = partial(unified.write_embeddings, call)
            return await answer_embeddings(request, call.request, write, provider=call.provider, shows_bare_name=True)
        case unified.ModelsCall():
            return await _list_models(request, call)


async def _list_models(request: GatewayRequest, call: unified.ModelsCall) -> HTTPResponse:
    services = request.services
    settings = services.settings
    name = call.provider or settings.provider_filter or settings.default_provider
    if call.provider is None and call.model is not None:
        name = find_route(request, call.model).targets[0].provider
    if name not in settings.providers:
        raise unknown_provider(name, settings)
    listed = await services.router.models(name, caller_of(request))
    visible = [model for model in listed if is_visible(Target(provider=name, model=model.id), settings)]
    return answer_json(unified.write_models(name, visible))


ENDPOINTS = (Endpoint("POST", "/llm", answer_llm, LLM),)
