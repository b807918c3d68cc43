"""Two providers, one the fallback of the other, and a gateway in front of them."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import serve
from tests.fakes.anthropic import FakeAnthropic
from tests.fakes.openai import FakeOpenAI
from tests.gateway.serving import gateway
from tests.secret_watch import MARK

KEY = f"sk-provider-{MARK}-0123456789abcdef"
FAILED = {"error": {"message": "Something broke.", "type": "server_error", "param": None, "code": "broken"}}
SOON = {"retry-after-ms": "1"}

#: the short cut (bytes go through), the long way in one piece, and both as streams
WAYS = {
    "short cut": ("/v1/chat/completions", False),
    "long way": ("/llm", False),
    "short cut streamed": ("/v1/chat/completions", True),
    "long way streamed": ("/llm", True),
}
every_way = pytest.mark.parametrize(("path", "stream"), WAYS.values(), ids=WAYS)


@dataclass
class Pair:
    """A gateway with the alias `model`: first `one`, then `two`, both OpenAI-compatible, then `three`, Anthropic."""

    client: httpx.AsyncClient
    one: FakeOpenAI
    two: FakeOpenAI
    three: FakeAnthropic

    async def ask(self, path: str = "/llm", stream: bool = False, model: str = "model", **more: Any) -> httpx.Response:
        body = {"model": model, "messages": [{"role": "user", "content": "hello"}], "stream": stream, **more}
        return await self.client.post(path, json=body if path != "/llm" else {"type": "chat", **body})

    def asked(self) -> list[int]:
        return [sum(received.method == "POST" for received in fake.received) for fake in (self.one, self.two)]


@asynccontextmanager
async def pair(
    folder: Path,
    *,
    urls: dict[str, str] | None = None,
    fallbacks: tuple[str, ...] = ("two:gpt-4o-mini",),
    timeout: float = 30,
    **environ: str,
) -> AsyncIterator[Pair]:
    one, two, three = FakeOpenAI(KEY), FakeOpenAI(KEY), FakeAnthropic(KEY)
    async with AsyncExitStack() as stack:
        served = {
            "one": f"{await stack.enter_async_context(serve(one.app))}/v1",
            "two": f"{await stack.enter_async_context(serve(two.app))}/v1",
            "three": await stack.enter_async_context(serve(three.app)),
            **(urls or {}),
        }
        kinds = {"one": "openai-compatible", "two": "openai-compatible", "three": "anthropic"}
        providers: dict[str, Any] = {
            name: {"kind": kind, "base_url": served[name], "api_key": KEY, "timeout_seconds": 30}
            for name, kind in kinds.items()
        }
        providers["one"]["timeout_seconds"] = timeout
        providers["keyless"] = {"kind": "anthropic", "base_url": served["three"]}
        file = folder / "config.json"
        models = {"model": {"model": "one:gpt-4o-mini", "fallbacks": list(fallbacks)}}
        file.write_text(json.dumps({"providers": providers, "models": models}))
        environ = {"SANDGATE_CONFIG": str(file), "LLM_RETRIES": "2", "PROVIDER_REST_SECONDS": "0", **environ}
        client = await stack.enter_async_context(gateway(folder, **environ))
        made = Pair(client, one, two, three)
        await client.post("/v1/models/refresh", json={})
        for fake in (one, two, three):
            fake.received.clear()
        yield made
