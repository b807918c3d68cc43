"""The providers of a configuration: the six standing ones, `stub`, and those of the config file."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.configuration import values
from gateway.configuration.file import Section
from gateway.configuration.sources import FILE, Values
from gateway.configuration.values import BadSetting
from gateway.settings import Kind, OAuthSettings, ProviderSettings

KINDS: tuple[Kind, ...] = ("openai", "anthropic", "gemini", "ollama", "lmstudio", "openai-compatible", "stub")

# Paths of the gateway's own, which `/<provider>/…` must not shadow.
_RESERVED = frozenset(
    re.findall(
        r"\S+",
        "api chat completions conversation docs embeddings execute executions health healthz llm messages metrics"
        " models openapi.json proxy redoc responses static v1",
    )
)


_UNDER_API = frozenset({"config", "logs", "stats"})  # these stay under /api, whatever the prefix


@dataclass(frozen=True, kw_only=True, slots=True)
class _Standing:
    """A provider that exists without being listed, and the options that speak of it."""

    kind: Kind
    base_url: str
    key: str | None = None
    url: str | None = None
    port: str | None = None
    oauth: bool = False


_STANDING: Mapping[str, _Standing] = {
    "openai": _Standing(
        kind="openai", base_url="https://api.openai.com/v1", key="openai_api_key", url="openai_base_url"
    ),
    "anthropic": _Standing(
        kind="anthropic", base_url="https://api.anthropic.com", key="anthropic_api_key", url="anthropic_base_url"
    ),
    "gemini": _Standing(
        kind="gemini",
        base_url="https://generativelanguage.googleapis.com",
        key="gemini_api_key",
        url="gemini_base_url",
    ),
    "ollama": _Standing(
        kind="ollama", base_url="http://localhost:11434", url="ollama_base_url", port="ollama_port"
    ),
    "lmstudio": _Standing(
        kind="lmstudio", base_url="http://localhost:1234", url="lmstudio_base_url", port="lmstudio_port"
    ),
    "compat": _Standing(
        kind="openai-compatible",
        base_url="http://localhost:11434/v1",
        key="openai_compat_api_key",
        url="openai_compat_base_url",
        oauth=True,
    ),
    "stub": _Standing(kind="stub", base_url=""),
}  # fmt: skip

_OAUTH = ("oauth_token_endpoint", "oauth_client_id", "oauth_client_secret", "oauth_scope")


def build_providers(given: Values, section: Section) -> dict[str, ProviderSettings]:
    """Put all providers together: standing ones first, in their order, then those of the config file in its order."""
    named = {given[name] for name in ("default_provider", "provider_filter") if given.is_given(name)}
    if given.is_given("model_filter"):
        named.add(given["model_filter"].partition(":")[0])
    if given["use_placeholder_mode"]:
        named.add("stub")
    found = {
        name: _standing(name, standing, given, section, named=name in named) for name, standing in _STANDING.items()
    }
    for name in section:
        if name not in _STANDING:
            found[name] = _listed(name, given, section)
    return found


def check_prefix(given: Values, providers: Collection[str]) -> None:
    """Refuse an `API_PREFIX` that lies over other paths: the gateway's own, or `/<provider>/…`."""
    prefix: str = given["api_prefix"]
    first, _, rest = prefix[1:].lower().partition("/")
    taken = _RESERVED - {"api"} | {name.lower() for name in providers}
    if first in taken or (first == "api" and rest.partition("/")[0] in _UNDER_API):
        raise BadSetting(
            f"{given.source('api_prefix')}: expected a path such as /api that is no path of the gateway's own and no"
            f" provider's, got {prefix!r}"
        )


def _standing(name: str, standing: _Standing, given: Values, section: Section, *, named: bool) -> ProviderSettings:
    listed = section.section(name)
    _check_keys(listed)
    kind = listed.text("kind", values.choice(*KINDS), f"one of {', '.join(KINDS)}")
    if kind not in {None, standing.kind}:
        raise listed.refuse("kind", f"{standing.kind}, which {name} always is; another name takes another kind")
    key, source = listed.text("api_key", values.token, "printable ASCII without blanks"), "config file"
    if standing.key and given.is_given(standing.key):
        key, source = given[standing.key], given.source(standing.key)
    oauth = _listed_oauth(listed)
    if standing.oauth and any(given.is_given(option) for option in _OAUTH):
        oauth = _oauth_of_compat(given)
    options = [option for option in (standing.key, standing.url, standing.port) if option]
    spoken_of = named or name in section or any(given.is_given(option) for option in options)
    return ProviderSettings(
        name=name,
        kind=standing.kind,
        base_url=_root(standing.kind, _standing_url(standing, given, listed)),
        api_key=key,
        key_source=source if key else None,
        configured=spoken_of or (standing.oauth and oauth is not None),
        oauth=oauth,
        **_manners(given, listed),
    )


def _standing_url(standing: _Standing, given: Values, listed: Section) -> str:
    """Find the address: the strongest source wins; where one source has address and port, the address does."""
    entry = listed.text("base_url", values.url, "an http:// or https:// address without a query")
    found = [] if entry is None else [(FILE, 2, entry)]
    if standing.port and given.is_given(standing.port):
        found.append((given.rank(standing.port), 1, f"http://localhost:{given[standing.port]}"))
    if standing.url and given.is_given(standing.url):
        found.append((given.rank(standing.url), 0, given[standing.url]))
    return min(found)[2] if found else standing.base_url


def _listed(name: str, given: Values, section: Section) -> ProviderSettings:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", name) or name.lower() in _RESERVED:
        raise section.refuse(name, "a name of letters, digits, '_', '.' and '-' that is no path of the gateway's own")
    listed = section.section(name)
    _check_keys(listed)
    kind = listed.text("kind", values.choice(*KINDS), f"one of {', '.join(KINDS)}")
    if kind is None:
        raise listed.refuse(None, f"a kind, one of {', '.join(KINDS)}")
    url = listed.text("base_url", values.url, "an http:// or https:// address without a query")
    if url is None and kind == "openai-compatible":
        raise listed.refuse(None, "a base_url, the server's address with /v1")
    key = listed.text("api_key", values.token, "printable ASCII without blanks")
    usual = next(standing.base_url for standing in _STANDING.values() if standing.kind == kind)
    return ProviderSettings(
        name=name,
        kind=kind,
        base_url=_root(kind, url or usual),
        api_key=key,
        key_source="config file" if key else None,
        configured=True,
        oauth=_listed_oauth(listed),
        **_manners(given, listed),
    )


def _check_keys(listed: Section) -> None:
    listed.known("kind", "base_url", "api_key", "oauth", "headers", "timeout_seconds", "retries")


def _manners(given: Values, listed: Section) -> dict[str, Any]:
    timeout = listed.number("timeout_seconds", 0.1, 86400)
    retries = listed.number("retries", 0, 10, whole=True)
    return {
        "headers": _headers(listed.section("headers")),
        "timeout_seconds": float(given["llm_timeout_seconds"] if timeout is None else timeout),
        "retries": given["llm_retries"] if retries is None else retries,
    }


def _headers(listed: Section) -> dict[str, str]:
    for name in listed:
        if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name):
            raise listed.refuse(name, "a header's name")
    return {name: listed.text(name, _header_value, "a header's value in printable ASCII") for name in listed}


def _header_value(value: str) -> str:
    if not re.fullmatch(r"[\x20-\x7e]+", value):
        raise ValueError(value)
    return value


def _listed_oauth(listed: Section) -> OAuthSettings | None:
    if "oauth" not in listed:
        return None
    oauth = listed.section("oauth")
    oauth.known("token_endpoint", "client_id", "client_secret", "scope", "refresh_buffer_minutes")
    for key in ("token_endpoint", "client_id", "client_secret"):
        if key not in oauth:
            raise oauth.refuse(None, f"{key} beside the rest")
    buffer = oauth.number("refresh_buffer_minutes", 0, 1440)
    return OAuthSettings(
        token_endpoint=oauth.text("token_endpoint", values.address, "an http:// or https:// address"),
        client_id=oauth.text("client_id"),
        client_secret=oauth.text("client_secret"),
        scope=oauth.text("scope"),
        refresh_buffer_minutes=5.0 if buffer is None else float(buffer),
    )


def _oauth_of_compat(given: Values) -> OAuthSettings:
    present = next(given.source(option) for option in _OAUTH if given.is_given(option))
    for option in _OAUTH[:3]:
        if not given.is_given(option):
            raise BadSetting(f"{option.upper()}: expected to be set, because {present} is")
    return OAuthSettings(
        token_endpoint=given["oauth_token_endpoint"],
        client_id=given["oauth_client_id"],
        client_secret=given["oauth_client_secret"],
        scope=given["oauth_scope"],
        refresh_buffer_minutes=given["oauth_refresh_buffer_minutes"],
    )


# What people paste at the end of an address whose root is wanted, or whose root is meant.
_TAILS: Mapping[str, tuple[str, ...]] = {
    "anthropic": ("/v1/messages", "/v1"),
    "gemini": ("/v1beta", "/v1"),
    "ollama": ("/v1", "/api"),
    "lmstudio": ("/v1",),
    "openai": ("/chat/completions",),
    "openai-compatible": ("/chat/completions",),
}


def _root(kind: Kind, base_url: str) -> str:
    for tail in _TAILS.get(kind, ()):
        if base_url.endswith(tail):
            return base_url.removesuffix(tail)
    return base_url
