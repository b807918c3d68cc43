"""Which provider serves a model: the rules of API.md 1.4, first match wins."""

from collections.abc import Mapping

import pytest

from gateway.errors import InvalidRequest, ModelNotFound
from gateway.routing.names import Target, find_route, is_visible
from gateway.settings import ModelSettings, ProviderSettings, Settings

PROVIDERS = {
    name: ProviderSettings(name=name, kind=kind, base_url="http://nowhere")  # type: ignore[arg-type]
    for name, kind in {
        "openai": "openai", "anthropic": "anthropic", "ollama": "ollama", "stub": "stub", "work": "openai-compatible",
    }.items()
}  # fmt: skip


def settings(**changes: object) -> Settings:
    return Settings(providers=PROVIDERS, **changes)  # type: ignore[arg-type]


def route(
    asked: str, provider: str | None = None, owned: Mapping[str, tuple[str, ...]] | None = None, **changes: object
) -> list[str]:
    found = find_route(asked, provider, settings(**changes), lambda model: (owned or {}).get(model, ()))
    return [f"{target.provider}/{target.model}" for target in found.targets]


def test_a_provider_beside_the_model_comes_first() -> None:
    assert route("llama3:8b", "ollama") == ["ollama/llama3:8b"]
    assert route("ollama:llama3:8b", "ollama") == ["ollama/llama3:8b"]
    assert route("fast", "openai", models={"fast": ModelSettings(model="ollama:x")}) == ["openai/fast"]


def test_a_prefix_that_names_a_provider_comes_next() -> None:
    assert route("ollama:llama3:8b") == ["ollama/llama3:8b"]
    assert route("llama3:8b") == ["stub/llama3:8b"]
    assert route("work:google/gemma") == ["work/google/gemma"]


def test_an_alias_leads_where_it_says_with_its_fallbacks_in_order() -> None:
    models = {
        "fast": ModelSettings(model="ollama:llama3:8b"),
        "smart": ModelSettings(
            model="anthropic:claude", fallbacks=("openai:gpt-4o", "fast"), options={"temperature": 0.2}
        ),
    }
    assert route("fast", models=models) == ["ollama/llama3:8b"]
    assert route("smart", models=models) == ["anthropic/claude", "openai/gpt-4o", "ollama/llama3:8b"]
    found = find_route("smart", None, settings(models=models), lambda _model: ())
    assert [dict(target.options) for target in found.targets] == [{"temperature": 0.2}] * 3


def test_what_an_alias_sets_holds_for_its_fallbacks_over_what_they_set_themselves() -> None:
    models = {
        "smart": ModelSettings(model="openai:gpt-4o", fallbacks=("fast",), options={"temperature": 0.2}),
        "fast": ModelSettings(model="ollama:llama3", options={"temperature": 1, "num_ctx": 8192}),
    }
    found = find_route("smart", None, settings(models=models), lambda _model: ())
    assert [dict(target.options) for target in found.targets] == [
        {"temperature": 0.2}, {"temperature": 0.2, "num_ctx": 8192}
    ]  # fmt: skip


def test_the_map_decides_by_exact_name_then_by_longest_prefix() -> None:
    mapping = {"gpt-4": "openai", "gpt-*": "work", "gpt-4-*": "anthropic"}
    assert route("gpt-4", model_provider_map=mapping) == ["openai/gpt-4"]
    assert route("gpt-4-turbo", model_provider_map=mapping) == ["anthropic/gpt-4-turbo"]
    assert route("gpt-5", model_provider_map=mapping) == ["work/gpt-5"]


def test_the_only_provider_that_lists_a_model_serves_it() -> None:
    assert route("gemma", owned={"gemma": ("ollama",)}, default_provider="openai") == ["ollama/gemma"]
    assert route("gemma", owned={"gemma": ("ollama", "work")}, default_provider="openai") == ["openai/gemma"]


def test_the_default_provider_comes_last() -> None:
    assert route("whatever", default_provider="openai") == ["openai/whatever"]


def test_an_unknown_provider_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(InvalidRequest, match="anthropic"):
        route("x", "nobody")


def test_a_filter_hides_what_is_outside_but_not_aliases_that_lead_inside() -> None:
    models = {"fast": ModelSettings(model="ollama:llama3"), "far": ModelSettings(model="openai:gpt")}
    assert route("fast", models=models, provider_filter="ollama") == ["ollama/llama3"]
    with pytest.raises(ModelNotFound):
        route("far", models=models, provider_filter="ollama")
    with pytest.raises(ModelNotFound):
        route("gpt", "openai", provider_filter="ollama")


def test_under_a_filter_a_bare_name_leads_to_the_only_visible_provider() -> None:
    owned = {"gemma": ("ollama", "work"), "far": ("ollama",), "wide": ("ollama", "openai")}
    for asked in ("gemma", "listed-by-nobody"):
        assert route(asked, owned=owned, provider_filter="work", default_provider="openai") == [f"work/{asked}"]
    assert route("gemma", owned=owned, model_filter="work:gemma", default_provider="openai") == ["work/gemma"]
    with pytest.raises(ModelNotFound):
        route("other", owned=owned, model_filter="work:gemma", default_provider="openai")
    for elsewhere in ("far", "wide"):
        with pytest.raises(ModelNotFound):
            route(elsewhere, owned=owned, provider_filter="work", default_provider="openai")


@pytest.mark.parametrize(("asked", "provider"), [("work:", None), ("work:", "work"), ("", "work")])
def test_a_provider_without_a_model_is_no_model(asked: str, provider: str | None) -> None:
    with pytest.raises(InvalidRequest, match="model: must name a model of work"):
        route(asked, provider)


def test_a_model_filter_may_be_a_name_or_an_alias() -> None:
    models = {"fast": ModelSettings(model="ollama:llama3")}
    assert is_visible(Target(provider="ollama", model="llama3"), settings(model_filter="ollama:llama3"))
    assert is_visible(Target(provider="ollama", model="llama3"), settings(models=models, model_filter="fast"))
    assert not is_visible(Target(provider="ollama", model="other"), settings(models=models, model_filter="fast"))


def test_a_model_filter_may_be_an_alias_of_an_alias() -> None:
    models = {"quick": ModelSettings(model="fast"), "fast": ModelSettings(model="ollama:llama3")}
    for asked in ("quick", "fast", "ollama:llama3"):
        assert route(asked, models=models, model_filter="quick") == ["ollama/llama3"]
    with pytest.raises(ModelNotFound):
        route("ollama:other", models=models, model_filter="quick")


def test_an_entry_may_have_the_full_name_of_its_model() -> None:
    models = {
        "ollama:llama3": ModelSettings(model="ollama:llama3", options={"num_ctx": 8192}),
        "fast": ModelSettings(model="ollama:llama3", options={"top_k": 4}),
    }
    found = [find_route(asked, None, settings(models=models), lambda _model: ()) for asked in models]
    assert [target.model for one in found for target in one.targets] == ["llama3", "llama3"]
    assert [dict(one.targets[0].options) for one in found] == [{"num_ctx": 8192}, {"num_ctx": 8192, "top_k": 4}]
    assert route("fast", models=models, model_filter="ollama:llama3") == ["ollama/llama3"]


def test_placeholder_mode_leads_everything_to_the_stub() -> None:
    assert route("gpt-4o", "openai", placeholder_mode=True) == ["stub/gpt-4o"]


def test_options_of_a_model_hold_however_it_is_asked_for() -> None:
    models = {"llama3": ModelSettings(model="ollama:llama3", options={"num_ctx": 8192})}
    for asked, provider in (("llama3", None), ("ollama:llama3", None), ("llama3", "ollama")):
        found = find_route(asked, provider, settings(models=models), lambda _model: ())
        assert dict(found.targets[0].options) == {"num_ctx": 8192}
    elsewhere = find_route("openai:llama3", None, settings(models=models), lambda _model: ())
    assert dict(elsewhere.targets[0].options) == {}


def test_fallbacks_that_name_each_other_do_not_go_round() -> None:
    models = {
        "a": ModelSettings(model="ollama:a", fallbacks=("b",)),
        "b": ModelSettings(model="ollama:b", fallbacks=("a",)),
    }
    assert route("a", models=models) == ["ollama/a", "ollama/b"]
