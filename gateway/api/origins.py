"""Which hosts and origins may ask: against DNS rebinding and web pages from elsewhere (API.md 1.5)."""

import ipaddress
import re
from functools import lru_cache
from urllib.parse import urlsplit

from sanic.compat import Header

from gateway.errors import Forbidden, InvalidRequest
from gateway.settings import Settings

_NAME = re.compile(r"[a-z0-9._-]*")
_LOCAL_SUFFIXES = (".localhost", ".local", ".internal")


def refuse_strangers(headers: Header, settings: Settings) -> None:
    """With auth off, refuse what looks like DNS rebinding or comes from a web page that is not allowed here."""
    if len(set(headers.getall("host", ()))) > 1:
        raise InvalidRequest("A request has one Host header.")  # RFC 9112, 3.2
    host = _host_name(headers.get("host", ""))
    if not is_local_host(host) and host not in settings.allowed_hosts and "*" not in settings.allowed_hosts:
        raise Forbidden(
            f"The host name {host!r} is not known here: add it to ALLOWED_HOSTS, or turn authentication on.",
            code="host_not_allowed",
        )
    origin = headers.get("origin")
    if origin and origin != "null" and _is_same(origin, headers.get("host", "")):
        return
    if origin and allowed_origin(origin, settings) is None:
        raise Forbidden(
            f"Web pages of {origin[:200]!r} may not use this gateway: add it to CORS_ALLOW_ORIGINS, "
            "or turn authentication on.",
            code="origin_not_allowed",
        )


def may_be_page(headers: Header) -> bool:
    """Whether a POST may have been sent by a web page from elsewhere: browsers say so in one header or the other."""
    return "origin" in headers or headers.get("sec-fetch-site", "none") not in ("none", "same-origin")


@lru_cache(maxsize=256)
def is_local_host(host: str) -> bool:
    """Whether a host name can only lead here: no dots, an address, or a name of the local kind (API.md 1.5)."""
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        name = host.rstrip(".").lower()
        return _NAME.fullmatch(name) is not None and ("." not in name or name.endswith(_LOCAL_SUFFIXES))
    return True


def allowed_origin(origin: str, settings: Settings) -> str | None:
    """Give what `access-control-allow-origin` is to say to an origin, or None."""
    if settings.cors_allow_origins:
        if "*" in settings.cors_allow_origins:
            return "*"
        return origin if origin in settings.cors_allow_origins else None
    if settings.auth.enabled:
        return "*"
    if "@" in origin:  # an origin has no user (RFC 6454, 7)
        return None
    try:
        name = urlsplit(origin).hostname or ""
    except ValueError:
        return None
    return origin if _is_loopback(name) else None


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")


def _is_same(origin: str, host: str) -> bool:
    return origin.partition("://")[2] == host


def _host_name(host: str) -> str:
    host = host.lower().rstrip(".")
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.rpartition(":")[0] if ":" in host else host
