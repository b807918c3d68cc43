"""The models that a client is shown: aliases and what the catalogue has, as far as the filters let them through."""

from collections.abc import Iterator, Mapping

import msgspec

from gateway.errors import GatewayError
from gateway.messages.models import Model
from gateway.routing.names import Owners, Target, find_route, is_visible
from gateway.settings import Settings


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """One entry: `id` is `provider:model` or an alias, `provider` who serves it, `model` its own name of it."""

    id: str
    provider: str
    model: str
    created: int = 0
    details: dict[str, object] = {}


def list_models(settings: Settings, listings: Mapping[str, tuple[Model, ...]], owners: Owners) -> tuple[Listed, ...]:
    """List aliases first, then the models of each provider."""
    return (*_list_aliases(settings, owners), *_list_catalogue(settings, listings))


def _list_aliases(settings: Settings, owners: Owners) -> Iterator[Listed]:
    for alias in settings.models:
        try:
            target = find_route(alias, None, settings, owners).targets[0]
        except GatewayError:
            continue
        yield Listed(id=alias, provider=target.provider, model=target.model)


def _list_catalogue(settings: Settings, listings: Mapping[str, tuple[Model, ...]]) -> Iterator[Listed]:
    for provider, models in listings.items():
        for model in models:
            if is_visible(Target(provider=provider, model=model.id), settings):
                name = f"{provider}:{model.id}"
                yield Listed(
                    id=name, provider=provider, model=model.id, created=model.created, details=dict(model.details)
                )
