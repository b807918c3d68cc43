"""The `ollama` package: chat."""

import base64
from collections.abc import Sequence
from typing import Any

import ollama

from tests.gateway.serving import GATEWAY_KEY
from tests.matrix.asking import SCHEMA, WEATHER, Answer, Call


class Chat:
    """`client.chat`."""

    name = "ollama chat"
    finishes = ("stop", "stop")
    features = ("text", "tools", "image", "schema", "thought", "thoughtful-tools")

    def __init__(self, url: str) -> None:
        self.sdk = ollama.AsyncClient(host=url, headers={"authorization": f"Bearer {GATEWAY_KEY}"})

    async def close(self) -> None:
        await self.sdk._client.aclose()

    def user(self, text: str, image: str | None = None) -> Any:
        return {"role": "user", "content": text, **({"images": [base64.b64decode(image)]} if image else {})}

    def result(self, call: Call, text: str) -> Any:
        return {"role": "tool", "tool_name": call.name, "content": text}

    def _options(self, wish: str) -> dict[str, Any]:
        options: dict[str, Any] = {}
        if wish.endswith("tools"):
            options["tools"] = [{"type": "function", "function": WEATHER}]
        if wish == "schema":
            options["format"] = SCHEMA
        if wish.startswith("thought"):
            options["think"] = True
        return options

    async def ask(self, model: str, turns: Sequence[Any], *, streamed: bool, wish: str = "text") -> Answer:
        options = self._options(wish)
        if not streamed:
            lines = [await self.sdk.chat(model, list(turns), stream=False, **options)]
        else:
            lines = [line async for line in await self.sdk.chat(model, list(turns), stream=True, **options)]
        assert [line.done for line in lines] == [False] * (len(lines) - 1) + [True]
        answer = Answer(finish=lines[-1].done_reason)
        told: list[Any] = []
        for line in lines:
            answer.text += line.message.content or ""
            answer.thought += line.message.thinking or ""
            for call in line.message.tool_calls or ():
                answer.calls.append(Call("", call.function.name, dict(call.function.arguments)))
                told.append(call)
        last = lines[-1]
        assert last.prompt_eval_count is not None
        assert last.eval_count is not None
        answer.usage = (last.prompt_eval_count, last.eval_count)
        turn = ollama.Message(
            role="assistant", content=answer.text, thinking=answer.thought or None, tool_calls=told or None
        )
        answer.turn = [turn]
        return answer
