"""A fake OAuth 2.0 server with client credentials (RFC 6749, 4.4), and a provider that takes its tokens only.

fake = FakeOAuth(lifetime=60)
async with serve(fake.app) as url: ...        # {url}/token grants, {url}/v1 is an OpenAI-compatible provider
fake.revoke()                                 # all tokens granted so far are refused from now on
fake.troubles.append((503, b"down"))          # the next token request is answered with this
"""

import asyncio
import base64
import itertools
import time
from collections import deque
from typing import Any, Literal
from urllib.parse import unquote

from sanic import HTTPResponse, Request, Sanic
from sanic.response import json as json_response
from sanic.response import raw

from tests.fakes.openai import FakeOpenAI
from tests.secret_watch import MARK

CLIENT_ID = "client:with/odd characters"
CLIENT_SECRET = f"{MARK}+oauth/client=secret 0123456789"


class FakeOAuth(FakeOpenAI):
    """The token endpoint, and a provider behind it, which lets nobody in while it is `closed`.

    `style` is the one way in which clients may name themselves to the endpoint.
    """

    vendor = "oauth"
    models = ("guarded-model",)

    def __init__(self, lifetime: float = 60, style: Literal["body", "basic"] = "body") -> None:
        self.lifetime = lifetime
        self.style = style
        self.pause_token = 0.0
        self.closed = False
        self.troubles: deque[tuple[int, bytes]] = deque()
        self.grants: list[str] = []
        self.asked: list[dict[str, str]] = []
        self.ends: dict[str, float] = {}
        self._numbers = itertools.count(1)
        super().__init__(key="unused")
        self.key = None

    def route(self, app: Sanic[Any, Any]) -> None:
        super().route(app)
        app.add_route(self.grant, "/token", methods=["POST"])
        app.on_request(self._judge)

    def revoke(self) -> None:
        """Refuse all tokens granted so far."""
        self.ends.clear()

    async def _judge(self, request: Request) -> HTTPResponse | None:
        if request.path == "/token":
            return None
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not self.closed and self.ends.get(token, 0) > time.monotonic():
            return None
        return json_response({"error": {"message": f"bad token {token}", "code": "invalid_token"}}, 401)

    async def grant(self, request: Request) -> HTTPResponse:
        form = {name: values[0] for name, values in (request.form or {}).items()}
        self.asked.append(form)
        if self.pause_token:
            await asyncio.sleep(self.pause_token)
        if self.troubles:
            status, body = self.troubles.popleft()
            return raw(body, status, content_type="application/json")
        if self._named(request, form) != (CLIENT_ID, CLIENT_SECRET):
            description = f"no client {form.get('client_id')} with {form.get('client_secret')}"
            return json_response({"error": "invalid_client", "error_description": description}, 401)
        token = f"{MARK}-access-token-{next(self._numbers):04d}"
        self.grants.append(token)
        self.ends[token] = time.monotonic() + self.lifetime
        return json_response({"access_token": token, "token_type": "Bearer", "expires_in": self.lifetime})

    def _named(self, request: Request, form: dict[str, str]) -> tuple[str | None, str | None]:
        if self.style == "body":
            return form.get("client_id"), form.get("client_secret")
        given = request.headers.get("authorization", "").removeprefix("Basic ")
        user, _, password = base64.b64decode(given).decode().partition(":")
        return unquote(user), unquote(password)
