"""The wired objects that handlers may use, and the types of app and request that carry them."""

import asyncio
import itertools
import re
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeAlias

from sanic import Request, Sanic
from sanic.config import Config
from sanic.exceptions import BadURL, ServerError
from sanic.response import BaseHTTPResponse, HTTPResponse

from gateway.access.credentials import Credentials, Identity
from gateway.access.quotas import Allowance, Quotas
from gateway.api.replies import complete
from gateway.execution import Executor
from gateway.prompts import Prompts
from gateway.routing.catalogue import Catalogue
from gateway.routing.router import Router
from gateway.settings import Settings
from gateway.telemetry.calls import CallLog
from gateway.telemetry.metrics import Metrics
from gateway.upstream import Upstream

_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


def count_ids() -> Iterator[str]:
    """Give ids that nobody else gives: what is random in them is drawn once, when the process begins to serve."""
    mine = secrets.token_hex(8)
    return (f"{mine}{number:08x}" for number in itertools.count())


@dataclass(frozen=True, kw_only=True, slots=True)
class Services:
    """Everything that handlers may use; made once for each app by `gateway.app.create_app`."""

    settings: Settings
    upstream: Upstream
    router: Router
    catalogue: Catalogue
    executor: Executor
    credentials: Credentials
    quotas: Quotas
    prompts: Prompts
    metrics: Metrics
    calls: CallLog
    started: float = field(default_factory=time.monotonic)
    ids: Iterator[str] = field(default_factory=count_ids)
    #: set when the server begins to stop: what would go on for ever, such as the live feed, ends then
    stopping: asyncio.Event = field(default_factory=asyncio.Event)


Gateway: TypeAlias = Sanic[Config, Services]


class Findings:
    """What the guard has found out about a head; holds for the next request with the same one on its connection."""

    __slots__ = ("digest",)

    def __init__(self) -> None:
        #: of the credential that the head carries
        self.digest: bytes | None = None


if TYPE_CHECKING:
    _Base: TypeAlias = Request[Gateway, SimpleNamespace]
else:
    _Base = Request


class GatewayRequest(_Base):
    """A request with what the guard has found out about it."""

    __slots__ = ("allowance", "began", "caller", "findings", "outcome", "path", "request_id", "sent", "services")

    def __init__(self, url_bytes: bytes, **given: Any) -> None:
        try:
            super().__init__(url_bytes, **given)
        except BadURL:
            if given["method"] != "NONE":
                raise
            # Sanic's stand-in for a request that could not be read, made to answer with: it may not fail as well.
            super().__init__(b"/", **given)
        self.began = time.monotonic()
        #: the wired objects of this app
        self.services: Services = self.app.ctx
        #: decoded once; Sanic's own property does so each time
        self.path: str = self._parsed_url.path.decode("utf-8")
        inbound = self.headers.get("x-request-id")
        #: the caller's own id of the request if it is a sane token (API.md 1.7), else a new one
        self.request_id: str = (
            inbound if inbound is not None and _SANE_ID.fullmatch(inbound) else f"req_{next(self.services.ids)}"
        )
        self.caller: Identity | None = None
        self.findings = Findings()
        self.allowance: Allowance | None = None
        self.outcome: str | None = None
        self.sent: bytearray | None = None  # of a stream, for the call log

    async def respond(
        self,
        response: BaseHTTPResponse | None = None,
        *,
        status: int = 200,
        headers: Any = None,
        content_type: str | None = None,
    ) -> BaseHTTPResponse:
        """Begin to answer: every answer takes this way, and gets here what every answer has.

        Like Sanic's own, but without the search for response middlewares, of which there are none.
        """
        if self.stream is None or self.stream.response:
            raise ServerError("This request has been answered already.")
        response = response or HTTPResponse(status=status, headers=headers, content_type=content_type)
        complete(self, response)
        self.stream.respond(response)
        self.responded = True
        return response

    @property
    def user(self) -> str | None:
        """Who calls, where a credential says so."""
        return self.caller.name if self.caller else None

    @property
    def provider_authorization(self) -> str | None:
        """What the caller sends along for the provider (API.md 1.5), as it stands in the head."""
        return self.headers.get("x-provider-authorization" if self.services.settings.auth.enabled else "authorization")

    def is_ours(self, value: str) -> bool:
        """Whether a value is a credential for this gateway, bare or behind a scheme: none of them may go upstream."""
        if not self.services.settings.auth.enabled:
            return False
        return self.services.credentials.recall(value.strip().rpartition(" ")[2]) is not None
