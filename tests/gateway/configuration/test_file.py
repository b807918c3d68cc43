"""The config file: what is read from it, and what is refused with its place."""

from pathlib import Path

import pytest

from gateway.settings import ModelSettings
from tests.gateway.configuration.given import given, refusal

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
    ("models:\n  a: {model: openai:x, fallbacks: [a]}", "models.a: expected fallbacks that lead somewhere else, got a"),
    (
        "models:\n  a: {model: openai:x, fallbacks: [openai:y, b]}\n  b: c\n  c: a",
        "models.a: expected fallbacks that lead somewhere else, got a -> b -> c -> a",
    ),
    ("models:\n  a: {fallbacks: [openai:b]}", "models.a: expected a model"),
    ("models:\n  a: {model: openai:x, temperature: 1}", "models.a.temperature: unknown key; expected one of model,"),
    ("models:\n  openai:x: ollama:y", "models.openai:x: expected another name"),
    ("models:\n  a: 3", "models.a: expected provider:model, or a mapping"),
    ("model_provider_map: {x: nobody}", "model_provider_map.x: expected a provider, one of openai"),
    ("keys: {a: {key: k, scopes: [root]}}", "keys.a.scopes: expected a list of llm, execute, admin"),
    ("keys: {a: {key: k, rate_limit: often}}", "keys.a.rate_limit: expected limits such as"),
    ("providers: {}\ndefault_provider: zzz", "sandgate.yaml:2: default_provider: expected a provider, one of openai"),
    ("providers: {office: {kind: stub}}\napi_prefix: /office/x", "expected a path such as /api"),
    (
        "models:\n  a:\n    model: openai:x\n    options:\n      temperature: hot",
        "sandgate.yaml:5: models.a.options.temperature: expected a number",
    ),
    ("models: {a: {model: openai:x, options: {max_tokens: 1.5}}}", "options.max_tokens: expected a whole number"),
    ("models: {a: {model: openai:x, options: {stop: [1]}}}", "options.stop: expected a text or a list of texts"),
    ("models: {a: {model: openai:x, options: {logprobs: maybe}}}", "options.logprobs: expected true or false"),
    ("models: {a: {model: openai:x, options: {user: 3}}}", "options.user: expected a text"),
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


def test_an_unknown_key_is_told_of_each_known_one_once(tmp_path: Path) -> None:
    known = refusal(tmp_path, file="prot: 1").rpartition("one of ")[2].split(", ")
    assert len(known) == len(set(known))
    assert {"models", "model_provider_map", "port"} <= set(known)
