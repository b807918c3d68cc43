"""Credentials: where they are found, which are good, and that no hostile one is anything but refused."""

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from gateway.access.credentials import REMEMBERED_TOKENS, Credentials, find_credential
from gateway.access.tokens import write_token
from gateway.errors import Unauthorized
from gateway.settings import AuthSettings, KeySettings
from tests.secret_watch import MARK

pytestmark = pytest.mark.anyio

SECRET = f"a-{MARK}-of-more-than-32-bytes-for-tests"
AUTH = AuthSettings(
    keys=(
        KeySettings(key="sk-all"),
        KeySettings(key="sk-alice", name="alice", scopes=frozenset({"llm"}), models=("openai:*",), requests="1/day"),
    ),
    jwt_enabled=True,
    jwt_secret=SECRET,
    algorithms=("HS256",),
)


def sign(key: Any = SECRET, algorithm: str = "HS256", headers: dict[str, Any] | None = None, **claims: Any) -> str:
    payload = {"sub": "bob", "exp": time.time() + 60, **claims}
    payload = {name: value for name, value in payload.items() if value is not ...}
    return jwt.encode(payload, key, algorithm=algorithm, headers=headers)


def raw(header: object, payload: object, signature: bytes = b"x") -> str:
    """A token with any header and payload, JSON or bytes, without a good signature."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload)]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (*parts, signature))


# --- keys ---


async def test_a_static_key_is_its_holder() -> None:
    credentials = Credentials(AUTH)
    everything = await credentials.identify("sk-all")
    assert (everything.name, everything.kind, everything.models) == ("key", "key", None)
    assert everything.scopes == {"llm", "execute", "admin"}
    alice = await credentials.identify("sk-alice")
    assert (alice.holder, alice.scopes, alice.limits) == ("key:alice", {"llm"}, {"requests": "1/day"})
    assert alice.may_use("gpt-4o", "openai:gpt-4o")
    assert not alice.may_use("claude", "anthropic:claude")


@pytest.mark.parametrize("presented", ["", "sk-al", "sk-alll", "SK-ALL", "sk-all ", "sk-all\0", "sk-äll", "\udcff"])
async def test_what_is_not_exactly_a_key_is_refused(presented: str) -> None:
    with pytest.raises(Unauthorized):
        await Credentials(AUTH).identify(presented)


async def test_without_jwt_auth_a_good_token_is_refused() -> None:
    with pytest.raises(Unauthorized):
        await Credentials(AuthSettings(keys=AUTH.keys, jwt_secret=SECRET, algorithms=("HS256",))).identify(sign())


# --- tokens ---


@pytest.mark.parametrize(
    ("claim", "scopes"),
    [
        (..., {"llm", "execute"}),
        ("llm", {"llm"}),
        ("llm  admin", {"llm", "admin"}),
        (["execute"], {"execute"}),
        ("", set()),
        ([], set()),
    ],
)
async def test_scopes_are_a_string_or_a_list_and_have_a_default(claim: object, scopes: set[str]) -> None:
    identity = await Credentials(AUTH).identify(sign(scope=claim))
    assert (identity.name, identity.kind, identity.scopes) == ("bob", "jwt", scopes)


async def test_the_models_claim_restricts() -> None:
    assert (await Credentials(AUTH).identify(sign())).models is None
    identity = await Credentials(AUTH).identify(sign(models=["ollama:*", "fast"]))
    assert identity.may_use("fast", "openai:gpt-4o")
    assert not identity.may_use("gpt-4o", "openai:gpt-4o")
    assert not (await Credentials(AUTH).identify(sign(models=[]))).may_use("anything")


async def test_issuer_and_audience_count_once_they_are_configured() -> None:
    assert await Credentials(AUTH).identify(sign(aud="whoever", iss="anybody"))
    strict = Credentials(
        AuthSettings(jwt_enabled=True, jwt_secret=SECRET, algorithms=("HS256",), issuer="idp", audience="me")
    )
    assert await strict.identify(sign(iss="idp", aud=["me", "you"]))
    for claims in ({}, {"iss": "idp"}, {"aud": "me"}, {"iss": "idp", "aud": "you"}, {"iss": "idp2", "aud": "me"},
                   {"iss": "idp", "aud": []}, {"iss": "idp", "aud": [1]}):  # fmt: skip
        token = raw({"alg": "HS256"}, {}) if claims == {} else sign(**claims)
        with pytest.raises(Unauthorized):
            await strict.identify(token)


async def test_a_written_token_is_good() -> None:
    auth = AuthSettings(jwt_enabled=True, jwt_secret=SECRET, algorithms=("HS256",), issuer="idp", audience="me")
    identity = await Credentials(auth).identify(write_token(auth, "alice", ["llm"], 60))
    assert (identity.name, identity.scopes) == ("alice", {"llm"})


_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
_PUBLIC = _RSA.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
_GOOD = {"sub": "bob", "exp": 4_000_000_000}


def _hs256_with_public_key() -> str:
    import hashlib
    import hmac

    head = raw({"alg": "HS256", "typ": "JWT"}, _GOOD).rpartition(".")[0]
    signature = hmac.digest(_PUBLIC, head.encode(), hashlib.sha256)
    return f"{head}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


HOSTILE: dict[str, Callable[[], str]] = {
    "alg none": lambda: jwt.encode(_GOOD, None, algorithm="none"),
    "alg None in capitals": lambda: raw({"alg": "NONE"}, _GOOD, b""),
    "signed with the public key": _hs256_with_public_key,
    "an algorithm that is not allowed": lambda: sign(SECRET * 2, "HS512"),
    "another family": lambda: sign(_RSA, "RS256"),
    "another secret": lambda: sign(SECRET + "x"),
    "expired": lambda: sign(exp=time.time() - 1),
    "not yet valid": lambda: sign(nbf=time.time() + 60),
    "without end": lambda: sign(exp=...),
    "end is null": lambda: sign(exp=None),
    "end is true": lambda: sign(exp=True),
    "end is a string": lambda: sign(exp="9999999999"),
    "end is a list": lambda: sign(exp=[9999999999]),
    "end is infinite": lambda: sign(exp=float("inf")),
    "end is no number": lambda: sign(exp=float("nan")),
    "start is true": lambda: sign(nbf=True),
    "start is a string": lambda: sign(nbf="0"),
    "without subject": lambda: sign(sub=...),
    "empty subject": lambda: sign(sub=""),
    "blank subject": lambda: sign(sub="  "),
    "subject is a number": lambda: sign(sub=7),
    "subject is an object": lambda: sign(sub={"a": 1}),
    "subject with a line break": lambda: sign(sub="bob\nadmin"),
    "endless subject": lambda: sign(sub="b" * 1000),
    "scope is a number": lambda: sign(scope=1),
    "scope is an object": lambda: sign(scope={"admin": True}),
    "scope holds a number": lambda: sign(scope=["llm", 1]),
    "models is a number": lambda: sign(models=5),
    "huge": lambda: sign(padding="x" * 20_000),
    "truncated": lambda: sign()[:-5],
    "without signature": lambda: sign().rpartition(".")[0] + ".",
    "two parts": lambda: sign().rpartition(".")[0],
    "six parts": lambda: sign() + "." + sign(),
    "dots only": lambda: "..",
    "many dots": lambda: "." * 10_000,
    "latin-1": lambda: "Ã¤.Ã¶.Ã¼",
    "unicode": lambda: sign() + "é",
    "lone surrogate": lambda: "a.b.\udc80",
    "null bytes": lambda: "\0.\0.\0",
    "header is a list": lambda: raw([], _GOOD),
    "header is no JSON": lambda: raw(b"{", _GOOD),
    "header is no UTF-8": lambda: raw(b"\xff\xfe", _GOOD),
    "header is deep": lambda: raw(b"[" * 5_000, _GOOD),
    "alg is a list": lambda: raw({"alg": ["HS256"]}, _GOOD),
    "alg is missing": lambda: raw({"typ": "JWT"}, _GOOD),
    "kid is an object": lambda: sign(headers={"kid": "x"}).replace(
        sign(headers={"kid": "x"}).partition(".")[0], raw({"alg": "HS256", "kid": {}}, 1).partition(".")[0]
    ),
    "unknown critical header": lambda: sign(headers={"crit": ["x"], "x": 1}),
    "payload is a list": lambda: jwt.api_jws.encode(b"[]", SECRET),
    "payload is no JSON": lambda: jwt.api_jws.encode(b"{", SECRET),
    "payload is deep": lambda: jwt.api_jws.encode(b'{"sub":' + b"[" * 5_000, SECRET),
    "payload has a huge number": lambda: jwt.api_jws.encode(b'{"sub":"a","exp":1e400}', SECRET),
    "payload has too long a number": lambda: jwt.api_jws.encode(b'{"sub":"a","exp":' + b"9" * 5_000 + b"}", SECRET),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_token_is_refused(name: str) -> None:
    credentials = Credentials(AUTH)
    token = HOSTILE[name]()
    assert credentials.recall(token) is None
    for _ in range(2):
        with pytest.raises(Unauthorized) as refused:
            await credentials.identify(token)
        assert refused.value.message in {"The credential is not valid.", "The token has expired."}
        assert refused.value.__cause__ is None


@given(st.text(max_size=200) | st.builds(raw, st.binary(max_size=60), st.binary(max_size=60), st.binary(max_size=40)))
def test_no_text_whatever_is_anything_but_refused(presented: str) -> None:
    credentials = Credentials(AUTH)
    step = credentials.identify(presented)
    with pytest.raises(Unauthorized):
        step.send(None)


async def test_a_token_is_remembered_for_a_minute_at_most_and_never_past_its_end() -> None:
    now = [time.time()]
    credentials = Credentials(AUTH, clock=lambda: now[0])
    long, short = sign(exp=now[0] + 3600), sign(sub="brief", exp=now[0] + 10)
    assert credentials.recall(long) is None
    await credentials.identify(long)
    await credentials.identify(short)
    now[0] += 9
    assert credentials.recall(long) is not None
    assert credentials.recall(short) is not None
    now[0] += 2
    assert credentials.recall(short) is None
    with pytest.raises(Unauthorized):
        await credentials.identify(short)
    now[0] += 50
    assert credentials.recall(long) is None


async def test_the_memory_of_tokens_is_bounded_and_holds_no_token() -> None:
    credentials = Credentials(AUTH)
    remembered = credentials._remembered
    first = sign(sub="first")
    await credentials.identify(first)
    assert first not in repr(remembered)
    entry = next(iter(remembered.values()))
    remembered.update({str(number).encode(): entry for number in range(REMEMBERED_TOKENS)})
    await credentials.identify(sign(sub="last"))
    assert len(remembered) == REMEMBERED_TOKENS
    assert credentials.recall(first) is None


# --- where a credential is found ---


@pytest.mark.parametrize(
    ("headers", "query", "as_gemini", "found"),
    [
        ({"authorization": "Bearer abc"}, "", False, "abc"),
        ({"authorization": "bearer  abc "}, "", False, "abc"),
        ({"authorization": "BEARER abc", "x-api-key": "other"}, "", False, "abc"),
        ({"authorization": "Basic abc"}, "", False, None),
        ({"authorization": "Bearer"}, "", False, None),
        ({"authorization": "abc"}, "", False, None),
        ({"x-api-key": "abc"}, "", False, "abc"),
        ({"authorization": "Basic x", "x-api-key": "abc"}, "", False, "abc"),
        ({"x-goog-api-key": "abc"}, "", True, "abc"),
        ({"x-goog-api-key": "abc"}, "", False, None),
        ({}, "alt=sse&key=abc%2B", True, "abc+"),
        ({}, "key=abc", False, None),
        ({}, "key=", True, None),
        ({}, "", False, None),
    ],
)
def test_a_credential_is_found_where_clients_put_it(
    headers: dict[str, str], query: str, as_gemini: bool, found: str | None
) -> None:
    assert find_credential(headers, query, as_gemini=as_gemini) == found
    assert find_credential(CIMultiDict(headers), query, as_gemini=as_gemini) == found


@pytest.mark.parametrize("name", ["Authorization", "X-Api-Key"])
def test_two_different_ones_in_one_place_are_refused(name: str) -> None:
    same = CIMultiDict([(name, "Bearer a"), (name, "Bearer a")])
    assert find_credential(same, "") in {"a", "Bearer a"}
    with pytest.raises(Unauthorized):
        find_credential(CIMultiDict([(name, "Bearer a"), (name, "Bearer b")]), "")


def test_two_different_keys_in_the_query_are_refused() -> None:
    with pytest.raises(Unauthorized):
        find_credential({}, "key=a&key=b", as_gemini=True)
