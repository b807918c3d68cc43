"""Secrets taken out of text that is about to be kept: those registered, and whatever has the shape of one.

The first line of defence is that nobody hands a secret over. This is the second, so it prefers to hide too much.
"""

import re
from functools import lru_cache
from threading import Lock
from urllib.parse import quote

MASK = "***"
# Shorter values would blank out ordinary words.
SHORTEST_SECRET = 6
MOST_SECRETS = 200

# What must be in the text, in lower case, for the pattern beside it to be worth a search; group 1 is kept.
# Keys of OpenAI and Anthropic, keys of Google, JWTs (RFC 7519), bearer and basic credentials (RFC 6750, RFC 7617),
# and keys in a query string.
_SHAPES = (
    ("sk-", re.compile(r"()sk-(?<![A-Za-z0-9]sk-)[A-Za-z0-9_\-]{8,}")),
    ("aiza", re.compile(r"()AIza[A-Za-z0-9_\-]{30,}")),
    ("eyj", re.compile(r"()eyJ[A-Za-z0-9_\-]{5,}\.[A-Za-z0-9_\-]+(?:\.[A-Za-z0-9_\-]*)?")),
    ("bearer ", re.compile(r"(bearer )[A-Za-z0-9._~+/=\-]{6,}", re.IGNORECASE)),
    ("basic ", re.compile(r"(basic )[A-Za-z0-9+/=]{6,}", re.IGNORECASE)),
    ("key=", re.compile(r"([?&](?:api_?)?key=)[^&\s\"']+", re.IGNORECASE)),
    ("token=", re.compile(r"([?&](?:access_)?token=)[^&\s\"']+", re.IGNORECASE)),
)

_lock = Lock()
_registered: dict[str, None] = {}
_spellings: tuple[str, ...] = ()


def mask(secret: str | None) -> None:
    """Register a secret, so that no line or row ever shows it. None and values under six characters are ignored.

    The newest two hundred are kept: access tokens that are refreshed for months do not pile up.
    """
    global _spellings  # noqa: PLW0603 (one list per process is the point)
    if secret is None or len(secret) < SHORTEST_SECRET:
        return
    with _lock:
        _registered.pop(secret, None)
        _registered[secret] = None
        while len(_registered) > MOST_SECRETS:
            del _registered[next(iter(_registered))]
        # As it is, and as a URL spells it; the longest first, since one may begin with another.
        spellings = {spelling for known in _registered for spelling in (known, quote(known, safe="", errors="replace"))}
        _spellings = tuple(sorted(spellings, key=len, reverse=True))
    masked_label.cache_clear()


@lru_cache(maxsize=4096)
def masked_label(text: str) -> str:
    """The same for a short text of which there are few: a path, a model, a user."""
    return masked(text)


def masked(text: str) -> str:
    """The text with every registered or secret-looking value replaced by `***`."""
    for secret in _spellings:
        if secret in text:
            text = text.replace(secret, MASK)
    lowered = text.lower()
    for marker, shape in _SHAPES:
        if marker in lowered:
            text = shape.sub(rf"\g<1>{MASK}", text)
    return text
