"""Anthropic's Messages under `/v1/messages`, for every provider (API.md 3.3)."""

import msgspec
from sanic.response import HTTPResponse

from gateway.api.guard import LLM, Endpoint
from gateway.api.inference import answer_json, caller_of, find_route
from gateway.api.services import GatewayRequest
from gateway.api.shortcut import answer_natively
from gateway.dialects import anthropic as messages
from gateway.dialects.passing import ANTHROPIC
from gateway.errors import UnusableAnswer
from gateway.messages.chat import ChatRequest, ImagePart
from gateway.providers.base import UpstreamRequest
from gateway.routing.names import Route
from gateway.routing.router import Opened

#: A token is about four characters of English, an image at most about 1600 tokens (Anthropic, "Vision").
CHARACTERS_PER_TOKEN = 4
TOKENS_PER_IMAGE = 1600
MAX_COUNT_BYTES = 65536

_COUNT_PATH = "/v1/messages/count_tokens"
_NATIVE_HEADERS = ("anthropic-version", "anthropic-beta")


class _Count(msgspec.Struct):
    input_tokens: int


async def answer_messages(request: GatewayRequest) -> HTTPResponse | None:
    """Chat as Anthropic's Messages do."""
    return await answer_natively(request, messages, ANTHROPIC)


async def count_tokens(request: GatewayRequest) -> HTTPResponse:
    """Count the tokens of a request: Anthropic is asked about its own models, for others it is an estimate."""
    chat = messages.parse_count(request.body).chat
    route = find_route(request, chat.model)
    if request.services.settings.providers[route.targets[0].provider].kind == "anthropic":
        return await _ask_for_count(request, route)
    return answer_json(messages.write_count(estimate_tokens(chat)))


async def _ask_for_count(request: GatewayRequest, route: Route) -> HTTPResponse:
    target = route.targets[0]
    body = ANTHROPIC.write_request(ANTHROPIC.read(request.body), target.model)
    headers = tuple((name, request.headers[name]) for name in _NATIVE_HEADERS if name in request.headers)
    asked = UpstreamRequest(path=_COUNT_PATH, body=body, headers=headers)
    only = Route(asked=route.asked, targets=(target,))
    _, counted = await request.services.router.fetch(only, lambda _: asked, caller_of(request), _take_count)
    return HTTPResponse(counted, content_type="application/json")


async def _take_count(opened: Opened) -> bytes:
    counted = await opened.answer.read(MAX_COUNT_BYTES)
    try:
        msgspec.json.decode(counted, type=_Count)
    except msgspec.DecodeError as error:
        raise UnusableAnswer("The provider gave no count.") from error
    return counted


def estimate_tokens(chat: ChatRequest) -> int:
    """Estimate the tokens of a chat from its characters; providers cannot count without answering."""
    parts = [part for message in chat.messages for part in message.content]
    images = sum(isinstance(part, ImagePart) for part in parts)
    characters = sum(len(part.text) for part in parts if not isinstance(part, ImagePart))
    characters += sum(len(call.name) + len(call.arguments) for message in chat.messages for call in message.tool_calls)
    characters += sum(len(msgspec.json.encode(tool)) for tool in chat.options.tools)
    return max(1, -(-characters // CHARACTERS_PER_TOKEN)) + images * TOKENS_PER_IMAGE


ENDPOINTS = tuple(
    endpoint
    for root in ("/v1", "")
    for endpoint in (
        Endpoint("POST", f"{root}/messages", answer_messages, LLM),
        Endpoint("POST", f"{root}/messages/count_tokens", count_tokens, LLM),
    )
)
