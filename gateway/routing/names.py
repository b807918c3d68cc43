"""Which model of which provider is meant (API.md 1.4)."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from gateway.errors import Detail, InvalidRequest, ModelNotFound
from gateway.settings import ModelSettings, Settings

Owners = Callable[[str], tuple[str, ...]]
"""Asks the catalogue which providers list a model."""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """One place to try: `model` is the provider's own name, `options` what its entry of `models` sets."""

    provider: str
    model: str
    options: Mapping[str, Any] = {}


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """Where a request goes: `targets` in the order to be tried, `asked` the name that the client used."""

    asked: str
    targets: tuple[Target, ...]


def find_route(asked: str, provider: str | None, settings: Settings, owners: Owners) -> Route:
    """Find where `asked` leads; the first rule that matches wins.

    `provider` is what stood beside the model in the request. `InvalidRequest` for an unknown provider,
    `ModelNotFound` where a filter hides the model.
    """
    if provider is not None and provider not in settings.providers:
        raise unknown_provider(provider, settings)
    if settings.placeholder_mode:
        return Route(asked=asked, targets=(Target(provider="stub", model=asked),))
    if provider is None and asked in settings.models:
        targets = tuple(_follow(settings.models[asked], settings, owners))
    else:
        targets = (_with_options(_find_target(asked, provider, settings, owners), settings),)
    if not is_visible(targets[0], settings):
        raise unknown_model(asked)
    return Route(asked=asked, targets=targets)


def names_provider(asked: str, settings: Settings) -> bool:
    """Whether `asked` is `provider:model` and no alias: where it leads depends on the settings alone."""
    named, _, rest = asked.partition(":")
    return bool(rest) and named in settings.providers and asked not in settings.models


def unknown_model(asked: str) -> ModelNotFound:
    """Make the error for a model that is not here."""
    shown = asked[:200]
    return ModelNotFound(f"The model {shown!r} does not exist here: GET /v1/models lists those that do.", model=shown)


def unknown_provider(asked: str, settings: Settings) -> InvalidRequest:
    """Make the error for a provider that is not here, naming those that are."""
    known = ", ".join(sorted(settings.providers))
    detail = Detail("provider", f"{asked[:200]!r} is not a provider here; known are {known}")
    return InvalidRequest(f"provider: {detail.message}", code="unknown_provider", details=[detail])


def is_visible(target: Target, settings: Settings) -> bool:
    """Whether the filters let a target through; an alias that leads to a visible target is visible too."""
    if settings.provider_filter is not None and target.provider != settings.provider_filter:
        return False
    if settings.model_filter is None:
        return True
    spec = settings.model_filter
    while (entry := _further(spec, settings)) is not None:
        spec = entry.model
    return spec in (f"{target.provider}:{target.model}", target.model)


def _further(spec: str, settings: Settings) -> ModelSettings | None:
    """Give the entry that `spec` leads on by; None at the end: a cycle of aliases stops the start.

    An entry may have the name of the model that it sets options for.
    """
    entry = settings.models.get(spec)
    return None if entry is None or entry.model == spec else entry


def _follow(entry: ModelSettings, settings: Settings, owners: Owners) -> Iterator[Target]:
    """Give the entry's own target, then one for each fallback; a fallback's own fallbacks are not followed.

    The entry's options are for its fallbacks, too.
    """
    for spec in (entry.model, *entry.fallbacks):
        yield _lead(ModelSettings(model=spec, options=entry.options), settings, owners)


def _lead(entry: ModelSettings, settings: Settings, owners: Owners) -> Target:
    options = dict(entry.options)
    while (further := _further(entry.model, settings)) is not None:
        entry = further
        options = dict(entry.options) | options
    found = _with_options(_find_target(entry.model, None, settings, owners), settings)
    return Target(provider=found.provider, model=found.model, options=dict(found.options) | options)


def _with_options(target: Target, settings: Settings) -> Target:
    """Add what an entry of `models` sets for just this model of just this provider, however it was asked for."""
    full_name = f"{target.provider}:{target.model}"
    entry = settings.models.get(full_name) or settings.models.get(target.model)
    if entry is None or entry.model != full_name:
        return target
    return Target(provider=target.provider, model=target.model, options=entry.options)


def _find_target(asked: str, provider: str | None, settings: Settings, owners: Owners) -> Target:
    if provider is not None:
        return _name_target(provider, asked.removeprefix(f"{provider}:"))
    named, colon, rest = asked.partition(":")
    if colon and named in settings.providers:
        return _name_target(named, rest)
    if mapped := _find_mapped(asked, settings.model_provider_map):
        return Target(provider=mapped, model=asked)
    having = owners(asked)
    if len(having) > 1:
        having = _keep_visible(having, asked, settings) or having[:1]  # hidden, all of them: so is the model
    if len(having) == 1:
        return Target(provider=having[0], model=asked)
    return Target(provider=_find_default(asked, settings), model=asked)


def _find_default(asked: str, settings: Settings) -> str:
    """Give the default provider; in the place of one that a filter hides, the only one that it shows."""
    if is_visible(Target(provider=settings.default_provider, model=asked), settings):
        return settings.default_provider
    visible = _keep_visible(settings.providers, asked, settings)
    return visible[0] if len(visible) == 1 else settings.default_provider


def _name_target(provider: str, model: str) -> Target:
    if not model:
        detail = Detail("model", f"must name a model of {provider}: '{provider}:' is none")
        raise InvalidRequest.naming([detail])
    return Target(provider=provider, model=model)


def _keep_visible(providers: Iterable[str], model: str, settings: Settings) -> tuple[str, ...]:
    return tuple(name for name in providers if is_visible(Target(provider=name, model=model), settings))


def _find_mapped(asked: str, mapping: Mapping[str, str]) -> str | None:
    if asked in mapping:
        return mapping[asked]
    prefixes = [key for key in mapping if key.endswith("*") and asked.startswith(key[:-1])]
    return mapping[max(prefixes, key=len)] if prefixes else None
