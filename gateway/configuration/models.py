"""Names of models: aliases, what they fall back to, and which provider serves what."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from gateway.configuration.file import Section, read_file
from gateway.configuration.sources import Values
from gateway.configuration.values import BadSetting
from gateway.settings import ModelSettings


def build_map(given: Values, section: Section, providers: Collection[str]) -> dict[str, str]:
    """Join the config file's `model_provider_map` and `MODEL_PROVIDER_MAP`, which wins where both name a pattern."""
    found: dict[str, str] = {}
    for pattern in section:
        if not pattern.strip() or pattern not in section or _is_blank(section.value(pattern)):
            continue
        provider = section.text(pattern, expected="the name of a provider")
        _check_entry(section.place(pattern), pattern, provider, providers)
        found[pattern.strip()] = provider
    for pattern, provider in (given["model_provider_map"] or {}).items():
        _check_entry(given.source("model_provider_map"), pattern, provider, providers)
        found[pattern] = provider
    return found


def _is_blank(value: object) -> bool:
    return isinstance(value, str) and not value.strip()


def _check_entry(place: str, pattern: str, provider: str, providers: Collection[str]) -> None:
    if "*" in pattern[:-1]:
        raise BadSetting(f"{place}: expected '*' at the end only, got {pattern!r}")
    if provider not in providers:
        raise BadSetting(f"{place}: expected a provider, one of {', '.join(providers)}, got {provider!r}")


def build_models(
    given: Values,
    section: Section,
    providers: Collection[str],
    patterns: Mapping[str, str],
    environ: Mapping[str, str],
    cwd: Path,
) -> dict[str, ModelSettings]:
    """Read `models` and `MODELS_CONFIG`; refuse aliases that point nowhere or in a circle."""
    found = {name: _entry(section, name) for name in section}
    for name, entry in found.items():
        prefix, colon, _ = name.partition(":")
        if colon and prefix in providers and entry.model != name:
            raise section.refuse(name, f"another name, since {prefix}:… always means the provider {prefix}")
        for target in (entry.model, *entry.fallbacks):
            if not _leads_somewhere(target, name, found, providers, patterns):
                raise section.refuse(
                    name, f"provider:model with a known provider, or another entry of models, got {target!r}"
                )
    _refuse_cycles(section, found, providers)
    _refuse_circling_fallbacks(section, found)
    if given.is_given("models_config"):
        file = cwd / given["models_config"]
        _merge(found, _grouped(read_file(file, environ), providers))
    return found


def _entry(section: Section, name: str) -> ModelSettings:
    value = section.value(name)
    if isinstance(value, str) and value.strip():
        return ModelSettings(model=value.strip())
    if not isinstance(value, dict):
        raise section.refuse(name, "provider:model, or a mapping with model, fallbacks and options")
    entry = section.section(name)
    entry.known("model", "fallbacks", "options")
    model = entry.text("model", expected="provider:model")
    if model is None:
        raise entry.refuse(None, "a model, provider:model")
    fallbacks = entry.texts("fallbacks", "a list of provider:model")
    return ModelSettings(model=model, fallbacks=fallbacks, options=_options(entry.section("options")))


# Options whose type every provider agrees on (OpenAI's API reference, "Create chat completion"); others are as the
# provider has them.
_NUMBERS = ("temperature", "top_p", "frequency_penalty", "presence_penalty")
_WHOLE = ("max_tokens", "seed", "n", "top_logprobs")
_TRUTHS = ("logprobs", "parallel_tool_calls")
_TEXTS = ("user", "reasoning_effort")
_LARGEST = 2**63 - 1


def _options(section: Section) -> dict[str, Any]:
    found = {key: section.value(key) for key in section}
    found |= {key: section.number(key, -_LARGEST, _LARGEST) for key in _NUMBERS if key in section}
    found |= {key: section.number(key, -_LARGEST, _LARGEST, whole=True) for key in _WHOLE if key in section}
    found |= {key: section.text(key) for key in _TEXTS if key in section}
    for key in _TRUTHS:
        if key in section and not isinstance(found[key], bool):
            raise section.refuse(key, "true or false")
    if "stop" in section and not isinstance(found["stop"], str):
        section.texts("stop", "a text or a list of texts")
    return found


def _leads_somewhere(
    target: str,
    name: str,
    entries: Mapping[str, ModelSettings],
    providers: Collection[str],
    patterns: Mapping[str, str],
) -> bool:
    prefix, colon, model = target.partition(":")
    if colon and prefix in providers:
        return bool(model)
    if target in entries:
        return True
    mapped = target in patterns or any(key.endswith("*") and target.startswith(key[:-1]) for key in patterns)
    return mapped and target != name


def _refuse_cycles(section: Section, entries: Mapping[str, ModelSettings], providers: Collection[str]) -> None:
    for start in entries:
        trail = [start]
        while True:
            target = entries[trail[-1]].model
            if target.partition(":")[0] in providers and ":" in target:
                break
            if target not in entries:
                break
            if target in trail:
                raise section.refuse(start, f"an alias that ends at a model, got {' -> '.join([*trail, target])}")
            trail.append(target)


def _refuse_circling_fallbacks(section: Section, entries: Mapping[str, ModelSettings]) -> None:
    for name, entry in entries.items():
        for fallback in entry.fallbacks:
            trail = [name, fallback]
            while trail[-1] != name and (further := entries.get(trail[-1])) and further.model != trail[-1]:
                trail.append(further.model)
            if trail[-1] == name:
                raise section.refuse(name, f"fallbacks that lead somewhere else, got {' -> '.join(trail)}")


def _grouped(file: Section, providers: Collection[str]) -> dict[str, ModelSettings]:
    """Read models-config.json: options of models by provider; an inner `options` lies beside the outer ones."""
    found: dict[str, ModelSettings] = {}
    for provider in file:
        if provider not in providers:
            raise file.refuse(provider, f"a provider, one of {', '.join(providers)}")
        models = file.section(provider)
        for name in models:
            entry = models.section(name)
            options = _options(entry) | _options(entry.section("options"))
            if "options" not in _options(entry.section("options")):
                options.pop("options", None)
            found[f"{provider}:{name}"] = ModelSettings(model=f"{provider}:{name}", options=options)
    return found


def _merge(entries: dict[str, ModelSettings], grouped: Mapping[str, ModelSettings]) -> None:
    """Lay options of models-config.json into `entries`: under the bare name, or provider:model where that is taken."""
    for spec, entry in grouped.items():
        bare = spec.partition(":")[2]
        name = bare if bare not in entries or entries[bare].model == spec else spec
        before = entries.get(name, ModelSettings(model=spec))
        entries[name] = ModelSettings(
            model=before.model, fallbacks=before.fallbacks, options={**entry.options, **before.options}
        )
