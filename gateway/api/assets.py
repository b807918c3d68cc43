"""The packaged files of dashboard and docs, over HTTP: with an ETag, gzipped for who takes it, and a strict CSP.

Only names that are in the package are ever opened, so no path can lead out of it.
"""

import asyncio
import base64
import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from sanic.response import HTTPResponse

from gateway.api.services import GatewayRequest
from gateway.errors import NotFound

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".md": "text/plain; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
}
_SMALLEST_GZIPPED = 1024

FRAME_STYLE = "display.css"
#: nothing but our own files, no inline script (Content Security Policy Level 3)
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' {styles}; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is sent; `packed` is it gzipped, None where that does not pay."""

    content: bytes
    packed: bytes | None
    content_type: str
    etag: str


async def send_asset(request: GatewayRequest, name: str, policy: str | None = None) -> HTTPResponse:
    """Answer with a packaged file, or 304 if the client has it already. Raises NotFound."""
    if name not in _names():
        raise NotFound("There is no such file here.")
    asset = await asyncio.to_thread(_load, name)
    if policy is None:
        policy = await asyncio.to_thread(strict_policy)
    headers = {
        "etag": asset.etag,
        "cache-control": "no-cache",
        "vary": "Accept-Encoding",
        "content-security-policy": policy,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
    }
    if asset.etag in request.headers.get("if-none-match", ""):
        return HTTPResponse(status=304, headers=headers)
    body = asset.content
    if asset.packed is not None and "gzip" in request.headers.get("accept-encoding", ""):
        body = asset.packed
        headers["content-encoding"] = "gzip"
    return HTTPResponse(body, headers=headers, content_type=asset.content_type)


@cache
def strict_policy() -> str:
    """Give the policy of the dashboard; the one inline style allowed is that of the frames that code's tables are in.

    A frame without an origin cannot load a stylesheet of ours, and inherits this policy.
    """
    digest = hashlib.sha256(_load(FRAME_STYLE).content).digest()
    return _POLICY.format(styles=f"'sha256-{base64.b64encode(digest).decode()}'")


def docs_policy() -> str:
    """Give the policy of the docs: Swagger UI and ReDoc write style elements, ReDoc searches in a worker of a blob."""
    return _POLICY.format(styles="'unsafe-inline'") + "; worker-src blob:"


@cache
def _root() -> Path:
    return Path(str(files("gateway") / "dashboard"))


@cache
def _names() -> frozenset[str]:
    root = _root()
    return frozenset(path.relative_to(root).as_posix() for path in root.rglob("*") if path.suffix in _TYPES)


@cache
def _load(name: str) -> Asset:
    content = (_root() / name).read_bytes()
    packed = gzip.compress(content, 6, mtime=0) if len(content) >= _SMALLEST_GZIPPED else None
    etag = f'"{hashlib.sha256(content).hexdigest()[:20]}"'
    return Asset(content, packed, _TYPES[Path(name).suffix], etag)
