"""Which endpoint takes a request: Sanic's router, and beside it the methods that Sanic does not know."""

import re
from typing import Any

from sanic.constants import HTTP_METHODS
from sanic.exceptions import MethodNotAllowed
from sanic.router import Router
from sanic_routing.route import Route

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
#: one opens a tunnel, the other says back all headers that it was sent: the provider's key among them
_NEVER = frozenset({"CONNECT", "TRACE"})


class AnyMethodRouter(Router):
    """A router where an endpoint that takes OPTIONS takes every method: only what is passed through does."""

    def _get(self, path: str, method: str, host: str | None) -> tuple[Route, Any, dict[str, Any]]:
        try:
            return super()._get(path, method, host)
        except MethodNotAllowed:
            if method in HTTP_METHODS or method in _NEVER or _TOKEN.fullmatch(method) is None:
                raise
        return super()._get(path, "OPTIONS", host)
