"""All options of the gateway in one table.

From it come the command line, the environment variables, `--help`, the keys that the config file may have beside
its own sections, and the tests that hold README and `.env.example` to it.
"""

from dataclasses import dataclass

from gateway.configuration import values
from gateway.configuration.values import Parser

COMMANDS = {
    "token": "print a JWT signed with JWT_SECRET: --sub NAME [--scope llm,execute,admin] [--ttl 12h]",
    "models": "print the catalogue of this configuration, one provider:model a line: [--refresh]",
    "check": "validate the configuration, ask providers and executor, print a table; 1 if any is unreachable",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Option:
    """One option: where it may be given, how it is read, what it is when nobody gives it.

    `default` is text as a user would give it; `shown` is what the help says in its stead. `expects` completes the
    sentence "expected …". A `switch` takes no value on the command line. The value of a `secret` is never shown.
    """

    name: str
    section: str
    meaning: str
    parse: Parser
    expects: str
    flags: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    metavar: str = "VALUE"
    default: str | None = None
    shown: str | None = None
    switch: bool = False
    secret: bool = False
    in_file: bool = True

    @property
    def default_text(self) -> str:
        """The default as the help shows it."""
        return self.shown or self.default or "none"


_PORT = (values.whole(1, 65535), "a port from 1 to 65535")
_URL = (values.url, "an http:// or https:// address without a query")
_ENDPOINT = (values.address, "an http:// or https:// address")
_TEXT = (values.text, "a text without control characters")
_KEY = (values.token, "printable ASCII without blanks")
_TRUTH = (values.truth, "true or false")
_LIST = (values.listing, "a comma-separated list")
_PATH = (values.path, "a path")
_LIMIT = (values.limit, "limits such as 60/minute;1000/day, each at least 1")


def _option(
    section: str,
    name: str,
    environment: str,
    kind: tuple[Parser, str],
    meaning: str,
    *,
    flags: str = "",
    metavar: str = "VALUE",
    default: str | None = None,
    shown: str | None = None,
    switch: bool = False,
    secret: bool = False,
    in_file: bool = True,
) -> Option:
    return Option(
        name=name,
        section=section,
        meaning=meaning,
        parse=kind[0],
        expects=kind[1],
        flags=tuple(flags.split()),
        environment=tuple(environment.split()),
        metavar=metavar,
        default=default,
        shown=shown,
        switch=switch,
        secret=secret,
        in_file=in_file,
    )


_SERVER = "Server"
_ACCESS = "Access"
_PROVIDERS = "Providers"
_MODELS = "Models"
_LIMITS = "Limits"
_EXECUTOR = "Executor"
_LOGS = "Logs"
_PATHS = "Prompts and paths"

OPTIONS: tuple[Option, ...] = (
    # Server
    _option(_SERVER, "port", "GATEWAY_PORT PROXY_PORT", _PORT, "port to listen on", flags="-p --port", metavar="N",
            default="3500"),
    _option(_SERVER, "host", "GATEWAY_HOST", _TEXT, "address to listen on", flags="-h --host", metavar="H",
            default="127.0.0.1"),
    _option(_SERVER, "published", "GATEWAY_PUBLISHED", (values.published, "host:port"),
            "where a container's port is published, if not at host and port; compose sets it", metavar="HOST:PORT",
            shown="host and port"),
    _option(_SERVER, "workers", "GATEWAY_WORKERS", (values.whole(1, 256), "a whole number from 1 to 256"),
            "server processes", flags="--workers", metavar="N", default="1"),
    _option(_SERVER, "config", "SANDGATE_CONFIG", _PATH, "config file, YAML or JSON", flags="-c --config",
            metavar="FILE", in_file=False),
    _option(_SERVER, "debug", "DEBUG LLM_PROXY_API_IN_DEBUG", _TRUTH, "debug log level, more detail in error bodies",
            flags="--debug", switch=True, default="false"),
    _option(_SERVER, "max_request_bytes", "MAX_REQUEST_BYTES",
            (values.whole(0, 2**40), "a whole number of bytes, 0 for no check"), "larger bodies are refused; 0: never",
            default="33554432"),
    _option(_SERVER, "trusted_proxies", "TRUSTED_PROXIES", (values.whole(0, 64), "a whole number from 0 to 64"),
            "reverse proxies to trust for the client's address", default="0"),
    # Access
    _option(_ACCESS, "key", "GATEWAY_ACCESS_KEY PROXY_ACCESS_TOKEN", _KEY, "static access key; turns auth on",
            flags="-k --key", metavar="KEY", secret=True),
    _option(_ACCESS, "generate_key", "", _TRUTH, "make a random access key, print it once, turn auth on",
            flags="-g --generate-key", switch=True, default="false", shown="off", in_file=False),
    _option(_ACCESS, "enable_auth", "ENABLE_AUTH", _TRUTH, "turn JWT auth on", flags="--enable-auth", switch=True,
            default="false"),
    _option(_ACCESS, "jwt_secret", "JWT_SECRET", _TEXT, "HS256 secret, at least 32 bytes", flags="--jwt-secret",
            metavar="S", secret=True),
    _option(_ACCESS, "jwt_jwks_url", "JWT_JWKS_URL", _ENDPOINT, "key set of an identity provider"),
    _option(_ACCESS, "jwt_issuer", "JWT_ISSUER", _TEXT, "issuer that a token must have"),
    _option(_ACCESS, "jwt_audience", "JWT_AUDIENCE", _TEXT, "audience that a token must have"),
    _option(_ACCESS, "jwt_algorithms", "JWT_ALGORITHMS", _LIST, "algorithms that a token may be signed with",
            shown="HS256 for the secret; RS256,ES256,EdDSA for the key set"),
    _option(_ACCESS, "cors_allow_origins", "CORS_ALLOW_ORIGINS",
            (values.origins, "a comma-separated list of origins such as https://app.example.com, or *"),
            "origins of web pages that may call, or *",
            shown="* with auth, loopback without"),
    _option(_ACCESS, "allowed_hosts", "ALLOWED_HOSTS", _LIST, "host names that are good with auth off, or *",
            shown="addresses and local names"),
    # Providers
    _option(_PROVIDERS, "openai_api_key", "OPENAI_API_KEY", _KEY, "key of OpenAI", flags="--openai-api-key",
            metavar="KEY", secret=True),
    _option(_PROVIDERS, "openai_base_url", "OPENAI_BASE_URL", _URL, "OpenAI's address, with /v1",
            shown="https://api.openai.com/v1"),
    _option(_PROVIDERS, "anthropic_api_key", "ANTHROPIC_API_KEY", _KEY, "key of Anthropic",
            flags="--anthropic-api-key", metavar="KEY", secret=True),
    _option(_PROVIDERS, "anthropic_base_url", "ANTHROPIC_BASE_URL", _URL, "Anthropic's address, the root",
            shown="https://api.anthropic.com"),
    _option(_PROVIDERS, "gemini_api_key", "GEMINI_API_KEY", _KEY, "key of Gemini", flags="--gemini-api-key",
            metavar="KEY", secret=True),
    _option(_PROVIDERS, "gemini_base_url", "GEMINI_BASE_URL", _URL, "Gemini's address, the root",
            shown="https://generativelanguage.googleapis.com"),
    _option(_PROVIDERS, "ollama_port", "OLLAMA_PORT", _PORT, "Ollama's port on this machine", flags="--ollama-port",
            metavar="N", shown="11434"),
    _option(_PROVIDERS, "ollama_base_url", "OLLAMA_BASE_URL", _URL, "Ollama's address, the root; wins over the port",
            flags="--ollama-base-url", metavar="URL", shown="http://localhost:11434"),
    _option(_PROVIDERS, "lmstudio_port", "LMSTUDIO_PORT", _PORT, "LM Studio's port on this machine",
            flags="--lmstudio-port", metavar="N", shown="1234"),
    _option(_PROVIDERS, "lmstudio_base_url", "LMSTUDIO_BASE_URL", _URL,
            "LM Studio's address, the root; wins over the port", flags="--lmstudio-base-url", metavar="URL",
            shown="http://localhost:1234"),
    _option(_PROVIDERS, "openai_compat_base_url", "OPENAI_COMPAT_BASE_URL TARGET_ENDPOINT", _URL,
            "address, with /v1, of the provider compat: vLLM, llama.cpp, LocalAI", shown="http://localhost:11434/v1"),
    _option(_PROVIDERS, "openai_compat_api_key", "OPENAI_COMPAT_API_KEY TARGET_API_KEY", _KEY, "key of compat",
            secret=True),
    _option(_PROVIDERS, "oauth_token_endpoint", "OAUTH_TOKEN_ENDPOINT", _ENDPOINT,
            "OAuth 2.0 client credentials of compat: where tokens come from"),
    _option(_PROVIDERS, "oauth_client_id", "OAUTH_CLIENT_ID", _TEXT, "OAuth client id"),
    _option(_PROVIDERS, "oauth_client_secret", "OAUTH_CLIENT_SECRET", _TEXT, "OAuth client secret", secret=True),
    _option(_PROVIDERS, "oauth_scope", "OAUTH_SCOPE", _TEXT, "OAuth scope"),
    _option(_PROVIDERS, "oauth_refresh_buffer_minutes", "OAUTH_REFRESH_BUFFER_MINUTES",
            (values.number(0, 1440), "a number of minutes from 0 to 1440"),
            "how long before its end a token is renewed",
            default="5"),
    _option(_PROVIDERS, "llm_timeout_seconds", "LLM_TIMEOUT_SECONDS LLM_PROXY_API_TIMEOUT",
            (values.number(0.1, 86400), "a number of seconds from 0.1 to 86400"),
            "upper bound for one upstream request", default="300"),
    _option(_PROVIDERS, "llm_retries", "LLM_RETRIES", (values.whole(0, 10), "a whole number from 0 to 10"),
            "how often a failed upstream request is tried again", default="2"),
    _option(_PROVIDERS, "provider_rest_seconds", "PROVIDER_REST_SECONDS",
            (values.number(0, 86400), "a number of seconds from 0 to 86400"),
            "rest of a provider that failed 5 times in a row; 0: none", default="30"),
    _option(_PROVIDERS, "upstream_transport", "UPSTREAM_TRANSPORT", (values.choice("wire", "httpx"), "wire or httpx"),
            "how providers are spoken to", default="wire"),
    # Models
    _option(_MODELS, "provider_filter", "PROVIDER_FILTER", _TEXT, "expose the models of this provider only",
            flags="--provider", metavar="NAME"),
    _option(_MODELS, "model_filter", "MODEL_FILTER", _TEXT, "expose this model only: provider:model or an alias",
            flags="-m --model", metavar="SPEC"),
    _option(_MODELS, "default_provider", "LLM_PROVIDER", _TEXT, "provider of a model that nothing else decides",
            shown="the first configured, else stub"),
    _option(_MODELS, "model_provider_map", "MODEL_PROVIDER_MAP",
            (values.pairs, "pairs such as gpt-4=openai,claude-*=anthropic"), "which provider serves which models",
            shown="empty"),
    _option(_MODELS, "passthrough_provider", "LLM_PASSTHROUGH_PROVIDER", _TEXT,
            "provider that unknown /v1 paths are passed to", default="lmstudio"),
    _option(_MODELS, "models_config", "MODELS_CONFIG LLM_PROXY_API_MODELS_CONFIG", _PATH,
            "models-config.json: options of models, grouped by provider"),
    _option(_MODELS, "use_placeholder_mode", "USE_PLACEHOLDER_MODE", _TRUTH,
            "answer every model with the stub provider", default="false"),
    # Limits
    _option(_LIMITS, "rate_limit_enabled", "RATE_LIMIT_ENABLED", _TRUTH, "limit how often a caller may call",
            default="false"),
    _option(_LIMITS, "rate_limit_window_seconds", "RATE_LIMIT_WINDOW_SECONDS",
            (values.whole(1, 31_536_000), "a whole number of seconds from 1 to 31536000"), "length of the window",
            default="60"),
    _option(_LIMITS, "rate_limit_max_requests", "RATE_LIMIT_MAX_REQUESTS",
            (values.whole(1, 10**9), "a whole number of at least 1"), "requests in a window", default="60"),
    _option(_LIMITS, "rate_limit", "RATE_LIMIT", _LIMIT, "limits such as 60/minute;1000/day; turns them on",
            shown="from the above"),
    _option(_LIMITS, "rate_limit_execute", "RATE_LIMIT_EXECUTE", _LIMIT,
            "limits of /execute and its kin; turns them on", shown="from the above"),
    _option(_LIMITS, "rate_limit_storage_uri", "RATE_LIMIT_STORAGE_URI",
            (values.storage, "memory:// or redis://host:port/database (also rediss://, redis+unix://)"),
            "where limits are counted", secret=True,
            shown="memory, shared by all workers"),
    # Executor
    _option(_EXECUTOR, "executor_url", "EXECUTOR_URL", _URL, "address of the executor", flags="--executor-url",
            metavar="URL", default="http://127.0.0.1:3600"),
    _option(_EXECUTOR, "executor_secret", "EXECUTOR_SECRET", _TEXT, "secret of the two services, at least 32 bytes",
            secret=True),
    # Logs
    _option(_LOGS, "log_level", "LOG_LEVEL",
            (values.choice("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"), "DEBUG, INFO, WARNING, ERROR or CRITICAL"),
            "how much is logged", default="INFO"),
    _option(_LOGS, "log_requests", "LOG_REQUESTS", _TRUTH, "access log on stderr", default="false"),
    _option(_LOGS, "log_format", "LOG_FORMAT", (values.choice("text", "json"), "text or json"), "form of the log",
            default="text"),
    _option(_LOGS, "log_file", "LOG_FILE", _PATH, "file that the log goes to as well"),
    _option(_LOGS, "log_bodies", "LOG_BODIES", _TRUTH, "keep request and response bodies in the call log",
            default="false"),
    _option(_LOGS, "data_dir", "DATA_DIR", _PATH, "folder of the call log and the catalogue", shown="none: memory"),
    # Prompts and paths
    _option(_PATHS, "prompts_dir", "PROMPTS_DIR LLM_PROXY_API_PROMPTS_DIR", _PATH,
            "prompt library, <language>/<name>.prompt", shown="the packaged one"),
    _option(_PATHS, "default_language", "DEFAULT_LANGUAGE LLM_PROXY_API_DEFAULT_EP_LANGUAGE",
            (values.language, "a language code such as en"), "language of prompts", default="en"),
    _option(_PATHS, "api_prefix", "API_PREFIX LLM_PROXY_API_EP_PREFIX", (values.prefix, "a path such as /api"),
            "prefix of chat, tags, ping and their kin", default="/api"),
)  # fmt: skip

BY_NAME = {option.name: option for option in OPTIONS}
