"""The address of a client, also behind reverse proxies."""

import ipaddress
from collections.abc import Mapping


def find_client(headers: Mapping[str, str], peer: str, trusted_proxies: int) -> str:
    """Give the address that limits are counted for: the peer's, or the one that the outermost trusted proxy saw.

    Each proxy adds the address of its own peer at the end of `X-Forwarded-For`; what stands further left than there
    are trusted proxies is the client's invention. An IPv6 address counts as its /64, which is what one client has.
    """
    address = peer
    if trusted_proxies > 0:
        seen = [entry.strip() for value in _all(headers, "x-forwarded-for") for entry in value.split(",")]
        if seen:
            address = _without_port(seen[max(0, len(seen) - trusted_proxies)])
    return _network(address) or _network(peer) or "unknown"


def _all(headers: Mapping[str, str], name: str) -> list[str]:
    if hasattr(headers, "getall"):
        return list(headers.getall(name, ()))
    return [headers[name]] if name in headers else []


def _without_port(entry: str) -> str:
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    return entry.partition(":")[0] if entry.count(":") == 1 else entry


def _network(address: str) -> str | None:
    if "." in address and ":" not in address and len(address) <= 15:
        try:
            return str(ipaddress.IPv4Address(address))
        except ValueError:
            return None
    try:
        version6 = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return None
    if version6.ipv4_mapped is not None:
        return str(version6.ipv4_mapped)
    if version6.is_loopback:
        return str(version6)
    return str(ipaddress.IPv6Network((int(version6) >> 64 << 64, 64)))
