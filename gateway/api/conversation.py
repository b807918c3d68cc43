"""Talks with a prompt of the library, the liveness check and raw calls under `{prefix}` (API.md 3.5)."""

import msgspec
from sanic.response import HTTPResponse

from gateway.api.guard import LLM, OPEN, Endpoint
from gateway.api.inference import answer_chat, answer_json
from gateway.api.services import GatewayRequest
from gateway.dialects import conversation as conversations
from gateway.messages.chat import Message, TextPart


async def converse(request: GatewayRequest) -> HTTPResponse | None:
    """Talk with a model under a prompt of the library."""
    return await _converse(request, conversations.parse(request.body))


async def converse_extended(request: GatewayRequest) -> HTTPResponse | None:
    """The same with a system prompt and generation options of the caller's own."""
    return await _converse(request, conversations.parse(request.body, extended=True))


async def _converse(request: GatewayRequest, parsed: conversations.ParsedConversation) -> HTTPResponse | None:
    prompts = request.services.prompts
    language = parsed.language or prompts.default_language
    prompt = parsed.system_prompt
    if prompt is None:
        prompt, language = prompts.find(parsed.prompt_name, language)
    system = Message(role="system", content=(TextPart(text=prompt),))
    chat = msgspec.structs.replace(parsed.chat, messages=(system, *parsed.chat.messages))
    asked = msgspec.structs.replace(parsed, chat=chat, language=language)
    return await answer_chat(request, conversations, asked)


async def answer_ping(request: GatewayRequest) -> HTTPResponse:
    """Say that the gateway is there."""
    del request
    return answer_json({"status": True, "body": "pong"})


def make_endpoints(prefix: str) -> tuple[Endpoint, ...]:
    """Make the endpoints under a prefix."""
    return (
        Endpoint("POST", f"{prefix}/conversation_with_model", converse, LLM),
        Endpoint("POST", f"{prefix}/extended_conversation_with_model", converse_extended, LLM),
        Endpoint("GET HEAD", f"{prefix}/ping", answer_ping, OPEN),
    )
