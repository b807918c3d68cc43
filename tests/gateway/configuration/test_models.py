"""Models: aliases, fallbacks, the map, and models-config.json."""

from pathlib import Path

from gateway.settings import ModelSettings
from tests.gateway.configuration.given import given, refusal


def test_a_target_that_the_map_decides_is_somewhere(tmp_path: Path) -> None:
    settings = given(tmp_path, file="models: {a: gpt-9}", MODEL_PROVIDER_MAP="gpt-*=openai")
    assert settings.models["a"].model == "gpt-9"


def test_two_entries_may_fall_back_to_each_other(tmp_path: Path) -> None:
    file = "models: {a: {model: openai:x, fallbacks: [b]}, b: {model: ollama:y, fallbacks: [a]}}"
    assert given(tmp_path, file=file).models["b"].fallbacks == ("a",)


def test_models_config_is_merged_by_provider(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text(
        '{"ollama": {"llama3:8b": {"keep_alive": "35m", "options": {"num_ctx": 8192}}, "fast": {"a": 1}},'
        ' "lmstudio": {"llama3:8b": {"b": 2}}}'
    )
    models = given(tmp_path, file="models: {fast: openai:x}", MODELS_CONFIG="m.json").models
    assert models == {
        "fast": ModelSettings(model="openai:x"),
        "llama3:8b": ModelSettings(model="ollama:llama3:8b", options={"keep_alive": "35m", "num_ctx": 8192}),
        "ollama:fast": ModelSettings(model="ollama:fast", options={"a": 1}),
        "lmstudio:llama3:8b": ModelSettings(model="lmstudio:llama3:8b", options={"b": 2}),
    }
    (tmp_path / "m.json").write_text('{"nobody": {}}')
    assert "m.json: nobody: expected a provider" in refusal(tmp_path, MODELS_CONFIG="m.json")


def test_options_of_a_model_are_kept_as_they_stand(tmp_path: Path) -> None:
    options = "{temperature: 0.2, max_tokens: '${MOST}', stop: [a, b], keep_alive: 35m, num_ctx: 8192}"
    settings = given(tmp_path, file=f"models: {{a: {{model: openai:x, options: {options}}}}}", MOST="64")
    assert settings.models["a"].options == {
        "temperature": 0.2, "max_tokens": 64, "stop": ["a", "b"], "keep_alive": "35m", "num_ctx": 8192,
    }  # fmt: skip


def test_blank_entries_of_the_map_are_skipped(tmp_path: Path) -> None:
    settings = given(tmp_path, file="model_provider_map: {x: '', y: ' ', z: , a: openai}")
    assert settings.model_provider_map == {"a": "openai"}


def test_a_filter_may_be_a_bare_name_with_a_colon(tmp_path: Path) -> None:
    assert given(tmp_path, "--model", "llama3:8b").model_filter == "llama3:8b"
