"""The straight way through HTTP/1.1 against Sanic's own: whatever a client sends, both do the same with it."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sanic import Request, Sanic
from sanic.response import BaseHTTPResponse, HTTPResponse
from sanic.server import HttpProtocol

from gateway.api.replies import Reply
from gateway.http1 import QuickHttp, QuickHttpProtocol

AGAIN = b"GET /again HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
USUAL = st.sampled_from(
    ["Host: x", "Accept: */*", "Connection: Keep-Alive", "X-Twice: 1", "X-Twice: 2", "X-Empty:", "X-Pad:  a b  ",
     "x-colon: a:b", "Content-Length: 3"]
)  # fmt: skip
ODD = st.sampled_from(
    ["content-length: 3", "Content-Length: 0", "Content-Length: -3", "Content-Length: 3, 3", "Content-Length: x",
     "Content-Length:", "Content-Length: 03", "Transfer-Encoding: chunked", "Connection: close",
     "Connection: keep-alive, upgrade", "Upgrade: h2c", "Expect: 100-continue", "Expect: wonders", "X-Zolw: ą",
     "no colon", ""]
)  # fmt: skip
LINES = st.sampled_from(["POST /say?a=b HTTP/1.1", "GET / HTTP/1.1", "POST /fail HTTP/1.1"]) | st.sampled_from(
    ["HEAD / HTTP/1.1", "head / HTTP/1.1", "PUT /% HTTP/1.1", "GET / HTTP/1.0", "GET / HTTP/2", "GET /ż HTTP/1.1",
     "GET  / HTTP/1.1", "GET /", "GET / HTTP/1.1 ", "", "GET http://x/y HTTP/1.1", "GET * HTTP/1.1",
     "DELETE /nothing HTTP/1.1"]
)  # fmt: skip
BODIES = st.sampled_from([b"", b"abc", b"ab", b"abcd", b"3\r\nabc\r\n0\r\n\r\n", b"\r\n"])


class Asked(Request[Any, Any]):
    """A request that takes what is known of its head, as the gateway's own does."""

    __slots__ = ("findings",)


@asynccontextmanager
async def serving(protocol: type[HttpProtocol]) -> AsyncIterator[int]:
    app: Sanic[Any, Any] = Sanic("http1", request_class=Asked)

    @app.route("/<path:path>", methods=["GET", "HEAD", "POST", "PUT", "DELETE"], stream=True)
    async def tell(request: Request, path: str) -> BaseHTTPResponse:
        body = b"".join([piece async for piece in request.stream]) if request.stream.request_body else b""
        if path == "fail":
            raise ValueError("as wished")
        if path == "nothing":
            return Reply(b"", status=204, content_type="text/plain")
        headers = [f"{name}: {value}" for name, value in request.headers.items()]
        told = [request.method, request.path, request.query_string, headers, body.decode("latin-1")]
        return Reply(msgspec.json.encode(told), headers={"x-said": "a\r\nb"}, content_type="application/json")

    @app.exception(Exception)
    async def explain(_request: Request, error: Exception) -> HTTPResponse:
        return Reply(repr(error).encode(), status=getattr(error, "status_code", 500), content_type="text/plain")

    listener = socket.create_server(("127.0.0.1", 0))
    server = await app.create_server(sock=listener, protocol=protocol, return_asyncio_server=True)
    assert server is not None
    await server.startup()
    await server.start_serving()
    try:
        yield listener.getsockname()[1]
    finally:
        await server.close()


@pytest.fixture(scope="module")
def ports() -> Iterator[tuple[int, int]]:
    """Two servers that differ in nothing else: Sanic's protocol, and ours."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def run(work: Coroutine[Any, Any, int]) -> int:
        return asyncio.run_coroutine_threadsafe(work, loop).result(30)

    contexts = [serving(protocol) for protocol in (HttpProtocol, QuickHttpProtocol)]
    theirs, ours = (run(context.__aenter__()) for context in contexts)
    yield theirs, ours
    for context in contexts:
        asyncio.run_coroutine_threadsafe(context.__aexit__(None, None, None), loop).result(30)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def send(port: int, data: bytes) -> tuple[bytes, ...]:
    """Send bytes and give the lines that came back, in order of the alphabet: headers may stand anywhere."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        came = b""
        with suppress(ConnectionError):
            while piece := connection.recv(65536):
                came += piece
    return tuple(sorted(came.replace(b"alt-svc: \r\n", b"").split(b"\r\n")))


#: what is different in a second request on the same connection
CHANGES = st.sampled_from(
    [(b"Length: 3", length) for length in (b"Length: 3", b"Length: 2", b"Length: 03", b"Length: x")]
    + [(b"Length: 3", b"Length: 3\r\nContent-Length: 3"), (b"Twice: 1", b"Twice: 9"), (b"Host: x", b"Host: y")]
)


@given(
    line=LINES, usual=st.lists(USUAL, max_size=4), odd=st.lists(ODD, max_size=2), body=BODIES,
    change=CHANGES | st.none(),
)  # fmt: skip
@settings(max_examples=1000)
def test_whatever_is_sent_both_answer_the_same(
    ports: tuple[int, int], line: str, usual: list[str], odd: list[str], body: bytes, change: tuple[bytes, bytes] | None
) -> None:
    theirs, ours = ports
    data = "\r\n".join([line, *usual, *odd, "", ""]).encode() + body
    if change is not None:
        data += data.replace(*change)
    data += AGAIN
    came = send(ours, data)
    # A length that ends within the end of a line leaves its LF to the next request, which ours alone refuses for it.
    assume(b"BadRequest('A header is not well-formed.')" not in came or b"ength: " not in data)
    assert came == send(theirs, data)


@pytest.mark.parametrize(
    "line",
    [
        b"Content-Length : 41", b"Content-Length\t: 41", b" folded: yes", b"\tfolded", b": nameless", b"X-\xc5: y",
        b"X(y): z", b"X-Nul: a\0b", b"X-Return: a\rContent-Length: 41", b"X-Feed: a\nContent-Length: 41",
    ],
)  # fmt: skip
def test_a_head_that_others_may_read_in_another_way_is_refused_with_all_that_follows(
    line: bytes, ports: tuple[int, int]
) -> None:
    came = send(ports[1], b"POST /say HTTP/1.1\r\nHost: x\r\n" + line + b"\r\n\r\n" + AGAIN)
    assert [part for part in came if part.startswith(b"HTTP/1.1 ")] == [b"HTTP/1.1 400 Bad Request"]
    assert b"connection: close" in [part.lower() for part in came]


def test_a_head_that_comes_again_is_read_anew_where_it_differs(ports: tuple[int, int]) -> None:
    theirs, ours = ports
    form = b"POST /say HTTP/1.1\r\nHost: %b\r\nContent-Length: %d\r\nX-Behind: %b\r\n\r\n%b"
    given = [(b"x", 3, b"1"), (b"x", 12, b"1"), (b"x", 12, b"2"), (b"y", 12, b"2"), (b"y", 0, b"2")]
    requests = [form % (host, size, behind, b"a" * size) for host, size, behind in given]
    data = b"".join(requests) + AGAIN
    assert send(ours, data) == send(theirs, data)


@pytest.mark.parametrize(
    ("head", "plain"),
    [
        (b"GET / HTTP/1.1\r\nHost: x", True),
        (b"POST /llm HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\nContent-Length: 2", True),
        (b"POST /llm HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked", False),
        (b"HEAD / HTTP/1.1\r\nHost: x", False),
    ],
)
def test_what_nearly_everybody_sends_takes_the_straight_way(
    head: bytes, plain: bool, ports: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[bool] = []
    take = QuickHttp._take_head

    def note(self: QuickHttp, given: bytes) -> bool:
        taken.append(take(self, given))
        return taken[-1]

    monkeypatch.setattr(QuickHttp, "_take_head", note)
    send(ports[1], head + b"\r\n\r\n{}")
    assert taken[0] is plain
