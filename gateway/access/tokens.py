"""JWTs (RFC 7519, RFC 8725): what a good one says, and how `python -m gateway token` writes one."""

import time
from collections.abc import Sequence
from typing import Any

import jwt
from jwt.types import Options

from gateway.access.identity import Identity
from gateway.errors import Unauthorized
from gateway.settings import AuthSettings

DEFAULT_SCOPES = frozenset({"llm", "execute"})

# All that PyJWT and the libraries beneath it raise for hostile input; nothing of it may become a 500.
BAD_TOKEN = (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError)


def refuse() -> Unauthorized:
    """Make the one answer to a credential that is not good, whatever the reason."""
    return Unauthorized("The credential is not valid.")


def read_header(token: str) -> tuple[str, str | None]:
    """Give algorithm and key id that a token claims, unverified; `Unauthorized` if it has no proper header."""
    try:
        header = jwt.get_unverified_header(token)
        algorithm, key_id = header.get("alg"), header.get("kid")
    except BAD_TOKEN:
        raise refuse() from None
    if not isinstance(algorithm, str) or not isinstance(key_id, str | None):
        raise refuse()
    return algorithm, key_id


def verify(token: str, key: Any, algorithms: Sequence[str], auth: AuthSettings) -> tuple[Identity, float]:
    """Check signature and claims with `key`; gives who it is, and until when (Unix time). Else `Unauthorized`."""
    options: Options = {
        "require": ["exp", "sub"],
        "verify_iat": False,
        "verify_sub": False,
        "verify_jti": False,
        "verify_iss": auth.issuer is not None,
        "verify_aud": auth.audience is not None,
    }
    try:
        claims = jwt.decode(
            token, key, algorithms=list(algorithms), issuer=auth.issuer, audience=auth.audience, options=options
        )
        return _identity(claims), _expiry(claims)
    except jwt.ExpiredSignatureError:
        raise Unauthorized("The token has expired.") from None
    except BAD_TOKEN:
        raise refuse() from None


def _expiry(claims: dict[str, Any]) -> float:
    for claim in ("exp", "nbf"):
        value = claims.get(claim, 0)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(claim)
    return float(claims["exp"])


def _identity(claims: dict[str, Any]) -> Identity:
    subject = claims["sub"]
    if not isinstance(subject, str) or not subject.strip() or len(subject) > 256 or not subject.isprintable():
        raise TypeError("sub")
    scopes = DEFAULT_SCOPES if claims.get("scope") is None else frozenset(_words(claims["scope"]))
    models = None if claims.get("models") is None else _words(claims["models"])
    return Identity(name=subject, kind="jwt", scopes=scopes, models=models)


def _words(claim: object) -> tuple[str, ...]:
    if isinstance(claim, str):
        return tuple(claim.split())
    if isinstance(claim, list) and all(isinstance(word, str) for word in claim):
        return tuple(claim)
    raise TypeError("a string or a list of strings is wanted")


def write_token(auth: AuthSettings, subject: str, scopes: Sequence[str], seconds: float) -> str:
    """Write a token, signed with the secret of `auth`, for `subject`; valid for `seconds`."""
    if auth.jwt_secret is None:
        raise ValueError("a token cannot be signed without a secret")
    now = int(time.time())
    claims: dict[str, Any] = {"sub": subject, "iat": now, "exp": now + int(seconds)}
    if scopes:
        claims["scope"] = " ".join(scopes)
    if auth.issuer:
        claims["iss"] = auth.issuer
    if auth.audience:
        claims["aud"] = auth.audience
    return jwt.encode(claims, auth.jwt_secret, algorithm="HS256")
