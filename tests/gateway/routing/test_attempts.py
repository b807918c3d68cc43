"""Retries and fallbacks, seen from both ends: a client of a whole gateway, and the fakes behind it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.fakes.misbehaving import OK, Peer, misbehaving
from tests.gateway.routing.pair import FAILED, SOON, every_way, pair
from tests.gateway.serving import NOBODY
from tests.pacing import PATIENCE

pytestmark = pytest.mark.anyio

SSE = b"content-type: text/event-stream\r\n"


@every_way
async def test_what_may_pass_is_tried_again(tmp_path: Path, path: str, stream: bool) -> None:
    async with pair(tmp_path) as place:
        for status in (408, 429, 500, 502, 503, 504, 529):
            place.one.received.clear()
            place.one.fail(status, FAILED, SOON, times=1 if status != 500 else 2)
            answer = await place.ask(path, stream)
            assert answer.status_code == 200, status
            assert "hello" in answer.text
            assert place.asked() == [2 if status != 500 else 3, 0]


@every_way
async def test_what_is_wrong_with_the_request_goes_back_at_once(tmp_path: Path, path: str, stream: bool) -> None:
    async with pair(tmp_path) as place:
        for status in (400, 402, 404, 409, 413, 422):
            place.one.received.clear()
            place.one.fail(status, FAILED)
            answer = await place.ask(path, stream)
            assert answer.status_code == (400 if status == 422 else status)
            assert "x-should-retry" not in answer.headers
            assert place.asked() == [1, 0]


@every_way
async def test_after_the_retries_comes_the_fallback(tmp_path: Path, path: str, stream: bool) -> None:
    async with pair(tmp_path) as place:
        place.one.fail(500, FAILED, SOON, times=3)
        answer = await place.ask(path, stream)
        assert answer.status_code == 200
        assert "x-should-retry" not in answer.headers
        assert place.asked() == [3, 1]


async def test_fallbacks_come_in_their_order_and_the_last_error_goes_out(tmp_path: Path) -> None:
    async with pair(tmp_path, fallbacks=("two:gpt-4o-mini", "three:claude-sonnet-4-5"), LLM_RETRIES="0") as place:
        place.one.fail(500, FAILED)
        place.two.fail(503, FAILED)
        assert (await place.ask()).json()["provider"] == "three"
        place.one.fail(500, FAILED)
        place.two.fail(503, FAILED)
        place.three.fail(529, {"type": "error", "error": {"type": "overloaded_error", "message": "The last."}})
        answer = await place.ask()
        assert (answer.status_code, answer.json()["message"]) == (529, "The last.")
        assert answer.headers["x-should-retry"] == "false"
        assert answer.json()["provider"] == "three"


async def test_a_short_retry_after_is_waited_for(tmp_path: Path) -> None:
    async with pair(tmp_path) as place:
        place.one.fail(429, FAILED, {"retry-after": "1"})
        began = time.monotonic()
        assert (await place.ask()).status_code == 200
        assert time.monotonic() - began >= 1
        assert place.asked() == [2, 0]


async def test_a_long_retry_after_goes_to_the_client_at_once_who_may_come_back(tmp_path: Path) -> None:
    async with pair(tmp_path, fallbacks=()) as place:
        place.one.fail(429, FAILED, {"retry-after": "6"})
        began = time.monotonic()
        answer = await place.ask()
        assert time.monotonic() - began < 5  # six would have been waited for
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "6")
        assert "x-should-retry" not in answer.headers
        assert place.asked() == [1, 0]


async def test_a_long_retry_after_leads_to_the_fallback_at_once(tmp_path: Path) -> None:
    async with pair(tmp_path) as place:
        place.one.fail(429, FAILED, {"retry-after": "60"})
        assert (await place.ask()).json()["provider"] == "two"
        assert place.asked() == [1, 1]


async def test_who_has_retried_in_vain_says_so(tmp_path: Path) -> None:
    async with pair(tmp_path, fallbacks=()) as place:
        place.one.fail(503, FAILED, {"x-request-id": "req_theirs", **SOON}, times=3)
        answer = await place.ask()
        assert answer.status_code == 503
        assert answer.headers["x-should-retry"] == "false"
        assert answer.headers["x-provider-request-id"] == "req_theirs"
        assert place.asked() == [3, 0]


@every_way
async def test_a_provider_that_is_not_there_leads_to_the_fallback(tmp_path: Path, path: str, stream: bool) -> None:
    async with pair(tmp_path, urls={"one": f"{NOBODY}/v1"}, LLM_RETRIES="1") as place:
        assert (await place.ask(path, stream)).status_code == 200
        assert place.asked() == [0, 1]


async def hang_up(peer: Peer) -> None:
    await peer.request()


async def break_off_the_head(peer: Peer) -> None:
    await peer.request()
    await peer.send(OK + b"content-le")


async def say_what_is_not_http(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"hello?\r\n\r\n")


async def say_nothing(peer: Peer) -> None:
    await peer.request()
    await peer.gone()


@every_way
async def test_a_provider_that_does_not_answer_properly_leads_to_the_fallback(
    tmp_path: Path, path: str, stream: bool
) -> None:
    ways_to_fail = [hang_up, break_off_the_head, say_what_is_not_http, say_nothing]
    waiting: list[Callable[[Peer], Awaitable[None]]] = []

    async def fail(peer: Peer) -> None:
        await (waiting.pop() if waiting else hang_up)(peer)

    async with misbehaving(fail) as server:
        address = {"one": f"{server.url}/v1"}
        async with pair(tmp_path, urls=address, timeout=0.5, LLM_RETRIES="0") as place:
            for way in ways_to_fail:
                place.two.received.clear()
                waiting.append(way)
                assert (await place.ask(path, stream)).status_code == 200, way
                assert not waiting
                assert place.asked() == [0, 1]


async def test_a_time_out_is_not_sat_through_twice_at_one_place(tmp_path: Path) -> None:
    async with pair(tmp_path, fallbacks=(), timeout=0.3) as place:
        place.one.pause_before = 3
        answer = await place.ask()
        assert answer.status_code == 504
        assert place.asked() == [1, 0]


async def test_an_answer_that_holds_nothing_is_not_paid_for_twice_but_had_elsewhere(tmp_path: Path) -> None:
    async with pair(tmp_path) as place:
        for number, body in enumerate([b"<html>", b"{}", b'{"choices": []}', b""], 1):
            place.one.fail(200, body)
            assert (await place.ask()).json()["provider"] == "two"
            assert place.asked() == [number, number]


async def test_a_whole_answer_that_breaks_off_is_had_elsewhere(tmp_path: Path) -> None:
    async def break_off(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK + b'content-length: 500\r\n\r\n{"choices":')

    async with misbehaving(break_off) as server, pair(tmp_path, urls={"one": f"{server.url}/v1"}) as place:
        assert (await place.ask()).json()["provider"] == "two"


async def test_a_stream_that_fails_before_its_first_event_is_had_elsewhere(tmp_path: Path) -> None:
    async def fail_early(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK + SSE + b'\r\ndata: {"error": {"message": "overloaded", "code": 503}}\n\n')

    async with misbehaving(fail_early) as server, pair(tmp_path, urls={"one": f"{server.url}/v1"}) as place:
        answer = await place.ask(stream=True)
        assert answer.status_code == 200
        assert '"two"' in answer.text
        assert answer.text.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/llm"])
async def test_a_stream_that_has_begun_is_never_begun_again(tmp_path: Path, path: str) -> None:
    async with pair(tmp_path) as place:
        place.one.cut_after = 3
        place.one.abort = True
        answer = await place.ask(path, stream=True)
        assert answer.status_code == 200
        assert '"error"' in answer.text
        assert "[DONE]" not in answer.text
        assert place.asked() == [1, 0]


@every_way
async def test_where_our_key_is_refused_another_provider_is_asked(tmp_path: Path, path: str, stream: bool) -> None:
    async with pair(tmp_path) as place:
        place.one.key = "another"
        assert (await place.ask(path, stream)).status_code == 200
        assert place.asked() == [1, 1]


async def test_where_the_callers_own_key_is_refused_the_caller_learns_of_it(tmp_path: Path) -> None:
    async with pair(tmp_path) as place:
        place.client.headers["authorization"] = "Bearer callers-own"
        answer = await place.ask()
        assert answer.status_code == 502
        assert place.asked() == [1, 0]


async def test_a_fallback_that_cannot_be_asked_is_passed_over(tmp_path: Path) -> None:
    async with pair(tmp_path, fallbacks=("keyless:claude", "two:gpt-4o-mini"), LLM_RETRIES="0") as place:
        place.one.fail(500, FAILED)
        assert (await place.ask()).json()["provider"] == "two"
        place.one.fail(500, FAILED)
        place.two.fail(500, FAILED)
        assert (await place.ask()).json()["message"] == "Something broke."


async def test_a_client_that_leaves_while_a_retry_is_waited_for_ends_it(tmp_path: Path) -> None:
    async with pair(tmp_path) as place:
        place.one.fail(503, FAILED, {"retry-after": "1"}, times=3)
        asking = asyncio.create_task(place.ask("/v1/chat/completions"))
        async with asyncio.timeout(PATIENCE):
            while place.asked() != [1, 0]:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        asking.cancel()
        await asyncio.sleep(1.5)
        assert place.asked() == [1, 0]
