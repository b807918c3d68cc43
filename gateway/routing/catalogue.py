"""Which provider has which models: fetched in the background, kept for a day, never waited for by a request.

With a folder the lists are kept in a file there, for the next start and for the other workers: each of them looks now
and then whether the file has become another, and takes over what is newer than its own.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from pathlib import Path

from gateway.errors import GatewayError
from gateway.messages.models import Model
from gateway.routing.shelf import Listing, Shelf

log = logging.getLogger(__name__)

KEPT_SECONDS = 24 * 3600.0
RETRY_SECONDS = 60.0
LOOK_SECONDS = 1.0  # until a refresh has reached all workers

Fetch = Callable[[str], Awaitable[tuple[Model, ...]]]
"""Asks one provider for its models; raises `GatewayError` when it cannot be had."""


class Catalogue:
    """The lists of all configured providers; one that fails keeps its last known list.

    `tell` is told all pairs of provider and model whenever they may have changed. `folder` is where the lists are
    kept (None: in memory only); a list from there counts only for the same `identities`, which say by a provider's
    name what it was (its address, in whatever form).
    """

    def __init__(
        self,
        providers: tuple[str, ...],
        fetch: Fetch,
        *,
        tell: Callable[[Iterable[tuple[str, str]]], None],
        folder: Path | None = None,
        identities: Mapping[str, str] | None = None,
    ) -> None:
        self._providers = providers
        self._fetch = fetch
        self._tell = tell
        self._shelf = Shelf(folder, identities or {}) if folder is not None else None
        self._listings: dict[str, Listing] = {}
        self._owners: dict[str, tuple[str, ...]] = {}
        self._keeping: asyncio.Task[None] | None = None

    @property
    def listings(self) -> Mapping[str, tuple[Model, ...]]:
        """What is known, by provider."""
        return {name: self._listings[name].models for name in self._providers if name in self._listings}

    def owners(self, model: str) -> tuple[str, ...]:
        """Give the providers that list a model."""
        return self._owners.get(model, ())

    async def refresh(self, only: Collection[str] | None = None) -> dict[str, GatewayError | int]:
        """Ask all providers (or some) now, side by side; tells how many models each has, or why it could not say."""
        await self._take_over()
        asked = [name for name in self._providers if only is None or name in only]
        outcomes = await asyncio.gather(*(self._refresh_one(name) for name in asked))
        if any(isinstance(outcome, int) for outcome in outcomes):
            self._index()
            if self._shelf is not None:
                await self._shelf.put(self._listings)
        return dict(zip(asked, outcomes, strict=True))

    async def fill(self, only: Collection[str] | None = None) -> dict[str, GatewayError | int]:
        """Take what is kept, and ask all providers (or some) whose list is missing or too old.

        Tells as `refresh` does.
        """
        await self._take_over()
        wanted = [name for name in self._providers if only is None or name in only]
        outcomes = await self.refresh([name for name in self._due() if name in wanted])
        known = {name: len(self._listings[name].models) for name in wanted if name in self._listings}
        return {**known, **outcomes}

    async def _refresh_one(self, provider: str) -> GatewayError | int:
        began = time.time()
        try:
            models = await self._fetch(provider)
        except GatewayError as error:
            log.info("the models of %s cannot be had: %s", provider, error.message)
            return error
        self._listings[provider] = Listing(models=models, fetched=began)
        return len(models)

    async def _take_over(self) -> None:
        """Take over the lists from the file that are newer than ours."""
        if self._shelf is None or not self._shelf.is_changed():
            return
        kept = await self._shelf.take()
        for name, listing in kept.items():
            known = self._listings.get(name)
            if name in self._providers and (known is None or known.fetched < listing.fetched):
                self._listings[name] = listing
        self._index()

    def _index(self) -> None:
        owners: dict[str, tuple[str, ...]] = {}
        for name, models in self.listings.items():
            for model in models:
                owners[model.id] = (*owners.get(model.id, ()), name)
        self._owners = owners
        self._tell([(name, model.id) for name, models in self.listings.items() for model in models])

    def start(self) -> None:
        """Begin to keep the lists fresh in the background."""
        self._keeping = asyncio.create_task(self._keep(), name="catalogue")

    async def stop(self) -> None:
        """Stop keeping."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)

    async def _keep(self) -> None:
        while True:
            await self.fill()
            again = time.monotonic() + RETRY_SECONDS
            while (left := again - time.monotonic()) > 0:
                await asyncio.sleep(left if self._shelf is None else min(LOOK_SECONDS, left))
                await self._take_over()

    def _due(self) -> list[str]:
        now = time.time()
        return [name for name in self._providers if not _is_fresh(self._listings.get(name), now)]


def _is_fresh(listing: Listing | None, now: float) -> bool:
    """Whether a list need not be fetched; one from the future is from before the clock was set right."""
    return listing is not None and -RETRY_SECONDS <= now - listing.fetched <= KEPT_SECONDS
