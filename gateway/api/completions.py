"""OpenAI's legacy text completions: one prompt like any chat, several by a call each (API.md 3.3)."""

import asyncio

from sanic.response import HTTPResponse

from gateway.api.inference import answer_chat, answer_json, caller_of, find_route, make_head
from gateway.api.recording import Recording
from gateway.api.services import GatewayRequest
from gateway.dialects import completions
from gateway.messages.chat import ChatReply, ChatRequest, Usage
from gateway.routing.names import Route, Target

PROMPTS_AT_A_TIME = 8


async def answer_completions(request: GatewayRequest) -> HTTPResponse | None:
    """Complete a text, or each of several, as OpenAI's legacy Completions do."""
    parsed = completions.parse(request.body)
    if not parsed.more:
        return await answer_chat(request, completions, parsed)
    asked = parsed.chat.model
    with Recording(request, asked=asked) as recording:
        route = find_route(request, asked)
        recording.aimed_at(route.targets[0])
        answered = await _complete_all(request, route, (parsed.chat, *parsed.more))
        target, replies = answered[0][0], [reply for _, reply in answered]
        recording.aimed_at(target)
        recording.used(_add_up(replies))
        return answer_json(completions.write_replies(parsed, replies, make_head(request, target, asked)))


async def _complete_all(
    request: GatewayRequest, route: Route, chats: tuple[ChatRequest, ...]
) -> list[tuple[Target, ChatReply]]:
    """Answer each prompt by a call of its own, a few at a time; the first that fails ends the others."""
    caller, gate = caller_of(request), asyncio.Semaphore(PROMPTS_AT_A_TIME)

    async def complete(chat: ChatRequest) -> tuple[Target, ChatReply]:
        async with gate:
            return await request.services.router.chat(route, chat, caller)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(complete(chat)) for chat in chats]
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [task.result() for task in tasks]


def _add_up(replies: list[ChatReply]) -> Usage | None:
    """Give what all have cost together; None where one of them is not known."""
    known = [reply.usage for reply in replies if reply.usage is not None]
    if len(known) < len(replies):
        return None
    return Usage(
        prompt_tokens=sum(usage.prompt_tokens for usage in known),
        completion_tokens=sum(usage.completion_tokens for usage in known),
    )
