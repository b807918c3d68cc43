"""Drives a vendor's translator against a fake of that vendor, over real HTTP."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from gateway.messages.chat import (
    ChatReply,
    ChatRequest,
    Finished,
    Message,
    Options,
    ReasoningDelta,
    ReasoningPart,
    RefusalDelta,
    Started,
    StreamEvent,
    TextDelta,
    TextPart,
    Tool,
    ToolCall,
    ToolCallDelta,
    Usage,
    UsageReport,
)
from gateway.providers import VENDORS
from gateway.providers.base import Chat, UpstreamRequest
from gateway.settings import Kind
from tests.conftest import serve
from tests.fakes.anthropic import FakeAnthropic
from tests.fakes.gemini import FakeGemini
from tests.fakes.ollama import FakeOllama
from tests.fakes.openai import FakeLMStudio, FakeOpenAI
from tests.fakes.scripted import Fake

WEATHER = Tool(
    name="weather",
    description="Tells the weather",
    parameters={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

FAKES: dict[Kind, tuple[type[Fake], str, str]] = {
    "openai": (FakeOpenAI, "/v1", "gpt-4o-mini"),
    "openai-compatible": (FakeOpenAI, "/v1", "some-model"),
    "lmstudio": (FakeLMStudio, "", "qwen2.5-7b-instruct"),
    "anthropic": (FakeAnthropic, "", "claude-sonnet-4-5"),
    "gemini": (FakeGemini, "", "gemini-3-pro"),
    "ollama": (FakeOllama, "", "llama3:8b"),
}


@dataclass
class Line:
    """A translator, a fake of its vendor, and the connection between them."""

    kind: Kind
    fake: Fake
    http: httpx.AsyncClient
    base_url: str
    key: str
    model: str
    warnings: list[str] = field(default_factory=list)

    @property
    def vendor(self) -> Chat:
        vendor = VENDORS[self.kind]
        assert isinstance(vendor, Chat)
        return vendor

    async def send(self, request: UpstreamRequest) -> httpx.Response:
        self.warnings = list(request.warnings)
        headers = dict((*self.vendor.credential_headers(self.key), *request.headers))
        if request.body:
            headers["content-type"] = "application/json"
        answer = await self.http.request(
            request.method, self.base_url + request.path, content=request.body, headers=headers
        )
        if answer.status_code != 200:
            raise self.vendor.explain_error(answer.status_code, answer.headers, answer.content)
        return answer

    async def ask(self, *messages: Message, **options: Any) -> ChatReply:
        chat = ChatRequest(model=self.model, messages=messages, options=Options(**options))
        return self.vendor.chat_reply((await self.send(self.vendor.chat_request(chat))).content)

    async def record(self, *messages: Message, **options: Any) -> bytes:
        """The bytes of a streamed answer."""
        chat = ChatRequest(model=self.model, messages=messages, options=Options(**options), stream=True)
        return (await self.send(self.vendor.chat_request(chat))).content

    async def listen(self, *messages: Message, **options: Any) -> list[StreamEvent]:
        return decode(self.vendor, [await self.record(*messages, **options)])


@asynccontextmanager
async def line(kind: Kind, *, key: str = "sk-fake-key-0123456789", model: str | None = None) -> AsyncIterator[Line]:
    """Serve a fake of `kind` that wants `key`, and connect the translator to it."""
    make, prefix, default_model = FAKES[kind]
    fake = make(key=key)
    async with serve(fake.app) as url, httpx.AsyncClient() as http:
        yield Line(kind, fake, http, url + prefix, key, model or default_model)


def decode(vendor: Chat, pieces: Iterable[bytes]) -> list[StreamEvent]:
    """All events of a stream that comes in these pieces."""
    decoder = vendor.chat_events()
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return [*events, *decoder.finish()]


def user(text: str, *more: Any) -> Message:
    return Message(role="user", content=(TextPart(text=text), *more))


def result_of(call: ToolCall, text: str, **more: Any) -> Message:
    return Message(role="tool", tool_call_id=call.id, content=(TextPart(text=text),), **more)


@dataclass
class Heard:
    """What the events of a stream with one answer come to."""

    text: str = ""
    thought: str = ""
    signature: str | None = None
    refusal: str = ""
    calls: list[ToolCall] = field(default_factory=list)
    finish_reason: str | None = None
    usage: Usage | None = None
    started: Started | None = None

    @property
    def message(self) -> Message:
        """The answer as a turn of the conversation."""
        parts: list[Any] = (
            [ReasoningPart(text=self.thought, signature=self.signature)] if self.thought or self.signature else []
        )
        parts += [TextPart(text=self.text)] if self.text else []
        return Message(role="assistant", content=tuple(parts), tool_calls=tuple(self.calls))


def heard(events: Iterable[StreamEvent]) -> Heard:
    """Put a stream's events together, the way a client does."""
    whole = Heard()
    for event in events:
        match event:
            case Started():
                assert whole.started is None, "a stream starts once"
                whole.started = event
            case TextDelta():
                whole.text += event.text
            case ReasoningDelta():
                whole.thought += event.text
                whole.signature = event.signature or whole.signature
            case RefusalDelta():
                whole.refusal += event.text
            case ToolCallDelta(id=str() as identity, name=str() as name):
                assert event.call == len(whole.calls), "calls are counted from 0"
                whole.calls.append(
                    ToolCall(id=identity, name=name, arguments=event.arguments, signature=event.signature)
                )
            case ToolCallDelta():
                before = whole.calls[event.call]
                whole.calls[event.call] = ToolCall(
                    id=before.id,
                    name=before.name,
                    arguments=before.arguments + event.arguments,
                    signature=event.signature or before.signature,
                )
            case Finished():
                assert whole.finish_reason is None, "an answer finishes once"
                whole.finish_reason = event.finish_reason
            case UsageReport():
                whole.usage = event.usage
    return whole
