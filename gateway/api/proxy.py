"""`POST /proxy` and `POST /proxy/stream` (API.md 3.5)."""

from sanic.response import HTTPResponse

from gateway.api.guard import LLM, Endpoint
from gateway.api.inference import answer_chat
from gateway.api.services import GatewayRequest
from gateway.dialects import proxy as proxies
from gateway.errors import Unauthorized


async def answer_proxy(request: GatewayRequest) -> HTTPResponse | None:
    """Chat, answered as OpenAI does."""
    return await _answer(request, stream=False)


async def stream_proxy(request: GatewayRequest) -> HTTPResponse | None:
    """The same, streamed."""
    return await _answer(request, stream=True)


async def _answer(request: GatewayRequest, *, stream: bool) -> HTTPResponse | None:
    if not request.headers.get("authorization", "").strip():
        raise Unauthorized("An Authorization header is wanted; its value is judged only when authentication is on.")
    return await answer_chat(request, proxies, proxies.parse(request.body, stream=stream))


ENDPOINTS = (
    Endpoint("POST", "/proxy", answer_proxy, LLM),
    Endpoint("POST", "/proxy/stream", stream_proxy, LLM),
)
