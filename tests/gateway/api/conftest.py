"""One gateway with fakes of all vendors for each file of tests that wants it."""

from collections.abc import AsyncIterator

import pytest

from tests.gateway.serving import Town, town


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def served(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    models = {
        "fast": "ollama:llama3:8b",
        "careful": {"model": "openai:gpt-4o-mini", "options": {"temperature": 0.2, "max_tokens": 50}},
        "steady": {"model": "openai:gpt-4o-mini", "fallbacks": ["anthropic:claude-sonnet-4-5", "ollama:llama3:8b"]},
    }
    async with town(tmp_path_factory.mktemp("town"), models=models) as place:
        await place.settle()
        yield place


@pytest.fixture
def place(served: Town) -> Town:
    """The gateway and its fakes, which remember nothing of earlier tests."""
    served.clear()
    return served
