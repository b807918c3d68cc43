"""Options, environment, .env and config file to settings: what wins, what is refused, and in which words."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.configuration import OPTIONS, BadSetting, load, report, write_help
from gateway.settings import ModelSettings, Settings, masked

SECRET = "s" * 32

Refusal = Callable[..., str]


def given(tmp_path: Path, *argv: str, file: str = "", suffix: str = "yaml", **environ: str) -> Settings:
    if file:
        (tmp_path / f"sandgate.{suffix}").write_text(file)
        argv = ("--config", f"sandgate.{suffix}", *argv)
    return load(argv, environ, tmp_path)


def refusal(tmp_path: Path, *argv: str, file: str = "", suffix: str = "yaml", **environ: str) -> str:
    with pytest.raises(BadSetting) as caught:
        given(tmp_path, *argv, file=file, suffix=suffix, **environ)
    assert "\n" not in caught.value.message
    return caught.value.message.replace(f"{tmp_path}/", "")


# --- where values come from ---


def test_command_line_beats_environment_beats_dotenv_beats_file_beats_default(tmp_path: Path) -> None:
    assert given(tmp_path).port == 3500
    assert given(tmp_path, file="port: 1001").port == 1001
    (tmp_path / ".env").write_text("GATEWAY_PORT=1002\n")
    assert given(tmp_path, file="port: 1001").port == 1002
    assert given(tmp_path, file="port: 1001", GATEWAY_PORT="1003").port == 1003
    assert given(tmp_path, "--port", "1004", file="port: 1001", GATEWAY_PORT="1003").port == 1004


def test_an_alias_in_the_environment_counts_where_the_first_name_is_not_set(tmp_path: Path) -> None:
    assert given(tmp_path, PROXY_PORT="1005").port == 1005
    assert given(tmp_path, PROXY_PORT="1005", GATEWAY_PORT="1006").port == 1006


def test_an_alias_in_the_environment_beats_the_first_name_in_dotenv(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("GATEWAY_PORT=1002\n")
    assert given(tmp_path, PROXY_PORT="1005").port == 1005


def test_an_empty_variable_is_not_given(tmp_path: Path) -> None:
    settings = given(tmp_path, GATEWAY_PORT="", OPENAI_API_KEY="", GATEWAY_ACCESS_KEY="")
    assert settings.port == 3500
    assert not settings.providers["openai"].configured
    assert not settings.auth.enabled


def test_dotenv_values_stand_as_they_are_written(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("export OPENAI_API_KEY='sk-${HOME}-x'  # mine\n\nGATEWAY_HOST=::1\n")
    settings = given(tmp_path)
    assert settings.providers["openai"].api_key == "sk-${HOME}-x"
    assert settings.providers["openai"].key_source == "OPENAI_API_KEY in .env"
    assert settings.host == "::1"


def test_a_line_of_dotenv_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("GATEWAY_PORT=1\nthis is no setting = x y\n'broken\n")
    assert refusal(tmp_path).startswith(".env:2")


def test_nothing_outside_the_arguments_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_PORT", "1234")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-outside")
    settings = given(tmp_path)
    assert settings.port == 3500
    assert settings.providers["openai"].api_key is None


# --- options ---


def test_every_option_can_be_given_in_the_environment_and_reaches_the_settings(tmp_path: Path) -> None:
    (tmp_path / "prompts").mkdir()
    settings = given(
        tmp_path,
        GATEWAY_HOST="0.0.0.0",
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
        API_PREFIX="llm/",
    )
    assert (settings.host, settings.workers, settings.debug, settings.log_level) == ("0.0.0.0", 3, True, "DEBUG")
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
    assert (settings.default_language, settings.api_prefix) == ("pl", "/llm")


BAD_VALUES = [
    ("GATEWAY_PORT", "0", "a port from 1 to 65535"),
    ("PROXY_PORT", "abc", "a port from 1 to 65535"),
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


@pytest.mark.parametrize("argv", [["--prot", "1"], ["--jwt-secrt=hunter2"], ["--por", "1"], ["-x"]])
def test_an_unknown_option_is_named_without_its_value(tmp_path: Path, argv: list[str]) -> None:
    message = refusal(tmp_path, *argv)
    assert message == f"unknown option {argv[0].partition('=')[0]}; --help lists them all"


def test_an_option_without_its_value_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, "--port").startswith("-p/--port: ")


def test_short_options_work_and_h_is_the_host(tmp_path: Path) -> None:
    settings = given(tmp_path, "-p", "1001", "-h", "::1", "-k", "sk-1", "-m", "openai:gpt-4o")
    assert (settings.port, settings.host, settings.model_filter) == (1001, "::1", "openai:gpt-4o")
    assert settings.auth.keys[0].key == "sk-1"


# --- help and .env.example ---


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
    example = (Path(__file__).parents[2] / ".env.example").read_text()
    for option in OPTIONS:
        for variable in option.environment:
            assert re.search(rf"\b{variable}\b", example), variable
        if option.environment and option.default is not None:
            assert f"#{option.environment[0]}={option.default}\n" in example


def test_the_example_uncommented_is_accepted(tmp_path: Path) -> None:
    example = (Path(__file__).parents[2] / ".env.example").read_text()
    gateway = example.partition("= Executor =")[0]
    (tmp_path / ".env").write_text(re.sub(r"^#(?=[A-Z_]+=)", "", gateway, flags=re.MULTILINE).replace("…", "x"))
    (tmp_path / "prompts").mkdir()
    (tmp_path / "sandgate.yaml").write_text("")
    (tmp_path / "models-config.json").write_text("{}")
    settings = load([], {"OAUTH_CLIENT_SECRET": "x"}, tmp_path)
    assert settings.default_provider == "openai"


# --- providers ---


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


# --- auth and limits ---


def test_auth_is_off_until_a_key_or_enable_auth_is_given(tmp_path: Path) -> None:
    assert not given(tmp_path).auth.enabled
    assert not given(tmp_path, JWT_SECRET=SECRET).auth.enabled
    assert "JWT_SECRET" in given(tmp_path, JWT_SECRET=SECRET).notes[0]
    assert given(tmp_path, PROXY_ACCESS_TOKEN="sk-1").auth.modes == ("key",)
    assert given(tmp_path, "--enable-auth", JWT_SECRET=SECRET).auth.modes == ("jwt",)
    assert given(tmp_path, "--enable-auth", "-k", "k", JWT_SECRET=SECRET).auth.modes == ("key", "jwt")


def test_a_generated_key_is_long_and_each_time_another(tmp_path: Path) -> None:
    first, second = given(tmp_path, "-g"), given(tmp_path, "-g")
    assert first.generated_key != second.generated_key
    assert re.fullmatch(r"sk-[A-Za-z0-9_-]{43}", first.generated_key or "")
    assert [key.key for key in first.auth.keys] == [first.generated_key]


def test_enable_auth_without_a_secret_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, "--enable-auth") == (
        "--enable-auth: expected JWT_SECRET (or JWT_JWKS_URL) to be set with it"
    )
    assert given(tmp_path, "--enable-auth", JWT_JWKS_URL="https://id/keys").auth.enabled


@pytest.mark.parametrize("name", ["JWT_SECRET", "EXECUTOR_SECRET"])
def test_a_short_secret_is_refused(tmp_path: Path, name: str) -> None:
    assert refusal(tmp_path, **{name: "s" * 31}) == f"{name}: expected at least 32 bytes"
    given(tmp_path, **{name: "ś" * 16})


def test_algorithms_follow_from_secret_and_key_set_unless_they_are_given(tmp_path: Path) -> None:
    url = "https://id/keys"
    assert given(tmp_path, JWT_SECRET=SECRET).auth.algorithms == ("HS256",)
    assert given(tmp_path, JWT_JWKS_URL=url).auth.algorithms == ("RS256", "ES256", "EdDSA")
    assert given(tmp_path, JWT_JWKS_URL=url, JWT_ALGORITHMS="es256,eddsa").auth.algorithms == ("ES256", "EdDSA")
    assert "JWT_ALGORITHMS" in refusal(tmp_path, "--enable-auth", JWT_SECRET=SECRET, JWT_ALGORITHMS="RS256")


def test_limits_are_off_by_default_and_on_once_one_is_given(tmp_path: Path) -> None:
    assert not given(tmp_path).limits.enabled
    plain = given(tmp_path, RATE_LIMIT_ENABLED="true", RATE_LIMIT_MAX_REQUESTS="7").limits
    assert (plain.enabled, plain.requests, plain.executions) == (True, "7/60 second", "7/60 second")
    several = given(tmp_path, RATE_LIMIT="5/second;1000/day").limits
    assert (several.enabled, several.executions) == (True, "5/second;1000/day")
    assert (several.max_requests, several.window_seconds) == (5, 1)
    execute = given(tmp_path, RATE_LIMIT_EXECUTE="3/minute").limits
    assert (execute.enabled, execute.requests, execute.executions) == (True, "60/60 second", "3/minute")


def test_a_redis_address_without_a_port_gets_the_usual_one(tmp_path: Path) -> None:
    limits = given(tmp_path, RATE_LIMIT_STORAGE_URI="redis://:pw@cache/2").limits
    assert limits.storage_uri == "redis://:pw@cache:6379/2"
    assert "pw" not in repr(limits)
    assert given(tmp_path, RATE_LIMIT_STORAGE_URI="memory://").limits.storage_uri is None


# --- config file ---

FULL = """
default_provider: work
log_level: warning
allowed_hosts: [a.example, b.example]
providers:
  work:
    kind: openai-compatible
    base_url: https://llm.example.com/v1/
    api_key: ${WORK_API_KEY}
    oauth: {token_endpoint: https://id/t, client_id: me, client_secret: hush, scope: a, refresh_buffer_minutes: 1}
    headers: {x-team: research}
    timeout_seconds: 120
    retries: 0
  openai: {api_key: sk-file}
models:
  fast: ollama:llama3:8b
  smart: {model: anthropic:claude-sonnet-4-5, fallbacks: [openai:gpt-4o], options: {temperature: 0.2}}
  "google/gemma-3": {model: work:google/gemma-3-12b-it, options: {keep_alive: 35m, num_ctx: 8192}}
  chained: fast
model_provider_map: {"claude-*": anthropic, "blank": , "gpt-4": openai}
keys:
  alice: {key: sk-alice, scopes: [llm], models: ["openai:*"], rate_limit: 5/minute}
"""


def test_the_whole_file_is_read(tmp_path: Path) -> None:
    settings = given(tmp_path, file=FULL, WORK_API_KEY="sk-work", MODEL_PROVIDER_MAP="gpt-4=compat, ,")
    work = settings.providers["work"]
    assert (work.kind, work.base_url, work.api_key) == ("openai-compatible", "https://llm.example.com/v1", "sk-work")
    assert (work.headers, work.timeout_seconds, work.retries) == ({"x-team": "research"}, 120, 0)
    assert (work.configured, work.key_source) == (True, "config file")
    assert work.oauth is not None
    assert settings.providers["openai"].api_key == "sk-file"
    assert (settings.default_provider, settings.log_level) == ("work", "WARNING")
    assert settings.allowed_hosts == ("a.example", "b.example")
    assert settings.models["smart"] == ModelSettings(
        model="anthropic:claude-sonnet-4-5", fallbacks=("openai:gpt-4o",), options={"temperature": 0.2}
    )
    assert settings.models["google/gemma-3"].options == {"keep_alive": "35m", "num_ctx": 8192}
    assert settings.model_provider_map == {"claude-*": "anthropic", "gpt-4": "compat"}
    alice = settings.auth.keys[0]
    assert (alice.name, alice.scopes, alice.models) == ("alice", frozenset({"llm"}), ("openai:*",))
    assert (alice.requests, alice.executions) == ("5/minute", "")
    for secret in ("sk-work", "hush", "sk-file", "sk-alice"):
        assert secret not in repr(settings)


def test_an_option_beats_the_same_thing_in_the_file(tmp_path: Path) -> None:
    openai = given(tmp_path, file=FULL, WORK_API_KEY="x", OPENAI_API_KEY="sk-env").providers["openai"]
    assert (openai.api_key, openai.key_source) == ("sk-env", "OPENAI_API_KEY")


def test_json_is_read_too(tmp_path: Path) -> None:
    file = '{"models": {"fast": "ollama:x"},\n\t"providers": {"w": {"kind": "ollama"}}}'
    settings = given(tmp_path, file=file, suffix="json")
    assert settings.models["fast"].model == "ollama:x"
    assert settings.providers["w"].base_url == "http://localhost:11434"


def test_a_name_in_the_file_may_be_set_in_dotenv(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("MY_KEY=sk-dot\n")
    file = "providers: {openai: {api_key: 'x-${MY_KEY}'}}"
    assert given(tmp_path, file=file).providers["openai"].api_key == "x-sk-dot"


def test_a_number_may_come_from_the_environment(tmp_path: Path) -> None:
    file = "port: ${P}\nproviders: {w: {kind: ollama, retries: '${R}'}}"
    settings = given(tmp_path, file=file, P="1009", R="3")
    assert (settings.port, settings.providers["w"].retries) == (1009, 3)


BAD_FILES = [
    ("prot: 1", "sandgate.yaml:1: prot: unknown key; expected one of port,"),
    ("- a", "sandgate.yaml: expected a mapping"),
    ("providers:\n  x: [", "sandgate.yaml:2: expected YAML"),
    ("port: many", "sandgate.yaml:1: port: expected a port from 1 to 65535, got 'many'"),
    ("port: {a: 1}", "sandgate.yaml:1: port: expected a port from 1 to 65535"),
    ("a: 1\na: 2", "sandgate.yaml:2: a: the key stands there twice"),
    ("providers: 3", "sandgate.yaml:1: providers: expected a mapping"),
    ("providers:\n  w: {kind: gopher}", "sandgate.yaml:2: providers.w.kind: expected one of openai,"),
    ("providers:\n  w: {}", "sandgate.yaml:2: providers.w: expected a kind"),
    ("providers:\n  w: {kind: openai-compatible}", "sandgate.yaml:2: providers.w: expected a base_url"),
    ("providers:\n  w:\n    kind: stub\n    color: red", "sandgate.yaml:4: providers.w.color: unknown key"),
    ("providers:\n  v1: {kind: stub}", "sandgate.yaml:2: providers.v1: expected a name"),
    ("providers:\n  a:b: {kind: stub}", "sandgate.yaml:2: providers.a:b: expected a name"),
    ("providers:\n  openai: {kind: ollama}", "providers.openai.kind: expected openai, which openai always is"),
    (
        "providers: {openai: {api_key: 12345}}",
        "providers.openai.api_key: expected printable ASCII without blanks (in q",
    ),
    ("providers: {openai: {timeout_seconds: soon}}", "openai.timeout_seconds: expected a number from 0.1 to 86400"),
    ("providers: {openai: {timeout_seconds: .inf}}", "openai.timeout_seconds: expected a number from 0.1 to 86400"),
    ("providers: {openai: {retries: 1.5}}", "openai.retries: expected a whole number from 0 to 10"),
    ("providers: {openai: {headers: {a: 1}}}", "openai.headers.a: expected a header's value"),
    ('providers: {openai: {headers: {a: "x\\r\\ny"}}}', "openai.headers.a: expected a header's value"),
    ("providers: {w: {kind: stub, oauth: {client_id: a}}}", "w.oauth: expected token_endpoint beside the rest"),
    ("providers: {openai: {api_key: '${NOT_SET}'}}", "expected the environment variable NOT_SET to be set"),
    ("providers: {openai: {api_key: '${not set}'}}", "expected the name of a variable in ${not set}"),
    ("models:\n  a: nowhere", "sandgate.yaml:2: models.a: expected provider:model with a known provider, or another"),
    ("models:\n  a: nobody:x", "sandgate.yaml:2: models.a: expected provider:model"),
    ("models:\n  a: a", "sandgate.yaml:2: models.a: expected an alias that ends at a model, got a -> a"),
    ("models:\n  a: b\n  b: c\n  c: a", "models.a: expected an alias that ends at a model, got a -> b -> c -> a"),
    ("models:\n  a: {model: openai:x, fallbacks: [b]}", "models.a: expected provider:model"),
    ("models:\n  a: {fallbacks: [openai:b]}", "models.a: expected a model"),
    ("models:\n  a: {model: openai:x, temperature: 1}", "models.a.temperature: unknown key; expected one of model,"),
    ("models:\n  openai:x: ollama:y", "models.openai:x: expected another name"),
    ("models:\n  a: 3", "models.a: expected provider:model, or a mapping"),
    ("model_provider_map: {x: nobody}", "model_provider_map.x: expected a provider, one of openai"),
    ("keys: {a: {key: k, scopes: [root]}}", "keys.a.scopes: expected a list of llm, execute, admin"),
    ("keys: {a: {key: k, rate_limit: often}}", "keys.a.rate_limit: expected limits such as"),
    ("keys: {a: {}}", "keys.a: expected a key"),
    ("keys: {a: {key: k}, b: {key: k}}", "expected each key once"),
    ("&a [*a]", "expected"),
]


@pytest.mark.parametrize(("file", "expected"), BAD_FILES)
def test_a_bad_file_is_refused_with_place_and_expectation(tmp_path: Path, file: str, expected: str) -> None:
    assert expected in refusal(tmp_path, file=file)


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ('{"a": 1,\n "b" 2}', "sandgate.json:2: expected JSON"),
        ('{"port": 1, "port": 2}', "sandgate.json: port: the key stands there twice"),
        ('{"providers": {"w": {"kind": 1}}}', "sandgate.json: providers.w.kind: expected one of"),
        ("[" * 100_000, "sandgate.json: expected JSON"),
    ],
)
def test_a_bad_json_file_is_refused_with_its_place(tmp_path: Path, file: str, expected: str) -> None:
    assert expected in refusal(tmp_path, file=file, suffix="json")


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


# --- report ---


def test_the_report_names_providers_and_sources_but_no_secret(tmp_path: Path) -> None:
    settings = given(
        tmp_path,
        "--key",
        "sk-static-key",
        OPENAI_API_KEY="sk-provider-key",
        OLLAMA_BASE_URL="http://me:hunter2@box:1",
        EXECUTOR_SECRET=SECRET,
        RATE_LIMIT="60/minute",
    )
    said = "\n".join(report(settings))
    assert "openai  https://api.openai.com/v1  (key from OPENAI_API_KEY)" in said
    assert "ollama  http://box:1  (no key)" in said
    assert "on: access keys (key)" in said
    assert "60/minute" in said
    for secret in ("sk-static-key", "sk-provider-key", "hunter2", SECRET):
        assert secret not in said


def test_the_report_warns_of_an_open_gateway_beyond_loopback(tmp_path: Path) -> None:
    assert "WARNING" not in "\n".join(report(given(tmp_path)))
    assert "WARNING" not in "\n".join(report(given(tmp_path, "-h", "0.0.0.0", "-g")))
    said = "\n".join(report(given(tmp_path, "-h", "0.0.0.0")))
    assert "WARNING" in said
    assert "--generate-key" in said


def test_the_report_shows_a_generated_key_once(tmp_path: Path) -> None:
    settings = given(tmp_path, "-g")
    assert "\n".join(report(settings)).count(str(settings.generated_key)) == 1


def test_masking_shows_the_end_of_long_secrets_only() -> None:
    assert masked(None) is None
    assert masked("short") == "…"
    assert masked("sk-0123456789abcd") == "sk-…abcd"
    assert masked("0123456789abcdefgh") == "…efgh"
