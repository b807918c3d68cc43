"""The table of options: each reaches the settings, bad values are refused by name, help and .env.example have all."""

import re
from pathlib import Path

import pytest

from gateway.configuration import OPTIONS, load, write_help
from tests.gateway.configuration.given import SECRET, given, refusal


def test_every_option_can_be_given_in_the_environment_and_reaches_the_settings(tmp_path: Path) -> None:
    (tmp_path / "prompts").mkdir()
    settings = given(
        tmp_path,
        GATEWAY_HOST="0.0.0.0",
        GATEWAY_PUBLISHED="[::1]:81",
        GATEWAY_WORKERS="3",
        DEBUG="true",
        MAX_REQUEST_BYTES="0",
        TRUSTED_PROXIES="2",
        JWT_SECRET=SECRET,
        JWT_ISSUER="https://id",
        JWT_AUDIENCE="me",
        ENABLE_AUTH="yes",
        CORS_ALLOW_ORIGINS="https://a.example, https://b.example/",
        ALLOWED_HOSTS="Gate.Example",
        LLM_TIMEOUT_SECONDS="12.5",
        LLM_RETRIES="4",
        PROVIDER_REST_SECONDS="0",
        UPSTREAM_TRANSPORT="httpx",
        PROVIDER_FILTER="ollama",
        MODEL_FILTER="ollama:llama3:8b",
        LLM_PASSTHROUGH_PROVIDER="ollama",
        EXECUTOR_URL="http://executor:3600/",
        EXECUTOR_SECRET=SECRET,
        LOG_REQUESTS="1",
        LOG_FORMAT="json",
        LOG_FILE="log.txt",
        LOG_BODIES="on",
        DATA_DIR="data",
        PROMPTS_DIR="prompts",
        DEFAULT_LANGUAGE="pl",
        API_PREFIX="llms/",
    )
    assert (settings.host, settings.workers, settings.debug, settings.log_level) == ("0.0.0.0", 3, True, "DEBUG")
    assert settings.published == "[::1]:81"
    assert (settings.max_request_bytes, settings.trusted_proxies) == (0, 2)
    assert (settings.auth.issuer, settings.auth.audience, settings.auth.modes) == ("https://id", "me", ("jwt",))
    assert settings.cors_allow_origins == ("https://a.example", "https://b.example")
    assert settings.allowed_hosts == ("gate.example",)
    assert {(p.timeout_seconds, p.retries) for p in settings.providers.values()} == {(12.5, 4)}
    assert (settings.provider_rest_seconds, settings.upstream_transport) == (0, "httpx")
    assert (settings.provider_filter, settings.model_filter) == ("ollama", "ollama:llama3:8b")
    assert settings.passthrough_provider == "ollama"
    assert (settings.executor_url, settings.executor_secret) == ("http://executor:3600", SECRET)
    assert (settings.log_requests, settings.log_format, settings.log_bodies) == (True, "json", True)
    assert settings.log_file == tmp_path / "log.txt"
    assert settings.data_dir == tmp_path / "data"
    assert settings.prompts_dir == tmp_path / "prompts"
    assert (settings.default_language, settings.api_prefix) == ("pl", "/llms")


BAD_VALUES = [
    ("GATEWAY_PORT", "0", "a port from 1 to 65535"),
    ("PROXY_PORT", "abc", "a port from 1 to 65535"),
    ("GATEWAY_PUBLISHED", "3500", "host:port"),
    ("GATEWAY_PUBLISHED", "http://a:1", "host:port"),
    ("GATEWAY_PUBLISHED", "::1:99999", "host:port"),
    ("GATEWAY_WORKERS", "0", "a whole number from 1 to 256"),
    ("ENABLE_AUTH", "maybe", "true or false"),
    ("OPENAI_BASE_URL", "api.openai.com", "http:// or https://"),
    ("OPENAI_BASE_URL", "http://[", "http:// or https://"),
    ("EXECUTOR_URL", "ftp://x", "http:// or https://"),
    ("LLM_TIMEOUT_SECONDS", "nan", "a number of seconds"),
    ("LLM_TIMEOUT_SECONDS", "0", "a number of seconds"),
    ("LLM_RETRIES", "1.5", "a whole number"),
    ("RATE_LIMIT", "many", "limits such as"),
    ("RATE_LIMIT", "0/minute", "limits such as"),
    ("RATE_LIMIT_EXECUTE", "5/fortnight", "limits such as"),
    ("RATE_LIMIT_STORAGE_URI", "sqlite:///x", "memory:// or redis://"),
    ("MODEL_PROVIDER_MAP", "gpt-4", "pairs such as"),
    ("MODEL_PROVIDER_MAP", "gpt-4=nobody", "a provider, one of openai"),
    ("MODEL_PROVIDER_MAP", "g*t=openai", "'*' at the end only"),
    ("LLM_PROVIDER", "nobody", "a provider, one of openai"),
    ("PROVIDER_FILTER", "nobody", "a provider, one of openai"),
    ("LLM_PASSTHROUGH_PROVIDER", "nobody", "a provider, one of openai"),
    ("LOG_LEVEL", "LOUD", "DEBUG, INFO"),
    ("LOG_FORMAT", "xml", "text or json"),
    ("CORS_ALLOW_ORIGINS", "example.com", "origins such as"),
    ("API_PREFIX", "a b", "a path such as"),
    ("API_PREFIX", "/", "a path such as"),
    ("API_PREFIX", "/a/../v1", "a path such as"),
    *(
        ("API_PREFIX", taken, "a path such as /api that is no path of the gateway's own")
        for taken in ("/v1", "/V1/x", "/llm", "/openai", "/proxy", "/execute", "/health", "/static/a", "/api/logs")
    ),
    ("PROMPTS_DIR", "nowhere", "a folder that exists"),
    ("DEFAULT_LANGUAGE", "../en", "a language code"),
    ("OPENAI_API_KEY", "sk with blanks", "printable ASCII"),
    ("JWT_ALGORITHMS", "none", "HS256"),
    ("SANDGATE_CONFIG", "nowhere.yaml", "cannot be read"),
]


@pytest.mark.parametrize(("variable", "value", "expected"), BAD_VALUES)
def test_a_bad_value_is_refused_by_name(tmp_path: Path, variable: str, value: str, expected: str) -> None:
    message = refusal(tmp_path, **{variable: value})
    assert variable in message or value in message
    assert expected in message


@pytest.mark.parametrize(
    "option", [option for option in OPTIONS if option.secret and option.environment], ids=lambda option: option.name
)
def test_a_refused_secret_is_not_shown(tmp_path: Path, option: object) -> None:
    secret = "top secret\x01value"
    message = refusal(tmp_path, **{option.environment[0]: secret})  # type: ignore[attr-defined]
    assert "top" not in message


def test_a_password_in_a_refused_address_is_not_shown(tmp_path: Path) -> None:
    assert "hunter2" not in refusal(tmp_path, OLLAMA_BASE_URL="ftp://me:hunter2@host")


def test_help_names_every_option_variable_and_default() -> None:
    shown = write_help()
    for option in OPTIONS:
        for name in (*option.flags, *option.environment):
            assert re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", shown), name
        assert f"[{option.default_text}]" in shown


def test_the_table_has_no_name_twice() -> None:
    names = [name for option in OPTIONS for name in (option.name, *option.flags, *option.environment)]
    assert len(names) == len(set(names))


def test_every_variable_is_in_the_example_with_its_default() -> None:
    example = (Path(__file__).parents[3] / ".env.example").read_text()
    for option in OPTIONS:
        for variable in option.environment:
            assert re.search(rf"\b{variable}\b", example), variable
        if option.environment and option.default is not None:
            assert f"#{option.environment[0]}={option.default}\n" in example


def test_the_example_uncommented_is_accepted(tmp_path: Path) -> None:
    example = (Path(__file__).parents[3] / ".env.example").read_text()
    gateway = example.partition("= Executor =")[0]
    (tmp_path / ".env").write_text(re.sub(r"^#(?=[A-Z_]+=)", "", gateway, flags=re.MULTILINE).replace("…", "x"))
    (tmp_path / "prompts").mkdir()
    (tmp_path / "sandgate.yaml").write_text("")
    (tmp_path / "models-config.json").write_text("{}")
    settings = load([], {"OAUTH_CLIENT_SECRET": "x"}, tmp_path)
    assert settings.default_provider == "openai"
