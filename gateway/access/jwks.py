"""The public keys of an identity provider (JWK Set, RFC 7517), fetched when needed and kept.

Keys are fetched again, in the background, when they are old, and when a token names one that is not among them, but
not more often than once in `AGAIN_SECONDS`, however many such tokens come. Where the provider cannot be reached, the
keys known last are good.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import jwt

from gateway.access.tokens import BAD_TOKEN
from gateway.errors import Unavailable

log = logging.getLogger("gateway.credentials")

FRESH_SECONDS = 600.0
AGAIN_SECONDS = 30.0
_TIMEOUT_SECONDS = 5.0
_MAXIMUM_BYTES = 1024 * 1024
_MAXIMUM_KEYS = 64

# Which algorithms a key may verify, by its type and curve (RFC 7518 section 3.1, RFC 8037 section 3.1): decided by
# the key, so that no token can have a public key taken for something else.
_BY_TYPE: Mapping[tuple[str, str | None], tuple[str, ...]] = {
    ("RSA", None): ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA",),
}


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key of the set: its id, what it may verify, and itself as PyJWT wants it."""

    key_id: str | None
    algorithms: tuple[str, ...]
    key: Any


class KeySet:
    """The keys behind one URL. `changed` is called when others than before have come."""

    def __init__(self, url: str, changed: Callable[[], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._changed = changed
        self._clock = clock
        self._keys: tuple[PublicKey, ...] = ()
        self._document: bytes | None = None
        self._fetched: float | None = None
        self._tried: float | None = None
        self._lock = asyncio.Lock()
        self._refreshing: asyncio.Task[None] | None = None

    async def find(self, key_id: str | None, algorithm: str) -> tuple[PublicKey, ...]:
        """Give the keys that may have signed a token: the one it names, or all that fit when it names none.

        `Unavailable` when no key has ever been fetched and none can be.
        """
        if self._fetched is None:
            await self._fetch()
        elif self._clock() - self._fetched > FRESH_SECONDS and self._refreshing is None:
            self._refreshing = asyncio.create_task(self._refresh())
        found = self._fitting(key_id, algorithm)
        if not found and await self._fetch():
            found = self._fitting(key_id, algorithm)
        if self._fetched is None:
            raise Unavailable("The keys of the identity provider cannot be fetched now. Try again in a moment.")
        return found

    async def _refresh(self) -> None:
        try:
            await self._fetch()
        finally:
            self._refreshing = None

    def _fitting(self, key_id: str | None, algorithm: str) -> tuple[PublicKey, ...]:
        return tuple(
            key
            for key in self._keys
            if algorithm in key.algorithms and (key_id is None or key.key_id is None or key.key_id == key_id)
        )

    async def _fetch(self) -> bool:
        """Fetch the keys unless that was tried a moment ago; whether there are new ones."""
        asked = self._clock()
        async with self._lock:
            if self._tried is not None and (self._tried > asked or self._clock() - self._tried < AGAIN_SECONDS):
                return self._fetched is not None and self._fetched >= asked
            self._tried = self._clock()
            try:
                document = await self._read()
                keys = read_keys(document)
            except (httpx.HTTPError, httpx.InvalidURL, ValueError, RecursionError) as error:
                log.warning("the key set of the identity provider cannot be used: %s", type(error).__name__)
                return False
            self._fetched = self._clock()
            if document != self._document:
                self._document, self._keys = document, keys
                self._changed()
            return True

    async def _read(self) -> bytes:
        async with (
            httpx.AsyncClient(timeout=_TIMEOUT_SECONDS, follow_redirects=False) as client,
            client.stream("GET", self._url, headers={"accept": "application/json"}) as response,
        ):
            response.raise_for_status()
            document = bytearray()
            async for piece in response.aiter_bytes():
                document += piece
                if len(document) > _MAXIMUM_BYTES:
                    raise ValueError("the key set is too large")
        return bytes(document)


def read_keys(document: bytes) -> tuple[PublicKey, ...]:
    """Read a JWK Set; keys that are not for verifying, or of an unknown type, are left out.

    `ValueError` when it is no key set or holds no usable key.
    """
    content = json.loads(document)
    entries = content.get("keys") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise ValueError("no key set")
    keys = tuple(key for key in map(_read_key, entries[:_MAXIMUM_KEYS]) if key is not None)
    if not keys:
        raise ValueError("no usable key")
    return keys


def _read_key(entry: object) -> PublicKey | None:
    if not isinstance(entry, dict) or entry.get("use", "sig") != "sig":
        return None
    if "key_ops" in entry and "verify" not in (entry["key_ops"] or ()):
        return None
    kind = entry.get("kty")
    algorithms = _BY_TYPE.get((kind, None if kind == "RSA" else entry.get("crv"))) if isinstance(kind, str) else None
    key_id = entry.get("kid")
    if algorithms is None or not isinstance(key_id, str | None):
        return None
    if entry.get("alg") is not None:
        algorithms = tuple(name for name in algorithms if name == entry["alg"])
    if not algorithms:
        return None
    try:
        return PublicKey(key_id, algorithms, jwt.PyJWK(entry, algorithms[0]).key)
    except BAD_TOKEN:
        return None
