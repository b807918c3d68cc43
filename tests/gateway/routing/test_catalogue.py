"""The catalogue: kept on disk, a day old at most, shared by workers, and never lost to a provider that fails."""

import asyncio
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import GatewayError, Unavailable
from gateway.messages.models import Model
from gateway.routing.catalogue import KEPT_SECONDS, Catalogue
from gateway.routing.shelf import FILE
from tests.pacing import PATIENCE

pytestmark = pytest.mark.anyio


class Providers:
    """What the providers have, and how often each was asked; None is a provider that is away."""

    def __init__(self, **models: list[str] | None) -> None:
        self.models = models
        self.asked: list[str] = []

    async def fetch(self, name: str) -> tuple[Model, ...]:
        self.asked.append(name)
        models = self.models[name]
        if models is None:
            raise Unavailable(f"{name} is away")
        return tuple(Model(id=model, details={"size": 1}) for model in models)

    def catalogue(self, folder: Path | None = None, *, address: str = "here") -> Catalogue:
        return Catalogue(
            tuple(self.models),
            self.fetch,
            tell=lambda _pairs: None,
            folder=folder,
            identities=dict.fromkeys(self.models, address),
        )


def names(catalogue: Catalogue) -> dict[str, list[str]]:
    return {name: [model.id for model in models] for name, models in catalogue.listings.items()}


def age(folder: Path, seconds: float) -> None:
    entries = json.loads((folder / FILE).read_bytes())
    for entry in entries.values():
        entry["fetched"] -= seconds
    (folder / FILE).write_text(json.dumps(entries))


async def test_what_was_fetched_is_there_after_a_restart_without_asking(tmp_path: Path) -> None:
    providers = Providers(a=["x", "y"], b=["y"])
    await providers.catalogue(tmp_path).refresh()
    later = providers.catalogue(tmp_path)
    assert await later.fill() == {"a": 2, "b": 1}
    assert names(later) == {"a": ["x", "y"], "b": ["y"]}
    assert (later.owners("x"), later.owners("y"), later.owners("z")) == (("a",), ("a", "b"), ())
    assert later.listings["a"][0].details == {"size": 1}
    assert providers.asked == ["a", "b"]


async def test_a_list_that_is_a_day_old_is_fetched_again(tmp_path: Path) -> None:
    providers = Providers(a=["x"])
    await providers.catalogue(tmp_path).refresh()
    age(tmp_path, KEPT_SECONDS - 60)
    await providers.catalogue(tmp_path).fill()
    assert providers.asked == ["a"]
    age(tmp_path, 120)
    await providers.catalogue(tmp_path).fill()
    assert providers.asked == ["a", "a"]


async def test_a_list_from_the_future_is_fetched_again(tmp_path: Path) -> None:
    providers = Providers(a=["x"])
    await providers.catalogue(tmp_path).refresh()
    age(tmp_path, -KEPT_SECONDS)
    await providers.catalogue(tmp_path).fill()
    assert providers.asked == ["a", "a"]


async def test_a_provider_that_fails_keeps_its_last_known_list_over_a_restart(tmp_path: Path) -> None:
    providers = Providers(a=["x"], b=["y"])
    first = providers.catalogue(tmp_path)
    await first.refresh()
    providers.models["a"] = None
    outcomes = await first.refresh()
    assert isinstance(outcomes["a"], GatewayError)
    assert names(first) == {"a": ["x"], "b": ["y"]}
    age(tmp_path, KEPT_SECONDS + 60)
    later = providers.catalogue(tmp_path)
    await later.fill()
    assert names(later) == {"a": ["x"], "b": ["y"]}


async def test_a_list_of_what_was_another_provider_does_not_count(tmp_path: Path) -> None:
    providers = Providers(a=["x"])
    await providers.catalogue(tmp_path, address="here").refresh()
    providers.models["a"] = None
    moved = providers.catalogue(tmp_path, address="there")
    await moved.fill()
    assert names(moved) == {}


async def test_the_file_does_not_show_where_providers_are(tmp_path: Path) -> None:
    await Providers(a=["x"]).catalogue(tmp_path, address="http://user:marked@host").refresh()
    assert "marked" not in (tmp_path / FILE).read_text()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"a": 5}', b'{"a": {"models": [{}], "fetched": 1}}', b"\xff"])
async def test_a_file_that_cannot_be_read_is_no_trouble(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    providers = Providers(a=["x"])
    await providers.catalogue(tmp_path).fill()
    later = providers.catalogue(tmp_path)
    await later.fill()
    assert names(later) == {"a": ["x"]}
    assert providers.asked == ["a"]


async def test_a_disk_that_refuses_costs_nothing_but_the_copy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    providers = Providers(a=["x"])
    catalogue = providers.catalogue(tmp_path / "file" / "folder")
    assert await catalogue.fill() == {"a": 1}
    assert names(catalogue) == {"a": ["x"]}


async def test_only_what_is_kept_is_left_in_the_folder(tmp_path: Path) -> None:
    catalogue = Providers(a=["x"]).catalogue(tmp_path / "data")
    await asyncio.gather(*(catalogue.refresh() for _ in range(5)))
    assert sorted(file.name for file in (tmp_path / "data").iterdir()) == ["catalogue.json", "catalogue.lock"]


async def test_a_refresh_reaches_the_other_workers(tmp_path: Path) -> None:
    providers = Providers(a=["x"])
    told: list[list[tuple[str, str]]] = []

    def tell(pairs: Iterable[tuple[str, str]]) -> None:
        told.append(list(pairs))

    other = Catalogue(("a",), providers.fetch, tell=tell, folder=tmp_path, identities={"a": "here"})
    other.start()
    try:
        await until(lambda: names(other) == {"a": ["x"]})
        providers.models["a"] = ["x", "new"]
        await providers.catalogue(tmp_path).refresh()
        await until(lambda: other.owners("new") == ("a",))
    finally:
        await other.stop()
    assert told[-1] == [("a", "x"), ("a", "new")]
    assert providers.asked == ["a", "a"]


async def test_workers_that_write_at_once_keep_each_others_news(tmp_path: Path) -> None:
    providers = Providers(a=["x"], b=["y"])
    workers = [providers.catalogue(tmp_path) for _ in range(2)]
    for _ in range(10):
        await asyncio.gather(workers[0].refresh(["a"]), workers[1].refresh(["b"]))
        later = providers.catalogue(tmp_path)
        asked = len(providers.asked)
        await later.fill()
        assert names(later) == {"a": ["x"], "b": ["y"]}
        assert len(providers.asked) == asked
        (tmp_path / FILE).unlink()


async def test_who_reads_while_another_writes_never_finds_half_a_file(tmp_path: Path) -> None:
    providers = Providers(a=[f"model-{number}" for number in range(3000)])
    writer = providers.catalogue(tmp_path)
    await writer.refresh()
    writing = asyncio.create_task(refresh_often(writer, 10))
    reads = 0
    while not writing.done() or reads < 10:
        await asyncio.sleep(0)
        assert len(json.loads((tmp_path / FILE).read_bytes())["a"]["models"]) == 3000
        reads += 1
    await writing
    assert len(providers.asked) == 11


async def refresh_often(catalogue: Catalogue, times: int) -> None:
    for _ in range(times):
        await catalogue.refresh()


async def until(done: Any) -> None:
    async with asyncio.timeout(PATIENCE):
        while not done():
            await asyncio.sleep(0.02)
