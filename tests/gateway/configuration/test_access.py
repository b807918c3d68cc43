"""Who may call and how often: keys, secrets, algorithms, limits."""

import re
from pathlib import Path

import pytest

from tests.gateway.configuration.given import SECRET, given, refusal


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
