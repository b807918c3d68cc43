"""The `openai` package: chat completions and responses."""

from collections.abc import Sequence
from typing import Any

import openai

from tests.gateway.serving import GATEWAY_KEY
from tests.matrix.asking import SCHEMA, WEATHER, Answer, Call, parse

FORMAT = {"name": "weather", "schema": SCHEMA, "strict": True}


class Chat:
    """`client.chat.completions`."""

    name = "openai chat"
    finishes = ("stop", "tool_calls")
    features = ("text", "tools", "image", "schema", "thought", "thoughtful-tools")

    def __init__(self, url: str) -> None:
        self.sdk = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=GATEWAY_KEY, max_retries=0)

    async def close(self) -> None:
        await self.sdk.close()

    def user(self, text: str, image: str | None = None) -> Any:
        if image is None:
            return {"role": "user", "content": text}
        picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{image}"}}
        return {"role": "user", "content": [{"type": "text", "text": text}, picture]}

    def result(self, call: Call, text: str) -> Any:
        return {"role": "tool", "tool_call_id": call.id, "content": text}

    def _options(self, wish: str) -> dict[str, Any]:
        options: dict[str, Any] = {}
        if wish.endswith("tools"):
            options["tools"] = [{"type": "function", "function": WEATHER}]
        if wish == "schema":
            options["response_format"] = {"type": "json_schema", "json_schema": FORMAT}
        if wish.startswith("thought"):
            options["reasoning_effort"] = "low"
        return options

    async def ask(self, model: str, turns: Sequence[Any], *, streamed: bool, wish: str = "text") -> Answer:
        options = self._options(wish)
        if not streamed:
            whole = await self.sdk.chat.completions.create(model=model, messages=list(turns), **options)
            assert whole.object == "chat.completion"
        else:
            asked = {"stream_options": {"include_usage": True}, **options}
            async with self.sdk.chat.completions.stream(model=model, messages=list(turns), **asked) as stream:
                whole = await stream.get_final_completion()
        (choice,) = whole.choices
        message = choice.message
        calls = [Call(call.id, call.function.name, parse(call.function.arguments)) for call in message.tool_calls or ()]
        assert whole.usage is not None
        assert isinstance(whole.created, int)
        return Answer(
            text=message.content or "",
            thought=(message.model_extra or {}).get("reasoning_content") or "",
            calls=calls,
            finish=choice.finish_reason,
            usage=(whole.usage.prompt_tokens, whole.usage.completion_tokens),
            turn=[message.model_dump(exclude_none=True, exclude={"parsed"})],
        )


class Responses:
    """`client.responses`."""

    name = "openai responses"
    finishes = ("completed", "completed")
    features = ("text", "tools", "image", "schema", "thought", "thoughtful-tools")

    def __init__(self, url: str) -> None:
        self.sdk = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=GATEWAY_KEY, max_retries=0)

    async def close(self) -> None:
        await self.sdk.close()

    def user(self, text: str, image: str | None = None) -> Any:
        if image is None:
            return {"role": "user", "content": text}
        picture = {"type": "input_image", "image_url": f"data:image/png;base64,{image}", "detail": "auto"}
        return {"role": "user", "content": [{"type": "input_text", "text": text}, picture]}

    def result(self, call: Call, text: str) -> Any:
        return {"type": "function_call_output", "call_id": call.id, "output": text}

    def _options(self, wish: str) -> dict[str, Any]:
        options: dict[str, Any] = {}
        if wish.endswith("tools"):
            options["tools"] = [{"type": "function", "strict": True, **WEATHER}]
        if wish == "schema":
            options["text"] = {"format": {"type": "json_schema", **FORMAT}}
        if wish.startswith("thought"):
            options["reasoning"] = {"effort": "low", "summary": "auto"}
            options["include"] = ["reasoning.encrypted_content"]
        return options

    async def ask(self, model: str, turns: Sequence[Any], *, streamed: bool, wish: str = "text") -> Answer:
        options = self._options(wish)
        if not streamed:
            whole = await self.sdk.responses.create(model=model, input=list(turns), store=False, **options)
        else:
            async with self.sdk.responses.stream(model=model, input=list(turns), store=False, **options) as stream:
                whole = await stream.get_final_response()
        answer = Answer(text=whole.output_text, finish=whole.status)
        for item in whole.output:
            answer.turn.append(item.model_dump(exclude_none=True, exclude={"parsed_arguments"}))
            if item.type == "reasoning":
                answer.thought += "".join(part.text for part in item.summary)
            elif item.type == "function_call":
                answer.calls.append(Call(item.call_id, item.name, parse(item.arguments)))
        assert whole.usage is not None
        answer.usage = (whole.usage.input_tokens, whole.usage.output_tokens)
        return answer
