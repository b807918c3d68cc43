"""Ollama's API under `{prefix}`, for every provider (API.md 3.5)."""

from sanic.response import HTTPResponse

from gateway.api.guard import LLM_ANY_TYPE, LLM_RAW, Endpoint
from gateway.api.inference import answer_chat, answer_embeddings, answer_json, find_route, list_visible, make_head
from gateway.api.services import GatewayRequest
from gateway.api.shortcut import answer_natively
from gateway.dialects import ollama as chats
from gateway.dialects import ollama_embeddings, ollama_generate, ollama_models
from gateway.dialects.base import Parsed
from gateway.dialects.passing import OLLAMA
from gateway.messages.models import Model
from gateway.routing.listing import Listed
from gateway.routing.names import unknown_model

_NOTHING = (0, "0", "0s")


async def answer_ollama_chat(request: GatewayRequest) -> HTTPResponse | None:
    """Chat as Ollama does, streamed unless told otherwise."""
    if OLLAMA.asks(request.body):
        return await answer_natively(request, chats, OLLAMA)
    return _answer_loaded(request, chats.parse(request.body))


async def answer_generate(request: GatewayRequest) -> HTTPResponse | None:
    """Complete a prompt as Ollama does."""
    parsed = ollama_generate.parse(request.body)
    if not parsed.chat.messages:
        return _answer_loaded(request, parsed, chat=False)
    return await answer_chat(request, ollama_generate, parsed)


def _answer_loaded(request: GatewayRequest, parsed: Parsed, *, chat: bool = True) -> HTTPResponse:
    """Answer a request to load a model (or, with `keep_alive` 0, to unload it) without contacting anybody."""
    target = find_route(request, parsed.chat.model).targets[0]
    body = chats.write_loaded(make_head(request, target, parsed.chat.model), chat=chat)
    if parsed.chat.options.extra.get("keep_alive") in _NOTHING:
        body["done_reason"] = "unload"
    return answer_json(body)


async def answer_embed(request: GatewayRequest) -> HTTPResponse:
    """Embed texts as Ollama does."""
    wanted = ollama_embeddings.parse_embed(request.body)
    return await answer_embeddings(request, wanted, ollama_embeddings.write_embed)


async def answer_old_embeddings(request: GatewayRequest) -> HTTPResponse:
    """Embed one text in the older form."""
    wanted = ollama_embeddings.parse_embeddings(request.body)
    return await answer_embeddings(request, wanted, ollama_embeddings.write_embeddings)


async def list_tags(request: GatewayRequest) -> HTTPResponse:
    """List the models of all providers, and the aliases, as Ollama does."""
    languages = request.services.prompts.languages()
    tags = [
        ollama_models.write_tag(entry.id, _describe(entry), entry.provider, languages)
        for entry in list_visible(request)
    ]
    return answer_json({"models": tags})


async def show_model(request: GatewayRequest) -> HTTPResponse:
    """Tell what is known of one model."""
    asked = ollama_models.parse_show(request.body)
    for entry in list_visible(request):
        if asked in (entry.id, entry.model, f"{entry.id}:latest"):
            return answer_json(ollama_models.write_show(_describe(entry), entry.provider))
    raise unknown_model(asked)


async def list_running(request: GatewayRequest) -> HTTPResponse:
    """List what is loaded: nothing that the gateway would know of."""
    del request
    return answer_json({"models": []})


async def answer_version(request: GatewayRequest) -> HTTPResponse:
    """Tell the version of Ollama's API that is spoken here."""
    del request
    return answer_json(ollama_models.write_version())


def _describe(entry: Listed) -> Model:
    return Model(id=entry.model, created=entry.created, owned_by=entry.provider, details=entry.details)


def make_endpoints(prefix: str) -> tuple[Endpoint, ...]:
    """Make the endpoints under a prefix.

    Ollama takes a body without asking what it is, and its documentation shows curl, which calls it a form.
    """
    return (
        Endpoint("POST", f"{prefix}/chat", answer_ollama_chat, LLM_ANY_TYPE),
        Endpoint("POST", f"{prefix}/generate", answer_generate, LLM_ANY_TYPE),
        Endpoint("POST", f"{prefix}/embed", answer_embed, LLM_ANY_TYPE),
        Endpoint("POST", f"{prefix}/embeddings", answer_old_embeddings, LLM_ANY_TYPE),
        Endpoint("POST", f"{prefix}/show", show_model, LLM_ANY_TYPE),
        Endpoint("GET HEAD", f"{prefix}/tags", list_tags, LLM_RAW),
        Endpoint("GET HEAD", f"{prefix}/ps", list_running, LLM_RAW),
        Endpoint("GET HEAD", f"{prefix}/version", answer_version, LLM_RAW),
    )
