"""Before each request, and before its body is read: who asks.

A service token is a JWT, HS256 with the secret of both services: `aud` "executor", `sub` the user, `exp` at most
60 s ahead with 5 s of leeway (API.md 4). Without a secret everybody on loopback is let in as `anonymous`.
"""

import time
from typing import Any

import jwt
from sanic import Request, Sanic

from executor.api.answers import request_id
from executor.errors import Unauthorized
from executor.telemetry import current_request

AUDIENCE = "executor"
MAX_AHEAD_SECONDS = 60
LEEWAY_SECONDS = 5
MAX_USER = 256
ANONYMOUS = "anonymous"
OPEN = frozenset((("GET", "/health"), ("GET", "/metrics"), ("HEAD", "/health"), ("HEAD", "/metrics")))


def read_token(token: str, secret: str) -> str:
    """Give the user that a service token speaks for; `Unauthorized` if it is not good."""
    try:
        claims = jwt.decode(
            token,
            secret,
            algorithms=["HS256"],
            audience=AUDIENCE,
            leeway=LEEWAY_SECONDS,
            options={"require": ["exp", "aud", "sub"]},
        )
        ahead = float(claims["exp"]) - time.time()
    except (jwt.InvalidTokenError, ValueError, TypeError, OverflowError) as error:
        raise Unauthorized("The service token is not good; EXECUTOR_SECRET must be the same on both sides.") from error
    if ahead > MAX_AHEAD_SECONDS + LEEWAY_SECONDS:
        raise Unauthorized(f"The service token lasts longer than {MAX_AHEAD_SECONDS} s.")
    user = claims["sub"]
    if not user or len(user) > MAX_USER:
        raise Unauthorized("The service token names no user.")
    return str(user)


def install_guard(app: Sanic[Any, Any], secret: str | None) -> None:
    """Judge every request but those that are open, before its body is read and its path is looked up."""

    @app.signal("http.routing.before")
    async def judge(request: Request) -> None:
        current_request.set(request_id(request))
        if secret is None or (request.method, request.path.rstrip("/")) in OPEN:
            request.ctx.user = ANONYMOUS
            return
        scheme, _, token = request.headers.getone("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthorized("A service token is needed: Authorization: Bearer <jwt>.")
        request.ctx.user = read_token(token.strip(), secret)
