"""The data path to providers: an HTTP/1.1 client of our own, on asyncio and httptools.

One engine with two faces. `Wire.exchange` takes a request that is ready to write and is what the hot path uses;
`WireTransport` is the same as an `httpx.AsyncBaseTransport`. Both raise httpx's exceptions.

What it promises: never a wrong byte, never a wait without a bound, never a second use of a connection that is not
clean. Why not httpx's own pool: it walks all its connections for each request, which costs 25 times as much.
"""

from gateway.wire.pool import Origin, Wire, default_tls
from gateway.wire.request import Timeouts, hold_to_length, write_headers, write_line
from gateway.wire.response import BodyTooLarge, ServerDisconnected, WireResponse
from gateway.wire.transport import WireTransport

__all__ = [
    "BodyTooLarge",
    "Origin",
    "ServerDisconnected",
    "Timeouts",
    "Wire",
    "WireResponse",
    "WireTransport",
    "default_tls",
    "hold_to_length",
    "write_headers",
    "write_line",
]
