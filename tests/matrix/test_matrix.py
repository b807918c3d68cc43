"""Every client × every provider, whole and streamed: the vendors' own SDKs, unmodified, over real HTTP."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import anthropic
import ollama
import openai
import pytest

from tests.gateway.serving import GATEWAY_KEY, Town
from tests.matrix import anthropic_client, langchain_client, ollama_client, openai_clients
from tests.matrix.asking import PIXEL, Client

pytestmark = pytest.mark.anyio

Note = Callable[[str, object], None]

#: provider -> models for: chatting, calling tools, thinking, thinking and calling tools, embedding
PROVIDERS = {
    "openai": ("gpt-4o-mini", "gpt-4o-mini", "gpt-5-think", "gpt-5-think", "text-embedding-3-small"),
    "anthropic": ("claude-sonnet-4-5", "claude-sonnet-4-5", "claude-sonnet-4-5", "claude-sonnet-4-5", "none"),
    "gemini": ("gemini-2.5-flash", "gemini-3-pro-think", "gemini-3-pro-think", "gemini-3-pro-think", "gemini-embed"),
    "ollama": ("llama3:8b", "llama3:8b", "qwen3-think:4b", "qwen3-think:4b", "nomic-embed-text:latest"),
    "lmstudio": ("qwen2.5-7b-instruct", "qwen2.5-7b-instruct", "deepseek-think", "deepseek-think", "nomic-embed"),
    "compat": ("some-model", "org/team-model:7b", "some-think", "some-think", "some-embedder"),
    "stub": ("stub", "stub-tools", "stub-reasoning", "stub-tools", "stub-embeddings"),
}
CLIENTS: tuple[Callable[[str], Client], ...] = (
    openai_clients.Chat,
    openai_clients.Responses,
    anthropic_client.Messages,
    ollama_client.Chat,
    langchain_client.Chat,
)
SAID = "Zażółć gęślą jaźń 🦆"
every_provider = pytest.mark.parametrize("provider", PROVIDERS)
whole_and_streamed = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])


@pytest.fixture(scope="session")
async def clients(place: Town) -> AsyncIterator[dict[str, Client]]:
    made = {make.name: make(place.url) for make in CLIENTS}  # type: ignore[attr-defined]  # classes, each with a name
    yield made
    for client in made.values():
        await client.close()


@pytest.fixture(scope="session")
async def sdk(place: Town) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{place.url}/v1", api_key=GATEWAY_KEY, max_retries=0) as client:
        yield client


def cells() -> list[Any]:
    return [
        pytest.param(make.name, feature, provider, streamed, id=f"{make.name}-{feature}-{provider}-{way}")
        for make in CLIENTS
        for feature in make.features  # type: ignore[attr-defined]  # as above
        for provider in PROVIDERS
        for streamed, way in ((False, "whole"), (True, "streamed"))
    ]


def note(record_property: Note, row: str, column: str, mark: str = "✓") -> None:
    record_property("row", row)
    record_property("column", column)
    record_property("mark", mark)


@pytest.mark.parametrize(("name", "feature", "provider", "streamed"), cells())
async def test_a_client_gets_from_any_provider_what_it_asks_for(
    clients: dict[str, Client], record_property: Note, name: str, feature: str, provider: str, streamed: bool
) -> None:
    note(record_property, f"{name}: {feature}", provider)
    client = clients[name]
    if feature.endswith("tools"):
        await check_tools(client, provider, feature, streamed)
        return
    place = 2 if feature == "thought" else 0
    model = f"{provider}:{PROVIDERS[provider][place]}"
    turn = client.user(SAID, PIXEL if feature == "image" else None)
    answer = await client.ask(model, [turn], streamed=streamed, wish=feature)
    assert answer.finish == client.finishes[0]
    assert not answer.calls
    assert answer.usage is not None
    assert min(answer.usage) > 0
    if feature == "schema":
        assert set(json.loads(answer.text)) == {"city", "degrees"}
        return
    assert SAID in answer.text
    if feature == "image":
        assert "1 image" in answer.text
    if feature == "thought" and provider != "openai":  # OpenAI keeps its models' thoughts to itself
        assert answer.thought
        assert answer.thought not in answer.text


async def check_tools(client: Client, provider: str, wish: str, streamed: bool) -> None:
    """Ask, get a call, hand back what the SDK made of it together with the result, get an answer."""
    place = 1 if wish == "tools" else 3
    model = f"{provider}:{PROVIDERS[provider][place]}"
    asked = client.user(SAID)
    answer = await client.ask(model, [asked], streamed=streamed, wish=wish)
    (call,) = answer.calls
    assert answer.finish == client.finishes[1]
    assert call.name == "weather"
    assert set(call.arguments) == {"city", "degrees"}
    turns = [asked, *answer.turn, client.result(call, "21 °C")]
    after = await client.ask(model, turns, streamed=streamed, wish=wish)
    assert "21 °C" in after.text
    assert not after.calls
    assert after.finish == client.finishes[0]


@every_provider
@whole_and_streamed
async def test_legacy_completions_work_over_chats(
    sdk: openai.AsyncOpenAI, record_property: Note, provider: str, streamed: bool
) -> None:
    note(record_property, "openai completions: text", provider)
    model = f"{provider}:{PROVIDERS[provider][0]}"
    if not streamed:
        whole = await sdk.completions.create(model=model, prompt=[SAID, "Second"])
        assert [choice.index for choice in whole.choices] == [0, 1]
        assert SAID in whole.choices[0].text
        assert "Second" in whole.choices[1].text
        return
    stream = await sdk.completions.create(model=model, prompt=SAID, stream=True)
    chunks = [chunk async for chunk in stream]
    assert SAID in "".join(chunk.choices[0].text for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "stop"


@every_provider
async def test_embeddings_come_from_every_provider_that_has_them(
    sdk: openai.AsyncOpenAI, record_property: Note, provider: str
) -> None:
    model = f"{provider}:{PROVIDERS[provider][4]}"
    if provider == "anthropic":
        note(record_property, "openai embeddings", provider, "–")
        with pytest.raises(openai.BadRequestError, match="openai") as refused:
            await sdk.embeddings.create(model=model, input="a")
        assert refused.value.code == "unsupported"
        return
    note(record_property, "openai embeddings", provider)
    packed = await sdk.embeddings.create(model=model, input=["a", "b"])  # the SDK asks for base64
    plain = await sdk.embeddings.create(model=model, input=["a", "b"], encoding_format="float", dimensions=3)
    assert [entry.index for entry in packed.data] == [0, 1]
    assert packed.data[0].embedding != packed.data[1].embedding
    assert len(plain.data[0].embedding) == 3


@every_provider
async def test_token_ids_are_embedded_or_refused_clearly(
    sdk: openai.AsyncOpenAI, record_property: Note, provider: str
) -> None:
    model = f"{provider}:{PROVIDERS[provider][4]}"
    if provider in ("openai", "compat", "stub"):
        note(record_property, "openai embeddings of token ids", provider)
        got = await sdk.embeddings.create(model=model, input=[[1, 2], [3]])
        assert len(got.data) == 2
        return
    note(record_property, "openai embeddings of token ids", provider, "–")
    with pytest.raises(openai.BadRequestError):
        await sdk.embeddings.create(model=model, input=[[1, 2], [3]])


@every_provider
async def test_models_of_every_provider_are_listed_and_found(
    sdk: openai.AsyncOpenAI, record_property: Note, provider: str
) -> None:
    note(record_property, "openai models", provider)
    listed = {model.id: model async for model in sdk.models.list()}
    own = [name for name, model in listed.items() if model.owned_by == provider]
    assert own
    assert all(name.startswith(f"{provider}:") for name in own)
    found = await sdk.models.retrieve(own[-1])
    assert found.model_dump() == listed[own[-1]].model_dump()


@every_provider
async def test_tokens_are_counted_for_every_provider(place: Town, record_property: Note, provider: str) -> None:
    note(record_property, "anthropic count_tokens", provider)
    model = f"{provider}:{PROVIDERS[provider][0]}"
    async with anthropic.AsyncAnthropic(base_url=place.url, api_key=GATEWAY_KEY, max_retries=0) as client:
        counted = await client.messages.count_tokens(model=model, messages=[{"role": "user", "content": SAID}])
    assert counted.input_tokens > 0


@every_provider
async def test_ollamas_client_does_all_it_can_with_every_provider(
    place: Town, clients: dict[str, Client], record_property: Note, provider: str
) -> None:
    note(record_property, "ollama generate, embed, list, show", provider)
    client: ollama.AsyncClient = clients["ollama chat"].sdk  # type: ignore[attr-defined]  # this one has it
    model = f"{provider}:{PROVIDERS[provider][0]}"
    assert SAID in (await client.generate(model, SAID)).response
    pieces = [piece async for piece in await client.generate(model, SAID, stream=True)]
    assert SAID in "".join(piece.response for piece in pieces)
    assert pieces[-1].done
    listed = [entry.model for entry in (await client.list()).models if str(entry.model).startswith(f"{provider}:")]
    assert listed
    assert (await client.show(str(listed[0]))).capabilities
    embedder = f"{provider}:{PROVIDERS[provider][4]}"
    if provider == "anthropic":
        with pytest.raises(ollama.ResponseError) as refused:
            await client.embed(embedder, "a")
        assert refused.value.status_code == 400
    else:
        assert len((await client.embed(embedder, ["a", "b"])).embeddings) == 2
        assert (await client.embeddings(embedder, "a")).embedding
