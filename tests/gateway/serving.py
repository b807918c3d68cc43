"""A whole gateway on loopback, made from environment variables as a user would, and fakes of the vendors behind it."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from gateway.app import create_app
from gateway.configuration import load
from tests.conftest import serve
from tests.fakes.anthropic import FakeAnthropic
from tests.fakes.gemini import FakeGemini
from tests.fakes.ollama import FakeOllama
from tests.fakes.openai import FakeLMStudio, FakeOpenAI
from tests.fakes.scripted import Fake
from tests.pacing import PATIENCE
from tests.secret_watch import MARK

NOBODY = "http://127.0.0.1:9"  # the discard port: nobody listens there


@asynccontextmanager
async def gateway(folder: Path, *argv: str, **environ: str) -> AsyncIterator[httpx.AsyncClient]:
    """Serve a gateway with these options and variables; yields a client whose base URL it is."""
    settings = load(argv, {"EXECUTOR_URL": NOBODY, "LLM_RETRIES": "0", **environ}, folder)
    async with serve(create_app(settings)) as url, httpx.AsyncClient(base_url=url, timeout=PATIENCE) as client:
        yield client


PROVIDER_KEY = f"{MARK}.provider-key.0123456789abcdef"
"""What every fake that knows keys wants to see."""
GATEWAY_KEY = f"sk-gateway-{MARK}-0123456789abcdef"
"""What a gateway with auth on wants to see, and no provider may ever see."""


class FakeCompatible(FakeOpenAI):
    """Any OpenAI-compatible server: one that shows its reasoning."""

    vendor = "compat"
    models = ("some-model", "some-think", "org/team-model:7b")


@dataclass(frozen=True)
class Town:
    """A gateway, a client of it, and a fake of each vendor behind it, by the provider's name."""

    client: httpx.AsyncClient
    url: str
    fakes: Mapping[str, Fake]

    @property
    def openai(self) -> Fake:
        return self.fakes["openai"]

    async def settle(self) -> None:
        """Wait until nobody asks for models any more, so that what the fakes are told is for the next request."""
        await self.client.post("/v1/models/refresh", json={})
        asked = -1
        while asked != (asked := sum(len(fake.received) for fake in self.fakes.values())):
            await asyncio.sleep(0.05)
        self.clear()

    def clear(self) -> None:
        """Forget what the fakes were asked and told to do."""
        for fake in self.fakes.values():
            fake.received.clear()
            fake.failures.clear()
            fake.reply, fake.pause, fake.pause_before, fake.cut_after, fake.abort = None, 0.0, 0.0, None, False
            fake.left = asyncio.Event()


@asynccontextmanager
async def town(
    folder: Path, *argv: str, models: Mapping[str, Any] | None = None, **environ: str
) -> AsyncIterator[Town]:
    """Serve a fake of each vendor, and a gateway in front of them; no provider is ever rested.

    `models` goes to the config file. Beside the well-known providers there are two of kind openai-compatible: `slow`
    is `compat` waited for 0.3 s, `down` is not there.
    """
    fakes: dict[str, Fake] = {
        "openai": FakeOpenAI(PROVIDER_KEY),
        "compat": FakeCompatible(PROVIDER_KEY),
        "lmstudio": FakeLMStudio(),
        "anthropic": FakeAnthropic(PROVIDER_KEY),
        "gemini": FakeGemini(PROVIDER_KEY),
        "ollama": FakeOllama(),
    }
    async with AsyncExitStack() as stack:
        urls = {name: await stack.enter_async_context(serve(fake.app)) for name, fake in fakes.items()}
        further: dict[str, dict[str, Any]] = {
            "stub": {"kind": "stub"},
            "slow": {"kind": "openai-compatible", "base_url": f"{urls['compat']}/v1", "timeout_seconds": 0.3},
            "down": {"kind": "openai-compatible", "base_url": f"{NOBODY}/v1"},
        }
        further["slow"]["api_key"] = PROVIDER_KEY
        file = folder / "sandgate.json"
        file.write_text(json.dumps({"providers": further, "models": dict(models or {})}))
        told = {
            "OPENAI_BASE_URL": f"{urls['openai']}/v1",
            "OPENAI_COMPAT_BASE_URL": f"{urls['compat']}/v1",
            "LMSTUDIO_BASE_URL": urls["lmstudio"],
            "ANTHROPIC_BASE_URL": urls["anthropic"],
            "GEMINI_BASE_URL": urls["gemini"],
            "OLLAMA_BASE_URL": urls["ollama"],
            "PROVIDER_REST_SECONDS": "0",
            "SANDGATE_CONFIG": str(file),
        }
        keys = ("OPENAI_API_KEY", "OPENAI_COMPAT_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY")
        settings = {**dict.fromkeys(keys, PROVIDER_KEY), **told, **environ}
        client = await stack.enter_async_context(gateway(folder, *argv, **settings))
        yield Town(client, str(client.base_url).rstrip("/"), fakes)
