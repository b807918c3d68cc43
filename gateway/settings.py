"""Settings of the gateway: frozen, built once, the only room that reads the environment.

Where values come from, and in which order they win, is `gateway.configuration`'s business.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Kind = Literal["openai", "anthropic", "gemini", "ollama", "lmstudio", "openai-compatible", "stub"]


@dataclass(frozen=True, kw_only=True, slots=True)
class OAuthSettings:
    """OAuth 2.0 client credentials of a provider."""

    token_endpoint: str = field(repr=False)  # an address may hold a password
    client_id: str
    client_secret: str = field(repr=False)
    scope: str | None = None
    refresh_buffer_minutes: float = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ProviderSettings:
    """One provider: where it is, how to get in, how long to wait, how often to try again.

    `configured` is true when an option, the environment or the config file names it. `base_url` has no trailing
    slash. `key_source` says where the key came from ("OPENAI_API_KEY", "config file"), never what it is.
    """

    name: str
    kind: Kind
    base_url: str = field(repr=False)
    api_key: str | None = field(default=None, repr=False)
    key_source: str | None = None
    configured: bool = False
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout_seconds: float = 300.0
    retries: int = 2
    oauth: OAuthSettings | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSettings:
    """An entry of `models`: what the name stands for ("provider:model"), what to fall back to, what to set."""

    model: str
    fallbacks: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class KeySettings:
    """A static access key. `name` is what limits and logs call its holder.

    `models` are patterns of the models it may use (none: all); `requests` and `executions` are limits of its own,
    in the notation of `limits`, in place of the general ones.
    """

    key: str = field(repr=False)
    name: str = "key"
    scopes: frozenset[str] = frozenset({"llm", "execute", "admin"})
    models: tuple[str, ...] = ()
    requests: str = ""
    executions: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class AuthSettings:
    """Who may call. Auth is on as soon as there is a key, a secret that is enabled, or a JWKS URL that is."""

    keys: tuple[KeySettings, ...] = ()
    jwt_enabled: bool = False
    jwt_secret: str | None = field(default=None, repr=False)
    jwks_url: str | None = None
    issuer: str | None = None
    audience: str | None = None
    algorithms: tuple[str, ...] = ()

    @property
    def enabled(self) -> bool:
        """Whether a credential is wanted at all."""
        return bool(self.keys) or self.jwt_enabled

    @property
    def modes(self) -> tuple[str, ...]:
        """The kinds of credential that are taken: "key", "jwt"."""
        return (("key",) if self.keys else ()) + (("jwt",) if self.jwt_enabled else ())


@dataclass(frozen=True, kw_only=True, slots=True)
class LimitSettings:
    """How often a caller may call, in the notation of `limits`; empty strings switch a limit off.

    `window_seconds` and `max_requests` are those of the first limit of `requests`. `storage_uri` is None when the
    count is kept on this machine: in the one process, or in `shared_dir` when several processes share it.
    """

    enabled: bool = False
    window_seconds: int = 60
    max_requests: int = 60
    requests: str = ""
    executions: str = ""
    storage_uri: str | None = field(default=None, repr=False)
    shared_dir: Path | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """Everything that the gateway was told.

    `published` ("host:port") is where others reach a gateway whose own address is one inside a container.
    `runtime_dir` is a folder that all workers of one run share, made before they start and removed after them; None
    when there is one process only. `token_memory` is the descriptor of memory that they share for access tokens.
    `notes` are oddities that the operator should know of.
    """

    host: str = "127.0.0.1"
    port: int = 3500
    published: str | None = None
    workers: int = 1
    debug: bool = False

    providers: Mapping[str, ProviderSettings]
    default_provider: str = "stub"
    models: Mapping[str, ModelSettings] = field(default_factory=dict)
    model_provider_map: Mapping[str, str] = field(default_factory=dict)
    provider_filter: str | None = None
    model_filter: str | None = None
    placeholder_mode: bool = False
    passthrough_provider: str = "lmstudio"
    provider_rest_seconds: float = 30.0
    upstream_transport: Literal["wire", "httpx"] = "wire"

    auth: AuthSettings = AuthSettings()
    limits: LimitSettings = LimitSettings()
    cors_allow_origins: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    trusted_proxies: int = 0
    max_request_bytes: int = 33554432

    executor_url: str = field(default="http://127.0.0.1:3600", repr=False)
    executor_secret: str | None = field(default=None, repr=False)

    log_level: str = "INFO"
    log_requests: bool = False
    log_format: Literal["text", "json"] = "text"
    log_file: Path | None = None
    log_bodies: bool = False
    data_dir: Path | None = None

    prompts_dir: Path | None = None
    default_language: str = "en"
    api_prefix: str = "/api"

    config_file: Path | None = None
    generated_key: str | None = field(default=None, repr=False)
    runtime_dir: Path | None = None
    token_memory: int | None = None
    notes: tuple[str, ...] = ()


def masked(secret: str | None) -> str | None:
    """Show of a secret as much as tells one from another: `sk-…abcd`; of a short one nothing."""
    if not secret:
        return None
    if len(secret) < 16:
        return "…"
    return f"{'sk-' if secret.startswith('sk-') else ''}…{secret[-4:]}"
