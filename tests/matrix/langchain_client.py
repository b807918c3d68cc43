"""LangChain's `ChatOpenAI`, which users point at a gateway by its base URL."""

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI

from tests.gateway.serving import GATEWAY_KEY
from tests.matrix.asking import SCHEMA, WEATHER, Answer, Call


class Chat:
    """`ChatOpenAI(base_url=...)`."""

    name = "langchain chat"
    finishes = ("stop", "tool_calls")
    features = ("text", "tools", "image", "schema")

    def __init__(self, url: str) -> None:
        self.url = f"{url}/v1"

    async def close(self) -> None:
        pass

    def user(self, text: str, image: str | None = None) -> Any:
        if image is None:
            return HumanMessage(text)
        picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{image}"}}
        return HumanMessage([{"type": "text", "text": text}, picture])

    def result(self, call: Call, text: str) -> Any:
        return ToolMessage(text, tool_call_id=call.id)

    async def ask(self, model: str, turns: Sequence[Any], *, streamed: bool, wish: str = "text") -> Answer:
        chat: Any = ChatOpenAI(
            base_url=self.url, api_key=GATEWAY_KEY, model=model, max_retries=0, max_completion_tokens=500
        )
        if wish == "tools":
            chat = chat.bind_tools([{"type": "function", "function": WEATHER}])
        if wish == "schema":
            chat = chat.bind(response_format={"type": "json_schema", "json_schema": {"name": "w", "schema": SCHEMA}})
        if not streamed:
            whole: AIMessage = await chat.ainvoke(list(turns))
        else:
            pieces = [piece async for piece in chat.astream(list(turns), stream_usage=True)]
            joined = pieces[0]
            for piece in pieces[1:]:
                joined += piece
            assert isinstance(joined, AIMessageChunk)
            whole = joined
        assert whole.usage_metadata is not None
        return Answer(
            text=str(whole.content),
            calls=[Call(str(call["id"]), call["name"], call["args"]) for call in whole.tool_calls],
            finish=whole.response_metadata.get("finish_reason"),
            usage=(whole.usage_metadata["input_tokens"], whole.usage_metadata["output_tokens"]),
            turn=[whole],
        )
