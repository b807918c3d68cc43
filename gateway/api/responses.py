"""OpenAI's Responses under `/v1/responses`, for every provider and without a memory (API.md 3.3)."""

from sanic.response import HTTPResponse

from gateway.api.guard import LLM, Endpoint
from gateway.api.inference import answer_chat
from gateway.api.services import GatewayRequest
from gateway.dialects import openai_responses


async def answer_responses(request: GatewayRequest) -> HTTPResponse | None:
    """Chat as OpenAI's Responses do."""
    return await answer_chat(request, openai_responses, openai_responses.parse(request.body))


ENDPOINTS = tuple(Endpoint("POST", f"{root}/responses", answer_responses, LLM) for root in ("/v1", ""))
