"""Calls to the engine over kept connections: each answer goes to whom it belongs, none comes over one that failed."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from executor.sandboxes import engine_http
from executor.sandboxes.engine_http import EngineHttp

pytestmark = pytest.mark.anyio

NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
CHUNKED = b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n3\r\nne!\r\n0\r\n\r\n"
SIZED = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}"
LAST = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"


class Engine:
    """What was asked over each connection."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.asked: list[list[bytes]] = []


@asynccontextmanager
async def engine(folder: Path, answers: Sequence[bytes | None], *, pause: float = 0.0) -> AsyncIterator[Engine]:
    """An engine's socket that gives these answers one after the other; None closes the connection in place of one."""
    made = Engine(f"unix://{folder}/engine.sock")
    waiting = list(answers)
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked: list[bytes] = []
        made.asked.append(asked)
        writers.append(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                asked.append(head.split(b"\r\n")[0] + b" " + await reader.readexactly(length))
                await asyncio.sleep(pause)
                answer = waiting.pop(0)
                if answer is None:
                    return
                for byte in answer:  # however it is cut
                    writer.write(bytes([byte]))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    server = await asyncio.start_unix_server(serve, f"{folder}/engine.sock")
    async with server:
        yield made
        for writer in writers:
            writer.close()


async def test_answers_of_all_forms_come_back_over_one_connection(tmp_path: Path) -> None:
    async with engine(tmp_path, [SIZED, NO_CONTENT, CHUNKED]) as made:
        http = EngineHttp(made.address)
        assert await http.request("POST", "/containers/create?name=a", b'{"x":1}') == (201, b"{}")
        assert await http.request("POST", "/containers/a/start") == (204, b"")
        assert await http.request("DELETE", "/containers/a") == (404, b"none!")
        http.close()
    assert made.asked == [
        [
            b'POST /containers/create?name=a HTTP/1.1 {"x":1}',
            b"POST /containers/a/start HTTP/1.1 ",
            b"DELETE /containers/a HTTP/1.1 ",
        ]
    ]


async def test_what_is_asked_at_the_same_time_goes_over_connections_of_its_own(tmp_path: Path) -> None:
    async with engine(tmp_path, [SIZED] * 6, pause=0.05) as made:
        http = EngineHttp(made.address)
        for _ in range(2):
            assert await asyncio.gather(*(http.request("GET", "/x") for _ in range(3))) == [(201, b"{}")] * 3
        http.close()
    assert sorted(map(len, made.asked)) == [2, 2, 2]


async def test_a_connection_that_the_engine_ends_is_not_used_again(tmp_path: Path) -> None:
    async with engine(tmp_path, [LAST, SIZED, None, SIZED]) as made:
        http = EngineHttp(made.address)
        assert await http.request("GET", "/1") == (200, b"{}")
        assert await http.request("GET", "/2") == (201, b"{}")
        with pytest.raises(ConnectionError):
            await http.request("GET", "/3")
        assert await http.request("GET", "/4") == (201, b"{}")
        http.close()
    assert [len(asked) for asked in made.asked] == [1, 2, 1]


async def test_one_that_waits_idle_and_is_closed_is_not_used_again(tmp_path: Path) -> None:
    async with engine(tmp_path, [SIZED]) as made:
        http = EngineHttp(made.address)
        await http.request("GET", "/1")
    async with asyncio.timeout(10):
        while http._idle[0].reusable:
            await asyncio.sleep(0.01)
    (tmp_path / "engine.sock").unlink(missing_ok=True)
    async with engine(tmp_path, [SIZED]) as made:
        assert await http.request("GET", "/2") == (201, b"{}")
        http.close()


async def test_who_stops_waiting_leaves_no_answer_for_the_next(tmp_path: Path) -> None:
    async with engine(tmp_path, [CHUNKED, SIZED], pause=0.2) as made:
        http = EngineHttp(made.address)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await http.request("GET", "/given-up")
        assert await http.request("GET", "/next") in ((201, b"{}"), (404, b"none!"))
        http.close()
    assert len(made.asked) == 2


@pytest.mark.parametrize("answer", [b"hello\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n" + b"x" * 9000])
async def test_an_answer_that_cannot_be_taken_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    monkeypatch.setattr(engine_http, "_MAX_ANSWER", 1000)
    async with engine(tmp_path, [answer, SIZED]) as made:
        http = EngineHttp(made.address)
        with pytest.raises(ConnectionError):
            await http.request("GET", "/1")
        assert await http.request("GET", "/2") == (201, b"{}")
        http.close()


async def test_an_engine_that_is_not_there_is_a_failure_too(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"engine\.sock|No such file"):
        await EngineHttp(f"unix://{tmp_path}/engine.sock").request("GET", "/")
