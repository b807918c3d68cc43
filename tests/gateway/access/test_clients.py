"""The address of a client: what proxies say counts as far as they are trusted."""

import pytest
from multidict import CIMultiDict

from gateway.access.clients import find_client


@pytest.mark.parametrize(
    ("forwarded", "trusted", "expected"),
    [
        (None, 0, "10.0.0.9"),
        (None, 1, "10.0.0.9"),
        ("1.1.1.1", 0, "10.0.0.9"),
        ("1.1.1.1", 1, "1.1.1.1"),
        ("6.6.6.6, 1.1.1.1", 1, "1.1.1.1"),
        ("6.6.6.6, 1.1.1.1, 10.0.0.2", 2, "1.1.1.1"),
        ("1.1.1.1", 2, "1.1.1.1"),
        ("1.1.1.1:5000", 1, "1.1.1.1"),
        ("[2001:db8:1:2:3::4]:5000", 1, "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", 1, "2001:db8:1:2::/64"),
        ("::ffff:1.1.1.1", 1, "1.1.1.1"),
        ("::1", 1, "::1"),
        ("nonsense", 1, "10.0.0.9"),
        ("", 1, "10.0.0.9"),
        (", ,", 1, "10.0.0.9"),
        ("1" * 10_000, 1, "10.0.0.9"),
    ],
)
def test_the_client_is_who_the_outermost_trusted_proxy_saw(forwarded: str | None, trusted: int, expected: str) -> None:
    headers = {} if forwarded is None else {"x-forwarded-for": forwarded}
    assert find_client(headers, "10.0.0.9", trusted) == expected


def test_several_headers_are_one_list() -> None:
    headers = CIMultiDict([("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-For", "1.1.1.1")])
    assert find_client(headers, "10.0.0.9", 1) == "1.1.1.1"


@pytest.mark.parametrize("peer", ["", "unix"])
def test_a_peer_without_address_is_unknown(peer: str) -> None:
    assert find_client({}, peer, 0) == "unknown"
