"""How the gateway gets in at a provider: the caller's own key, an OAuth token, or the configured key."""

from base64 import b64encode
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

import msgspec

from gateway.errors import ProviderNotConfigured
from gateway.providers import VENDORS
from gateway.settings import ProviderSettings, Settings
from gateway.upstream.oauth import Tokens

Headers = tuple[tuple[str, str], ...]

#: kinds that take the caller's own key when the gateway wants none (API.md 1.5)
_OPENAI_KINDS = frozenset({"openai", "lmstudio", "openai-compatible"})
_CREDENTIALS = frozenset({"authorization", "x-api-key", "x-goog-api-key"})
_SHORTEST_SECRET = 6  # shorter ones would blank out ordinary words


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """What a call carries from its caller: the request's id, and a key of the caller's own for the provider.

    `authorization` is given in the place of a key by who authorizes in another way than by a bearer's.
    """

    request_id: str
    key: str | None = None
    authorization: str | None = None

    @property
    def has_key(self) -> bool:
        """Whether the caller brings anything of their own to get in with."""
        return self.key is not None or self.authorization is not None

    def __repr__(self) -> str:
        return f"Caller(request_id={self.request_id!r})"


@dataclass(frozen=True, slots=True)
class Login:
    """The headers that let us in, and whose they are: `token` is the OAuth token in them, if one is."""

    headers: Headers = field(repr=False)
    token: str | None = field(default=None, repr=False)
    callers: bool = False


class Logins:
    """Finds the login for each call. An OAuth token wins over a configured key, the caller's own key over both.

    A token goes out as `Authorization: Bearer` (RFC 6750) whatever the vendor's own header for keys is; Anthropic's
    and Google's APIs take it there, and so do gateways in front of them.
    """

    def __init__(self, settings: Settings, tokens: Tokens) -> None:
        self._settings = settings
        self._tokens = tokens
        self._own: dict[str, tuple[ProviderSettings, Login]] = {}

    async def find(self, provider: ProviderSettings, caller: Caller) -> Login:
        """Give the login of a call; waits only where an OAuth token has to be fetched first."""
        vendor = VENDORS[provider.kind]
        if caller.key and (provider.kind in _OPENAI_KINDS or self._settings.auth.enabled):
            return Login(vendor.credential_headers(caller.key), callers=True)
        if caller.authorization and provider.kind in _OPENAI_KINDS:
            return Login((("authorization", caller.authorization),), callers=True)
        if provider.oauth is not None:
            return _with_token(provider, await self._tokens.of(provider))
        known, login = self._own.get(provider.name, (None, None))
        if login is not None and known is provider:
            return login
        if vendor.needs_key and not provider.api_key:
            raise ProviderNotConfigured(
                f"The provider {provider.name!r} needs a key and has none: set {provider.name.upper()}_API_KEY "
                "or its api_key in the config file.",
                provider=provider.name,
            )
        login = Login(vendor.credential_headers(provider.api_key or ""))
        self._own[provider.name] = (provider, login)
        return login

    async def renew(self, provider: ProviderSettings, login: Login) -> Login | None:
        """Give another login in the place of one that was answered with 401; None where there is none."""
        if login.token is None:
            return None
        token = await self._tokens.renew(provider, login.token)
        return None if token is None else _with_token(provider, token)

    def note_taken(self, provider: ProviderSettings, login: Login) -> None:
        """Note that a login was good."""
        if login.token is not None:
            self._tokens.note_taken(provider, login.token)

    def note_refused(self, provider: ProviderSettings, headers: Headers) -> None:
        """Note that a call with these headers was answered with 401, so that the next one brings another token."""
        if provider.oauth is not None:
            scheme, _, token = dict(headers).get("authorization", "").partition(" ")
            if scheme == "Bearer":
                self._tokens.drop(provider, token)


def blank_secrets(said: bytes, provider: ProviderSettings, sent: Headers) -> bytes:
    """Take what we let ourselves in with out of a provider's error, which may say back all that it was sent.

    Every secret becomes as many asterisks as it has bytes, so that the length stays. `sent` are our headers; those
    that the settings give the provider are looked for too, and what its address holds.
    """
    address = urlsplit(provider.base_url)
    user, password = unquote(address.username or ""), unquote(address.password or "")
    values = [value for name, value in sent if name in _CREDENTIALS]
    for value in (*values, *provider.headers.values(), password, b64encode(f"{user}:{password}".encode()).decode()):
        secret = value.rpartition(" ")[2].encode()
        if len(secret) >= _SHORTEST_SECRET:
            for spelling in {secret, secret.replace(b"/", b"\\/")}:  # some servers' JSON escapes the slash
                said = said.replace(spelling, b"*" * len(spelling))
    return said


def _with_token(provider: ProviderSettings, token: str) -> Login:
    headers = (("authorization", f"Bearer {token}"), *VENDORS[provider.kind].credential_headers(""))
    return Login(headers, token=token)
