"""The `anthropic` package: messages."""

from collections.abc import Sequence
from typing import Any

import anthropic

from tests.gateway.serving import GATEWAY_KEY
from tests.matrix.asking import SCHEMA, WEATHER, Answer, Call


class Messages:
    """`client.messages`."""

    name = "anthropic messages"
    finishes = ("end_turn", "tool_use")
    features = ("text", "tools", "image", "schema", "thought", "thoughtful-tools")

    def __init__(self, url: str) -> None:
        self.sdk = anthropic.AsyncAnthropic(base_url=url, api_key=GATEWAY_KEY, max_retries=0)

    async def close(self) -> None:
        await self.sdk.close()

    def user(self, text: str, image: str | None = None) -> Any:
        if image is None:
            return {"role": "user", "content": text}
        source = {"type": "base64", "media_type": "image/png", "data": image}
        return {"role": "user", "content": [{"type": "image", "source": source}, {"type": "text", "text": text}]}

    def result(self, call: Call, text: str) -> Any:
        return {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": text}]}

    def _options(self, wish: str) -> dict[str, Any]:
        options: dict[str, Any] = {"max_tokens": 2048}
        if wish.endswith("tools"):
            tool = {"name": WEATHER["name"], "description": WEATHER["description"], "input_schema": SCHEMA}
            options["tools"] = [tool]
        if wish == "schema":
            options["output_config"] = {"format": {"type": "json_schema", "schema": SCHEMA}}
        if wish.startswith("thought"):
            options["thinking"] = {"type": "enabled", "budget_tokens": 1024}
        return options

    async def ask(self, model: str, turns: Sequence[Any], *, streamed: bool, wish: str = "text") -> Answer:
        options = self._options(wish)
        if not streamed:
            whole = await self.sdk.messages.create(model=model, messages=list(turns), **options)
        else:
            async with self.sdk.messages.stream(model=model, messages=list(turns), **options) as stream:
                whole = await stream.get_final_message()
        answer = Answer(finish=whole.stop_reason, usage=(whole.usage.input_tokens, whole.usage.output_tokens))
        for block in whole.content:
            if block.type == "text":
                answer.text += block.text
            elif block.type == "thinking":
                answer.thought += block.thinking
            elif block.type == "tool_use":
                assert isinstance(block.input, dict)
                answer.calls.append(Call(block.id, block.name, block.input))
        told = [block.model_dump(exclude_none=True, exclude={"parsed_output"}) for block in whole.content]
        answer.turn = [{"role": whole.role, "content": told}]
        cached = whole.usage.cache_read_input_tokens or 0
        answer.usage = (whole.usage.input_tokens + cached, whole.usage.output_tokens)
        return answer
