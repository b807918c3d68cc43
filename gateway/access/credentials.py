"""Where a request carries its credential, and whether that is good."""

import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from urllib.parse import parse_qs

from gateway.access.identity import Identity
from gateway.access.jwks import KeySet
from gateway.access.tokens import read_header, refuse, verify
from gateway.errors import Unauthorized
from gateway.settings import AuthSettings, KeySettings

__all__ = ["Credentials", "Identity", "find_credential"]

REMEMBERED_SECONDS = 60.0
REMEMBERED_TOKENS = 10_000
MAXIMUM_LENGTH = 16_384


def find_credential(headers: Mapping[str, str], query: str, *, as_gemini: bool = False) -> str | None:
    """Find the credential of a request: bearer, `x-api-key`; `as_gemini` also `x-goog-api-key` and `?key=`.

    None when there is none; `Unauthorized` when one place holds two different ones. Header names are looked up in
    lower case.
    """
    found = None
    authorization = _only(headers, "authorization")
    if authorization:
        scheme, _, rest = authorization.strip().partition(" ")
        if scheme.lower() == "bearer":
            found = rest.strip()
    if not found:
        found = _only(headers, "x-api-key")
    if not found and as_gemini:
        found = _only(headers, "x-goog-api-key")
        if not found and "key=" in query:
            keys = set(parse_qs(query, max_num_fields=100).get("key", ()))
            if len(keys) > 1:
                raise refuse()
            found = next(iter(keys), None)
    return found or None


def _only(headers: Mapping[str, str], name: str) -> str | None:
    first = headers.get(name)
    if first is None:
        return None
    getall = getattr(headers, "getall", None)
    if getall is not None and len(given := getall(name)) > 1 and set(given) != {first}:
        raise refuse()
    return first


def digest_of(presented: str) -> bytes | None:
    """Give what is kept of a credential in its place; None for what can be none."""
    if len(presented) > MAXIMUM_LENGTH or not presented.isascii():
        return None
    return _digest(presented)


class Credentials:
    """Tells who a credential stands for: static keys first, then JWTs by secret or key set.

    Tokens found good are remembered by their digest for a minute at most, never past their end; nothing else of them
    is kept.
    """

    def __init__(self, auth: AuthSettings, clock: Callable[[], float] = time.time) -> None:
        self._auth = auth
        self._clock = clock
        self._keys = tuple((_digest(key.key), _holder(key)) for key in auth.keys)
        self._key_set = KeySet(auth.jwks_url, self._forget) if auth.jwt_enabled and auth.jwks_url else None
        self._remembered: dict[bytes, tuple[Identity, float]] = {}

    def recall(self, presented: str) -> Identity | None:
        """Say at once who it is: a static key, or a token seen a moment ago. None when that takes `identify`."""
        digest = digest_of(presented)
        return None if digest is None else self.recall_digest(digest)

    def recall_digest(self, digest: bytes) -> Identity | None:
        """Do as `recall` does, for who has the credential's `digest_of` already."""
        found: Identity | None = None
        for known, holder in self._keys:  # all of them, whichever fits
            if hmac.compare_digest(known, digest):
                found = holder
        if found is not None:
            return found
        remembered = self._remembered.get(digest)
        if remembered is None:
            return None
        if self._clock() >= remembered[1]:
            del self._remembered[digest]
            return None
        return remembered[0]

    async def identify(self, presented: str) -> Identity:
        """Say who it is. `Unauthorized` for what is not good; `Unavailable` when no key to judge it by can be had."""
        known = self.recall(presented)
        if known is not None:
            return known
        if not self._auth.jwt_enabled or len(presented) > MAXIMUM_LENGTH or not presented.isascii():
            raise refuse()
        identity, expiry = await self._verify(presented)
        now = self._clock()
        if now >= expiry:
            raise Unauthorized("The token has expired.")
        self._remembered[_digest(presented)] = (identity, min(expiry, now + REMEMBERED_SECONDS))
        while len(self._remembered) > REMEMBERED_TOKENS:
            del self._remembered[next(iter(self._remembered))]  # the one verified longest ago
        return identity

    async def _verify(self, token: str) -> tuple[Identity, float]:
        """Verify with the kind of key that the algorithm belongs to; the algorithm itself must be an allowed one."""
        algorithm, key_id = read_header(token)
        if algorithm not in self._auth.algorithms:
            raise refuse()
        if algorithm == "HS256":
            if self._auth.jwt_secret is None:
                raise refuse()
            return verify(token, self._auth.jwt_secret, ("HS256",), self._auth)
        if self._key_set is None:
            raise refuse()
        error = refuse()
        for key in await self._key_set.find(key_id, algorithm):
            try:
                return verify(token, key.key, (algorithm,), self._auth)
            except Unauthorized as refused:
                error = refused
        raise error

    def _forget(self) -> None:
        self._remembered.clear()


def _digest(presented: str) -> bytes:
    return hashlib.sha256(presented.encode("ascii")).digest()


def _holder(key: KeySettings) -> Identity:
    limits = {"requests": key.requests, "executions": key.executions}
    return Identity(
        name=key.name,
        kind="key",
        scopes=key.scopes,
        models=key.models or None,
        limits={quota: notation for quota, notation in limits.items() if notation},
    )
