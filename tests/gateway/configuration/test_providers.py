"""Providers: the standing ones, which of them is the default, addresses, OAuth of compat."""

from pathlib import Path

import pytest

from tests.gateway.configuration.given import given, refusal


def test_the_standing_providers_always_exist_with_their_own_addresses(tmp_path: Path) -> None:
    providers = given(tmp_path).providers
    assert {name: provider.base_url for name, provider in providers.items()} == {
        "openai": "https://api.openai.com/v1",
        "anthropic": "https://api.anthropic.com",
        "gemini": "https://generativelanguage.googleapis.com",
        "ollama": "http://localhost:11434",
        "lmstudio": "http://localhost:1234",
        "compat": "http://localhost:11434/v1",
        "stub": "",
    }
    assert not any(provider.configured for provider in providers.values())


@pytest.mark.parametrize(
    ("variable", "value", "name"),
    [
        ("OPENAI_API_KEY", "sk-1", "openai"),
        ("ANTHROPIC_BASE_URL", "http://a", "anthropic"),
        ("GEMINI_API_KEY", "k", "gemini"),
        ("OLLAMA_PORT", "99", "ollama"),
        ("LMSTUDIO_BASE_URL", "http://l", "lmstudio"),
        ("TARGET_ENDPOINT", "http://t/v1", "compat"),
        ("LLM_PROVIDER", "ollama", "ollama"),
    ],
)
def test_a_provider_that_the_environment_names_is_configured_and_the_default(
    tmp_path: Path, variable: str, value: str, name: str
) -> None:
    settings = given(tmp_path, **{variable: value})
    assert [provider.name for provider in settings.providers.values() if provider.configured] == [name]
    assert settings.default_provider == name


def test_the_default_provider_is_the_stub_until_one_is_configured(tmp_path: Path) -> None:
    assert given(tmp_path).default_provider == "stub"
    assert given(tmp_path, MODEL_PROVIDER_MAP="gpt-*=openai").default_provider == "stub"
    assert given(tmp_path, OLLAMA_PORT="1", ANTHROPIC_API_KEY="a").default_provider == "anthropic"
    assert given(tmp_path, OLLAMA_PORT="1", LLM_PROVIDER="gemini").default_provider == "gemini"


def test_in_placeholder_mode_the_stub_is_the_default(tmp_path: Path) -> None:
    settings = given(tmp_path, USE_PLACEHOLDER_MODE="true", OPENAI_API_KEY="sk-1")
    assert (settings.placeholder_mode, settings.default_provider) == (True, "stub")


@pytest.mark.parametrize(
    ("variable", "value", "name", "url"),
    [
        ("OPENAI_BASE_URL", "http://x/v1/", "openai", "http://x/v1"),
        ("OLLAMA_BASE_URL", "http://x:1//", "ollama", "http://x:1"),
        ("LMSTUDIO_BASE_URL", "http://x:1/v1", "lmstudio", "http://x:1"),
        ("ANTHROPIC_BASE_URL", "http://x/v1/", "anthropic", "http://x"),
        ("OLLAMA_PORT", "12", "ollama", "http://localhost:12"),
        ("TARGET_ENDPOINT", "http://x/v1/chat/completions", "compat", "http://x/v1"),
    ],
)
def test_addresses_are_brought_into_one_form(tmp_path: Path, variable: str, value: str, name: str, url: str) -> None:
    assert given(tmp_path, **{variable: value}).providers[name].base_url == url


def test_an_address_wins_over_a_port_of_the_same_source_and_a_stronger_source_over_both(tmp_path: Path) -> None:
    both = {"OLLAMA_BASE_URL": "http://there", "OLLAMA_PORT": "5"}
    assert given(tmp_path, **both).providers["ollama"].base_url == "http://there"
    assert given(tmp_path, "--ollama-port", "6", **both).providers["ollama"].base_url == "http://localhost:6"
    file = "providers: {ollama: {base_url: 'http://filed'}}"
    assert given(tmp_path, file=file).providers["ollama"].base_url == "http://filed"
    assert given(tmp_path, file=file, OLLAMA_PORT="5").providers["ollama"].base_url == "http://localhost:5"


def test_oauth_of_compat_comes_from_the_environment_and_wants_all_its_parts(tmp_path: Path) -> None:
    parts = {"OAUTH_TOKEN_ENDPOINT": "https://id/token?x=1", "OAUTH_CLIENT_ID": "me", "OAUTH_CLIENT_SECRET": "hush"}
    compat = given(tmp_path, **parts, OAUTH_SCOPE="llm", OAUTH_REFRESH_BUFFER_MINUTES="2").providers["compat"]
    assert compat.configured
    assert compat.oauth is not None
    assert (compat.oauth.token_endpoint, compat.oauth.refresh_buffer_minutes) == ("https://id/token?x=1", 2)
    assert "hush" not in repr(compat)
    del parts["OAUTH_CLIENT_SECRET"]
    assert refusal(tmp_path, **parts).startswith("OAUTH_CLIENT_SECRET: expected to be set")
