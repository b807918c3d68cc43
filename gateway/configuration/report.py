"""What the gateway says once, at its start."""

import ipaddress

from gateway.settings import ProviderSettings, Settings


def report(settings: Settings) -> list[str]:
    """Write the start-up report: addresses, providers, auth, limits, executor, warnings; no secret but a new key."""
    host, port = _reached_at(settings)
    url = f"http://{_host_in_url(host)}:{port}"
    lines = [f"Sandgate gateway at {url}", f"  dashboard  {url}/"]
    providers = [provider for provider in settings.providers.values() if provider.configured]
    lines += [f"  provider   {_provider(provider)}" for provider in providers]
    if not providers:
        lines.append("  provider   none configured: the stub provider answers")
    elif settings.placeholder_mode:
        lines.append("  provider   placeholder mode: the stub provider answers, no upstream is contacted")
    lines.append(f"  default    {settings.default_provider}")
    lines.append(f"  auth       {_auth(settings)}")
    lines.append(f"  limits     {_limits(settings)}")
    executor = without_password(settings.executor_url)
    lines.append(f"  executor   {executor}{'' if settings.executor_secret else ' (no shared secret)'}")
    if settings.generated_key:
        lines.append(f"  access key {settings.generated_key}  (made for this run, shown only here)")
    lines += [f"  note: {note}" for note in settings.notes]
    if not settings.auth.enabled and not _is_loopback(host):
        lines.append(
            f"  WARNING: anybody who reaches {host}:{port} may use this gateway, because auth is off."
            " Turn it on with --generate-key, --key KEY (GATEWAY_ACCESS_KEY), or --enable-auth with JWT_SECRET."
        )
    return lines


def _provider(provider: ProviderSettings) -> str:
    if provider.kind == "stub":
        return f"{provider.name}  built in"
    if provider.oauth:
        how = "OAuth client credentials"
    elif provider.key_source:
        how = f"key from {provider.key_source}"
    else:
        how = "no key"
    return f"{provider.name}  {without_password(provider.base_url)}  ({how})"


def without_password(url: str) -> str:
    """Take name and password out of an address."""
    scheme, slashes, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{slashes}{authority.rpartition('@')[2]}{slash}{path}"


def _auth(settings: Settings) -> str:
    if not settings.auth.enabled:
        return "off"
    names = ", ".join(key.name for key in settings.auth.keys)
    keys = f"access keys ({names})" if names else ""
    jwt = f"JWT ({', '.join(settings.auth.algorithms)})" if settings.auth.jwt_enabled else ""
    return "on: " + " and ".join(part for part in (keys, jwt) if part)


def _limits(settings: Settings) -> str:
    if not settings.limits.enabled:
        return "off"
    where = "shared storage" if settings.limits.storage_uri else "this machine"
    return f"{settings.limits.requests}; execute: {settings.limits.executions} (counted on {where})"


def _reached_at(settings: Settings) -> tuple[str, int]:
    """Give the address that clients come to: a container's own says nothing of who can reach it."""
    if settings.published is None:
        return settings.host, settings.port
    host, _, port = settings.published.rpartition(":")
    return host.strip("[]"), int(port)


def _host_in_url(host: str) -> str:
    if host in {"0.0.0.0", "::"}:
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
