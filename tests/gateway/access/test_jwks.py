"""Tokens of an identity provider: a real one on loopback, with keys that come and go."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from sanic import Request, Sanic, response

from gateway.access.credentials import Credentials
from gateway.access.jwks import AGAIN_SECONDS, FRESH_SECONDS, KeySet, read_keys
from gateway.errors import Unauthorized, Unavailable
from gateway.settings import AuthSettings
from tests.conftest import serve

pytestmark = pytest.mark.anyio

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
WRITERS: list[tuple[Any, str, Any]] = [
    (RSA, "RS256", RSAAlgorithm),
    (EC, "ES256", ECAlgorithm),
    (ED, "EdDSA", OKPAlgorithm),
]


def jwk(key: Any, writer: Any, **extra: Any) -> dict[str, Any]:
    return {**json.loads(writer.to_jwk(key.public_key())), **extra}


def sign(key: Any, algorithm: str, kid: str | None = None, **claims: Any) -> str:
    headers = {"kid": kid} if kid else None
    return jwt.encode({"sub": "bob", "exp": time.time() + 300, **claims}, key, algorithm=algorithm, headers=headers)


class Provider:
    """A fake identity provider: what it answers, and how often it was asked."""

    def __init__(self, *keys: dict[str, Any]) -> None:
        self.keys: list[dict[str, Any]] = list(keys)
        self.status = 200
        self.asked = 0
        self.body: str | None = None


@asynccontextmanager
async def serving(provider: Provider) -> AsyncIterator[str]:
    app: Sanic[Any, Any] = Sanic("identity_provider")

    @app.get("/keys")
    async def keys(_request: Request) -> response.HTTPResponse:
        provider.asked += 1
        return response.text(provider.body or json.dumps({"keys": provider.keys}), status=provider.status)

    async with serve(app) as url:
        yield f"{url}/keys"


def credentials_for(url: str, *algorithms: str, secret: str | None = None) -> Credentials:
    return Credentials(
        AuthSettings(
            jwt_enabled=True, jwks_url=url, jwt_secret=secret, algorithms=algorithms or ("RS256", "ES256", "EdDSA")
        )
    )


@pytest.mark.parametrize(("key", "algorithm", "writer"), WRITERS)
@pytest.mark.parametrize("kid", ["one", None])
async def test_a_token_of_each_kind_of_key_is_good(key: Any, algorithm: str, writer: Any, kid: str | None) -> None:
    async with serving(Provider(*(jwk(one, two, kid="one") for one, _, two in WRITERS))) as url:
        identity = await credentials_for(url).identify(sign(key, algorithm, kid, scope="admin"))
        assert (identity.name, identity.scopes) == ("bob", {"admin"})


async def test_keys_are_fetched_once_for_many_tokens() -> None:
    provider = Provider(jwk(EC, ECAlgorithm, kid="a"))
    async with serving(provider) as url:
        credentials = credentials_for(url)
        for number in range(5):
            await credentials.identify(sign(EC, "ES256", "a", sub=f"user{number}"))
    assert provider.asked == 1


async def test_a_new_key_is_fetched_when_a_token_names_it_and_the_old_one_ends() -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    provider = Provider(jwk(EC, ECAlgorithm, kid="old"))
    async with serving(provider) as url:
        credentials = credentials_for(url)
        old = sign(EC, "ES256", "old")
        await credentials.identify(old)
        assert credentials._key_set is not None
        credentials._key_set._tried = None  # the last fetch is long ago
        provider.keys = [jwk(other, ECAlgorithm, kid="new")]
        assert (await credentials.identify(sign(other, "ES256", "new"))).name == "bob"
        assert provider.asked == 2
        assert credentials.recall(old) is None
        with pytest.raises(Unauthorized):
            await credentials.identify(old)


async def test_unknown_keys_do_not_make_it_fetch_more_than_once_in_a_while() -> None:
    provider = Provider(jwk(EC, ECAlgorithm, kid="a"))
    now = [100.0]
    async with serving(provider) as url:
        keys = KeySet(url, lambda: None, clock=lambda: now[0])
        for number in range(20):
            assert await keys.find(f"unknown{number}", "ES256") == ()
        assert provider.asked == 1
        now[0] += AGAIN_SECONDS + 1
        for number in range(20):
            assert await keys.find(f"unknown{number}", "ES256") == ()
        assert provider.asked == 2


async def test_known_keys_are_good_while_the_provider_is_down() -> None:
    provider = Provider(jwk(EC, ECAlgorithm, kid="a"))
    now = [100.0]
    async with serving(provider) as url:
        keys = KeySet(url, lambda: None, clock=lambda: now[0])
        assert len(await keys.find("a", "ES256")) == 1
        provider.status = 500
        now[0] += FRESH_SECONDS + 1
        assert len(await keys.find("a", "ES256")) == 1
        assert keys._refreshing is not None
        await keys._refreshing
        assert provider.asked == 2
    now[0] += FRESH_SECONDS + 1
    assert len(await keys.find("a", "ES256")) == 1
    if keys._refreshing is not None:
        await keys._refreshing
    assert len(await keys.find("a", "ES256")) == 1


@pytest.mark.parametrize(
    "body", ["", "<html>", "[]", "{}", '{"keys": []}', '{"keys": 3}', '{"keys": [{"kty": "EC"}]}', "[" * 9999]
)
async def test_without_any_key_nobody_can_be_judged(body: str) -> None:
    provider = Provider()
    provider.body = body or " "
    async with serving(provider) as url:
        with pytest.raises(Unavailable):
            await credentials_for(url).identify(sign(EC, "ES256", "a"))


async def test_an_unreachable_provider_is_unavailable_not_a_bad_credential() -> None:
    with pytest.raises(Unavailable):
        await credentials_for("http://127.0.0.1:9/keys").identify(sign(EC, "ES256", "a"))


async def test_the_algorithm_is_the_keys_and_an_allowed_one() -> None:
    provider = Provider(jwk(RSA, RSAAlgorithm, kid="a", alg="RS256"), jwk(EC, ECAlgorithm, kid="enc", use="enc"))
    async with serving(provider) as url:
        every = ("RS256", "RS512", "PS256", "ES256")
        assert await credentials_for(url, *every).identify(sign(RSA, "RS256", "a"))
        hostile = [
            (every, sign(RSA, "RS512", "a")),
            (every, sign(RSA, "PS256", "a")),
            (every, sign(EC, "ES256", "enc")),
            (every, sign(EC, "ES256", "a")),
            (("ES256",), sign(RSA, "RS256", "a")),
            (every, sign("s" * 32, "HS256", "a")),
        ]
        for algorithms, token in hostile:
            with pytest.raises(Unauthorized):
                await credentials_for(url, *algorithms).identify(token)


async def test_a_secret_and_a_key_set_work_side_by_side_without_being_mixed_up() -> None:
    secret = "a-secret-of-more-than-32-bytes-for-tests"
    async with serving(Provider(jwk(EC, ECAlgorithm, kid="a"), {"kty": "oct", "kid": "a", "k": "c2VjcmV0"})) as url:
        credentials = credentials_for(url, "HS256", "ES256", secret=secret)
        assert await credentials.identify(sign(secret, "HS256", "a"))
        assert await credentials.identify(sign(EC, "ES256", "a"))
        for token in (sign(b"secret" * 6, "HS256", "a"), sign(ec.generate_private_key(ec.SECP256R1()), "ES256", "a")):
            with pytest.raises(Unauthorized):
                await credentials.identify(token)


def test_a_key_set_keeps_the_keys_that_can_be_used() -> None:
    good = jwk(ED, OKPAlgorithm, kid="a")
    junk = [3, {"kty": "EC", "crv": "P-256", "x": "!", "y": "!"}, {**good, "key_ops": ["sign"]}, {**good, "kid": 7},
            {**good, "kty": ["OKP"]}, {**good, "alg": "RS256"}]  # fmt: skip
    assert [key.key_id for key in read_keys(json.dumps({"keys": [*junk, good]}).encode())] == ["a"]
