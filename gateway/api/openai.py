"""OpenAI's dialect under `/v1`, and the same without `/v1` (API.md 3.3)."""

from collections.abc import Coroutine
from typing import Any
from urllib.parse import unquote

from sanic.response import HTTPResponse

from gateway.api.completions import answer_completions
from gateway.api.guard import ADMIN, LLM, LLM_RAW, Endpoint
from gateway.api.inference import (
    answer_embeddings,
    answer_json,
    list_visible,
)
from gateway.api.services import GatewayRequest
from gateway.api.shortcut import answer_natively
from gateway.dialects import embeddings, models, openai_chat
from gateway.dialects.base import Head
from gateway.dialects.passing import OPENAI
from gateway.errors import GatewayError
from gateway.messages.embeddings import EmbeddingsReply
from gateway.routing.names import unknown_model


def answer_chat_completions(request: GatewayRequest) -> Coroutine[Any, Any, HTTPResponse | None]:
    """Chat as OpenAI's Chat Completions do."""
    return answer_natively(request, openai_chat, OPENAI)


async def embed(request: GatewayRequest) -> HTTPResponse:
    """Embed as OpenAI does."""
    parsed = embeddings.parse(request.body)

    def write(reply: EmbeddingsReply, head: Head) -> dict[str, Any]:
        return embeddings.write_reply(reply, head.model, as_base64=parsed.as_base64)

    return await answer_embeddings(request, parsed.request, write)


async def answer_models(request: GatewayRequest) -> HTTPResponse:
    """List the models of all providers, and the aliases."""
    entries = [(entry.id, entry.created, entry.provider) for entry in list_visible(request)]
    return answer_json(models.write_list(entries))


async def answer_model(request: GatewayRequest, model_id: str) -> HTTPResponse:
    """Show one model; its id may hold `:` and `/`."""
    if not model_id:
        return await answer_models(request)  # a trailing slash, no id
    asked = unquote(model_id).rstrip("/")
    settings = request.services.settings
    if settings.placeholder_mode:
        return answer_json(models.write_model(asked, 0, "stub"))
    for entry in list_visible(request):
        if asked in (entry.id, entry.model):
            return answer_json(models.write_model(asked, entry.created, entry.provider))
    raise unknown_model(asked)


async def refresh_models(request: GatewayRequest) -> HTTPResponse:
    """Ask all providers for their models now."""
    outcomes = await request.services.catalogue.refresh()
    told = {
        name: {"error": outcome.message} if isinstance(outcome, GatewayError) else {"models": outcome}
        for name, outcome in outcomes.items()
    }
    return answer_json({"object": "list", "providers": told})


ENDPOINTS = tuple(
    endpoint
    for root in ("/v1", "")
    for endpoint in (
        Endpoint("POST", f"{root}/chat/completions", answer_chat_completions, LLM),
        Endpoint("POST", f"{root}/completions", answer_completions, LLM),
        Endpoint("POST", f"{root}/embeddings", embed, LLM),
        Endpoint("GET HEAD", f"{root}/models", answer_models, LLM_RAW),
        Endpoint("GET HEAD", f"{root}/models/<model_id:path>", answer_model, LLM_RAW),
        Endpoint("POST", f"{root}/models/refresh", refresh_models, ADMIN),
    )
)
