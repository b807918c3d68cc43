"""Which provider has which models: fetched in the background, kept for a day, never waited for by a request."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from gateway.errors import GatewayError
from gateway.messages.models import Model

log = logging.getLogger(__name__)

KEPT_SECONDS = 24 * 3600.0
RETRY_SECONDS = 60.0

Fetch = Callable[[str], Awaitable[tuple[Model, ...]]]
"""Asks one provider for its models; raises `GatewayError` when it cannot be had."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What one provider last told, and when (monotonic seconds)."""

    models: tuple[Model, ...]
    fetched: float


class Catalogue:
    """The lists of all configured providers; one that fails keeps its last known list.

    `tell` is told all pairs of provider and model after each refresh.
    """

    def __init__(
        self, providers: tuple[str, ...], fetch: Fetch, *, tell: Callable[[Iterable[tuple[str, str]]], None]
    ) -> None:
        self._providers = providers
        self._fetch = fetch
        self._tell = tell
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
        asked = [name for name in self._providers if only is None or name in only]
        outcomes = await asyncio.gather(*(self._refresh_one(name) for name in asked))
        owners: dict[str, tuple[str, ...]] = {}
        for name, models in self.listings.items():
            for model in models:
                owners[model.id] = (*owners.get(model.id, ()), name)
        self._owners = owners
        self._tell([(name, model.id) for name, models in self.listings.items() for model in models])
        return dict(zip(asked, outcomes, strict=True))

    async def _refresh_one(self, provider: str) -> GatewayError | int:
        try:
            models = await self._fetch(provider)
        except GatewayError as error:
            log.info("the models of %s cannot be had: %s", provider, error.message)
            return error
        self._listings[provider] = Listing(models, time.monotonic())
        return len(models)

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
            await self.refresh(self._due())
            await asyncio.sleep(RETRY_SECONDS)

    def _due(self) -> list[str]:
        now = time.monotonic()
        known = self._listings
        return [name for name in self._providers if name not in known or now - known[name].fetched > KEPT_SECONDS]
