"""Who may call and how often: credentials and limits of a configuration."""

import secrets
from importlib.util import find_spec

from limits import parse_many

from gateway.configuration import values
from gateway.configuration.file import Section
from gateway.configuration.sources import Values
from gateway.configuration.values import BadSetting
from gateway.settings import AuthSettings, KeySettings, LimitSettings

SCOPES = ("llm", "execute", "admin")

# RFC 7518 section 3.1 and RFC 8037; the asymmetric ones need a key set.
_ASYMMETRIC = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_ALGORITHMS = ("HS256", *_ASYMMETRIC)
_MINIMUM_SECRET_BYTES = 32  # RFC 7518 section 3.2: a key of the hash's size or larger


def check_secret(given: Values, name: str) -> str | None:
    """Give the secret of an option; `BadSetting` when it is too short to sign with."""
    secret: str | None = given[name]
    if secret is not None and len(secret.encode()) < _MINIMUM_SECRET_BYTES:
        raise BadSetting(f"{given.source(name)}: expected at least {_MINIMUM_SECRET_BYTES} bytes")
    return secret


def build_auth(given: Values, section: Section) -> tuple[AuthSettings, str | None]:
    """Put the credentials together; beside them the key that was generated, if one was asked for."""
    secret = check_secret(given, "jwt_secret")
    jwks_url: str | None = given["jwt_jwks_url"]
    if given["enable_auth"] and not secret and not jwks_url:
        raise BadSetting(f"{given.source('enable_auth')}: expected JWT_SECRET (or JWT_JWKS_URL) to be set with it")
    generated = f"sk-{secrets.token_urlsafe(32)}" if given["generate_key"] else None
    keys = [_named_key(section, name) for name in section]
    if given["key"]:
        keys.append(KeySettings(key=given["key"]))
    if generated:
        keys.append(KeySettings(key=generated, name="generated"))
    if len({key.key for key in keys}) < len(keys):
        raise BadSetting(f"{section.place()}: expected each key once, two names have the same")
    if len({key.name for key in keys}) < len(keys):
        raise section.refuse(next(name for name in section if name in {"key", "generated"}), "another name")
    auth = AuthSettings(
        keys=tuple(keys),
        jwt_enabled=given["enable_auth"],
        jwt_secret=secret,
        jwks_url=jwks_url,
        issuer=given["jwt_issuer"],
        audience=given["jwt_audience"],
        algorithms=_algorithms(given, secret, jwks_url),
    )
    return auth, generated


def _algorithms(given: Values, secret: str | None, jwks_url: str | None) -> tuple[str, ...]:
    if not given.is_given("jwt_algorithms"):
        return (("HS256",) if secret else ()) + (("RS256", "ES256", "EdDSA") if jwks_url else ())
    by_lower = {one.lower(): one for one in _ALGORITHMS}
    asked = given["jwt_algorithms"]
    if not asked or not all(one.lower() in by_lower for one in asked):
        raise BadSetting(f"{given.source('jwt_algorithms')}: expected some of {', '.join(_ALGORITHMS)}")
    allowed = tuple(dict.fromkeys(by_lower[one.lower()] for one in asked))
    usable = ("HS256" in allowed and secret) or (jwks_url and set(allowed) & set(_ASYMMETRIC))
    if given["enable_auth"] and not usable:
        raise BadSetting(
            f"{given.source('jwt_algorithms')}: expected HS256 with JWT_SECRET, or another one with JWT_JWKS_URL"
        )
    return allowed


def _named_key(section: Section, name: str) -> KeySettings:
    entry = section.section(name)
    entry.known("key", "scopes", "models", "rate_limit", "rate_limit_execute")
    key = entry.text("key", values.token, "printable ASCII without blanks")
    if key is None:
        raise entry.refuse(None, "a key")
    scopes = entry.texts("scopes", f"a list of {', '.join(SCOPES)}")
    if not set(scopes) <= set(SCOPES):
        raise entry.refuse("scopes", f"a list of {', '.join(SCOPES)}")
    if "scopes" in entry and not scopes:
        raise entry.refuse("scopes", f"at least one of {', '.join(SCOPES)}")
    notation = "limits such as 60/minute;1000/day, each at least 1"
    return KeySettings(
        key=key,
        name=name,
        scopes=frozenset(scopes or SCOPES),
        models=entry.texts("models", "a list of model patterns"),
        requests=entry.text("rate_limit", values.limit, notation) or "",
        executions=entry.text("rate_limit_execute", values.limit, notation) or "",
    )


def build_limits(given: Values) -> LimitSettings:
    """Put the limits together; giving `RATE_LIMIT` or `RATE_LIMIT_EXECUTE` turns them on."""
    general = f"{given['rate_limit_max_requests']}/{given['rate_limit_window_seconds']} second"
    requests = given["rate_limit"] or general
    executions = given["rate_limit_execute"] or requests
    first = parse_many(requests)[0]
    storage_uri = given["rate_limit_storage_uri"]
    if storage_uri and storage_uri.startswith("redis") and find_spec("redis") is None:
        raise BadSetting(
            f"{given.source('rate_limit_storage_uri')}: expected the extra sandgate[redis] to be installed"
        )
    return LimitSettings(
        enabled=given["rate_limit_enabled"] or given.is_given("rate_limit") or given.is_given("rate_limit_execute"),
        window_seconds=first.get_expiry(),
        max_requests=first.amount,
        requests=requests,
        executions=executions,
        storage_uri=None if storage_uri and storage_uri.startswith("memory") else storage_uri,
    )
