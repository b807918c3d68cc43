"""Anthropic's Messages under `/v1/messages`, for every provider (API.md 3.3)."""

from sanic.response import HTTPResponse

from gateway.api.guard import LLM, Endpoint
from gateway.api.inference import answer_json
from gateway.api.services import GatewayRequest
from gateway.api.shortcut import answer_natively
from gateway.dialects import anthropic as messages
from gateway.dialects.passing import ANTHROPIC

#: A token is about four characters of English; images count what Anthropic says of a middling one.
CHARACTERS_PER_TOKEN = 4


async def answer_messages(request: GatewayRequest) -> HTTPResponse | None:
    """Chat as Anthropic's Messages do."""
    return await answer_natively(request, messages, ANTHROPIC)


async def count_tokens(request: GatewayRequest) -> HTTPResponse:
    """Estimate the tokens of a request; providers other than Anthropic have no way to count without answering."""
    messages.parse_count(request.body)
    return answer_json(messages.write_count(max(1, len(request.body) // CHARACTERS_PER_TOKEN)))


ENDPOINTS = tuple(
    endpoint
    for root in ("/v1", "")
    for endpoint in (
        Endpoint("POST", f"{root}/messages", answer_messages, LLM),
        Endpoint("POST", f"{root}/messages/count_tokens", count_tokens, LLM),
    )
)
