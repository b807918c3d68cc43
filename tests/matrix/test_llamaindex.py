"""LlamaIndex's OpenAI classes with their base URL set × every provider; rows of the matrix's table."""

from pathlib import Path
from typing import Any

import pytest

from tests.gateway.serving import GATEWAY_KEY, town
from tests.matrix import llamaindex
from tests.matrix.asking import PIXEL
from tests.matrix.test_matrix import PROVIDERS, SAID, Note, note

#: The first of the tests waits for the environment to be made.
pytestmark = [pytest.mark.anyio, pytest.mark.timeout(480)]

#: `OpenAI` takes names of OpenAI's own models only: aliases that are called so lead elsewhere.
ALIASES = {
    "openai": ("gpt-4o", "gpt-4o-2024-05-13"),
    "anthropic": ("gpt-4.1", "gpt-4.1-2025-04-14"),
    "gemini": ("gpt-4.1-mini", "gpt-4.1-mini-2025-04-14"),
    "ollama": ("gpt-4.1-nano", "gpt-4.1-nano-2025-04-14"),
    "lmstudio": ("gpt-4", "gpt-4-0613"),
    "compat": ("gpt-4-turbo", "gpt-4-turbo-2024-04-09"),
    "stub": ("gpt-3.5-turbo-0125", "gpt-3.5-turbo-1106"),
}
CELLS = [
    *(
        (kind, feature, provider, streamed)
        for kind in ("OpenAI", "OpenAILike")
        for feature in ("text", "tools", "image")
        for provider in PROVIDERS
        for streamed in (False, True)
    ),
    *(("OpenAIEmbedding", "embeddings", provider, False) for provider in PROVIDERS),
]
Cell = tuple[str, str, str, bool]


def model_of(kind: str, feature: str, provider: str) -> str:
    if kind == "OpenAI":
        return ALIASES[provider][feature == "tools"]
    place = {"tools": 1, "embeddings": 4}.get(feature, 0)
    return f"{provider}:{PROVIDERS[provider][place]}"


@pytest.fixture(scope="module")
async def found(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> dict[Cell, Any]:
    """What LlamaIndex made of every cell, asked in one go: it takes seconds to start."""
    aliases = {
        alias: f"{provider}:{PROVIDERS[provider][place]}"
        for provider, names in ALIASES.items()
        for place, alias in enumerate(names)
    }
    questions = [(kind, feature, model_of(kind, feature, provider), way) for kind, feature, provider, way in CELLS]
    async with town(tmp_path_factory.mktemp("llamaindex"), "--key", GATEWAY_KEY, models=aliases) as place:
        answers = await llamaindex.ask(place.url, GATEWAY_KEY, SAID, PIXEL, questions)
    return dict(zip(CELLS, answers, strict=True))


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: "-".join(map(str, cell)))
async def test_llamaindex_gets_from_any_provider_what_it_asks_for(
    found: dict[Cell, Any], record_property: Note, cell: Cell
) -> None:
    kind, feature, provider, _ = cell
    refused = feature == "embeddings" and provider == "anthropic"
    note(record_property, f"llamaindex {kind}: {feature}", provider, "–" if refused else "✓")
    answer = found[cell]
    if refused:
        assert "openai" in answer["error"]
        assert "400" in answer["error"]
        return
    assert "error" not in answer, answer
    if feature == "embeddings":
        first, second = answer["vectors"]
        assert answer["query"] == first != second
        return
    assert min(answer["usage"]) > 0
    if feature == "tools":
        ((name, arguments),) = answer["calls"]
        assert name == "weather"
        assert set(arguments) == {"city", "degrees"}
        assert "21 °C" in answer["after"]
        return
    assert SAID in answer["text"]
    assert feature != "image" or "1 image" in answer["text"]


def test_an_environment_that_cannot_be_made_is_a_failure_and_not_kept(tmp_path: Path) -> None:
    missing = tmp_path / "requirements.txt"
    missing.write_text("./nowhere.whl\n")
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"(?s)could not be installed.*nowhere"):
            llamaindex.prepare(tmp_path / "room", missing)
