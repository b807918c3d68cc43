"""Bytes through to a provider: any method, query, body and stream, as they are; nothing of ours goes along."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes.misbehaving import Peer, Script, Server, misbehaving
from tests.gateway.api.asking import SAID
from tests.gateway.serving import GATEWAY_KEY, NOBODY, PROVIDER_KEY, Town, gateway, town
from tests.pacing import PATIENCE

pytestmark = pytest.mark.anyio

CHAT = {"model": "gpt-4o-mini", "messages": SAID}


@asynccontextmanager
async def in_front_of(
    script: Script, folder: Path, *argv: str, **environ: str
) -> AsyncIterator[tuple[httpx.AsyncClient, Server]]:
    """A gateway whose `openai` and `lmstudio` are a server that does as it is told."""
    async with misbehaving(script) as server:
        told = {
            "OPENAI_BASE_URL": f"{server.url}/v1/",
            "OPENAI_API_KEY": PROVIDER_KEY,
            "LMSTUDIO_BASE_URL": server.url,
            "LLM_PROVIDER": "stub",
        }
        async with gateway(folder, *argv, **told, **environ) as client:
            yield client, server


def answering(body: bytes = b"{}", *, status: str = "200 OK", headers: str = "") -> Script:
    async def script(peer: Peer) -> None:
        while True:
            request = await peer.request()
            if b"/models HTTP" in request.head:
                await peer.answer(b'{"data": []}')
            else:
                await peer.answer(body, status=status, headers=headers)

    return script


def asked(server: Server) -> tuple[str, dict[str, str], bytes]:
    """The last request that was not for the catalogue: its line, its headers, its body."""
    request = [one for one in server.requests if b"/models HTTP" not in one.head][-1]
    line, *headers = request.head.decode().rstrip("\r\n").split("\r\n")
    return line, {name.lower(): value for name, value in (one.split(": ", 1) for one in headers)}, request.body


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "ODD-1"])
async def test_any_method_path_query_and_body_go_through_as_they_are(tmp_path: Path, method: str) -> None:
    body = b"" if method == "GET" else b'{"a":  1}\n'
    path = "/files/a%20b/%C5%82?x=1&y=%2F&y=+&z"
    async with in_front_of(answering(b"ok", status="201 Created", headers="x-theirs: a\r\n"), tmp_path) as (client, at):
        answer = await client.request(method, f"/openai{path}", content=body or None)
        line, headers, sent = asked(at)
    assert line == f"{method} /v1{path} HTTP/1.1"
    assert sent == body
    assert headers["authorization"] == f"Bearer {PROVIDER_KEY}"
    assert headers["x-request-id"] == answer.headers["x-request-id"]
    assert (answer.status_code, answer.content, answer.headers["x-theirs"]) == (201, b"ok", "a")


async def test_a_preflight_is_answered_here_and_open_to_everyone(tmp_path: Path) -> None:
    async with in_front_of(answering(), tmp_path, "--key", GATEWAY_KEY) as (client, at):
        preflight = {"origin": "https://app.example", "access-control-request-method": "POST"}
        answer = await client.options("/openai/x", headers=preflight)
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (204, "*")
        assert (await client.options("/openai/x")).status_code == 401
        assert not [request for request in at.requests if b"/models HTTP" not in request.head]


async def test_a_method_that_could_give_our_key_away_does_not_go_through(tmp_path: Path) -> None:
    async with in_front_of(answering(), tmp_path) as (client, at):
        answer = await client.request("TRACE", "/openai/x")
        assert answer.status_code == 405
        assert "PATCH" in answer.headers["allow"]
        assert (await client.request("PROPFIND", "/llm")).status_code == 405
        assert (await client.request("PROPFIND", "/nowhere")).status_code == 404
        assert not [request for request in at.requests if b"/models HTTP" not in request.head]


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
async def test_answers_without_a_body_stay_so(tmp_path: Path, status: str) -> None:
    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(f"HTTP/1.1 {status}\r\netag: x\r\n\r\n".encode())

    async with in_front_of(script, tmp_path) as (client, _):
        first = await client.get("/openai/x")
        second = await client.get("/openai/x")
    assert [first.status_code, second.status_code] == [int(status[:3])] * 2
    assert (first.content, first.headers["etag"]) == (b"", "x")


async def test_head_tells_the_length_without_the_body(tmp_path: Path) -> None:
    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1234\r\n\r\n")

    async with in_front_of(script, tmp_path) as (client, _):
        answer = await client.head("/openai/x")
    assert (answer.status_code, answer.headers["content-length"]) == (200, "1234")


async def test_a_redirect_is_passed_back_and_not_followed(tmp_path: Path) -> None:
    script = answering(status="307 Temporary Redirect", headers="location: /elsewhere\r\n")
    async with in_front_of(script, tmp_path) as (client, at):
        answer = await client.get("/openai/x")
        assert asked(at)[0] == "GET /v1/x HTTP/1.1"
    assert (answer.status_code, answer.headers["location"]) == (307, "/elsewhere")


async def test_compressed_bodies_stay_compressed_both_ways(tmp_path: Path) -> None:
    packed = gzip.compress(b"zipped " * 100)
    script = answering(packed, headers="content-encoding: gzip\r\ncontent-type: text/plain\r\n")
    async with in_front_of(script, tmp_path) as (client, at):
        headers = {"content-encoding": "gzip", "accept-encoding": "gzip"}
        async with client.stream("POST", "/openai/x", content=packed, headers=headers) as answer:
            raw = b"".join([piece async for piece in answer.aiter_raw()])
        _, sent_headers, sent = asked(at)
    assert raw == packed == sent
    assert answer.headers["content-encoding"] == sent_headers["content-encoding"] == "gzip"
    assert sent_headers["accept-encoding"] == "gzip"


async def test_what_belongs_to_one_connection_or_to_the_gateway_stays_here(tmp_path: Path) -> None:
    theirs = "connection: x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\nproxy-authenticate: Basic\r\nx-kept: 1\r\n"
    async with in_front_of(answering(headers=theirs), tmp_path, "--key", GATEWAY_KEY) as (client, at):
        given = {
            "authorization": f"Bearer {GATEWAY_KEY}",
            "x-api-key": GATEWAY_KEY,
            "x-provider-authorization": "Bearer sk-own",
            "connection": "x-mine",
            "x-mine": "1",
            "te": "trailers",
            "cookie": "session=1",
            "origin": "http://localhost:1",
            "x-forwarded-for": "1.2.3.4",
            "x-custom": "stays",
        }
        answer = await client.get("/openai/x", headers=given)
        _, headers, _ = asked(at)
        raw = at.requests[-1].head
    assert GATEWAY_KEY.encode() not in raw
    assert headers["authorization"] == "Bearer sk-own"
    assert headers["x-custom"] == "stays"
    gone = {"x-mine", "te", "cookie", "origin", "x-forwarded-for", "x-api-key", "x-provider-authorization"}
    assert not gone & set(headers)
    assert answer.headers["x-kept"] == "1"
    assert not {"x-hop", "keep-alive", "proxy-authenticate"} & set(answer.headers)


async def test_headers_that_come_twice_come_back_twice(tmp_path: Path) -> None:
    headers = "set-cookie: a=1; path=/\r\nset-cookie: b=2\r\nx-request-id: theirs\r\n"
    async with in_front_of(answering(headers=headers), tmp_path) as (client, _):
        answer = await client.get("/openai/x", headers={"x-request-id": "ours"})
    assert answer.headers.get_list("set-cookie") == ["a=1; path=/", "b=2"]
    assert answer.headers["x-request-id"] == "ours"
    assert answer.headers["x-provider-request-id"] == "theirs"


async def test_bodies_are_streamed_both_ways(tmp_path: Path) -> None:
    got_first, got_answer = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        head = await peer.head()
        if b"/models" in head:
            await peer.answer(b'{"data": []}')
            return
        assert await peer.chunk() == b"one"
        got_first.set()
        assert await peer.chunk() == b"two"
        assert await peer.chunk() == b""
        await peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"5\r\nfirst\r\n")
        await asyncio.wait_for(got_answer.wait(), PATIENCE)
        await peer.send(b"6\r\nsecond\r\n0\r\n\r\n")

    async def upload() -> AsyncIterator[bytes]:
        yield b"one"
        await asyncio.wait_for(got_first.wait(), PATIENCE)  # the provider has the first part before there is a second
        yield b"two"

    async with (
        in_front_of(script, tmp_path) as (client, _),
        client.stream("POST", "/openai/audio", content=upload()) as answer,
    ):
        pieces = aiter(answer.aiter_raw())
        assert await anext(pieces) == b"first"
        got_answer.set()
        assert await anext(pieces) == b"second"


async def test_an_answer_that_breaks_off_breaks_off_here_too(tmp_path: Path) -> None:
    async def script(peer: Peer) -> None:
        while True:
            if b"/models" in (await peer.request()).head:
                await peer.answer(b'{"data": []}')
                continue
            await peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"5\r\nfirst\r\n")
            return

    async with in_front_of(script, tmp_path) as (client, _):
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get("/openai/x")
        assert (await client.get("/health")).status_code == 200


async def raw_get(client: httpx.AsyncClient, target: str) -> tuple[int, Any]:
    """Ask for a target that no well-behaved client would send."""
    reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
    writer.write(f"GET {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode("latin-1"))
    answer = await asyncio.wait_for(reader.read(), PATIENCE)
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body) if body.startswith(b"{") else None


@pytest.mark.parametrize(
    "path",
    [
        "/../secret", "/a/../../secret", "/..", "/%2e%2e/secret", "/%2E%2e%2fsecret", "/a/%252e%252e/secret",
        "/..%5csecret", "/\\..\\secret", "//evil.example/x", "/%2f%2fevil.example/x", "/http://evil.example/x",
        "/https:/evil.example", "/http%3a%2f%2fevil.example", "/a/./b", "/a%00b", "/a%0d%0ax: y",
    ],
)  # fmt: skip
async def test_no_path_leads_out_of_the_providers_base_url(tmp_path: Path, path: str) -> None:
    async with in_front_of(answering(), tmp_path) as (client, at):
        for prefix in ("/openai", "/v1"):
            status, body = await raw_get(client, f"{prefix}{path}")
            assert status == 400, prefix
            assert body is not None
        described = {"provider": "openai", "path": path}
        assert (await client.post("/api/passthrough", json=described)).status_code == 400
        assert all(b"/models HTTP" in request.head for request in at.requests)


async def test_a_path_that_only_looks_odd_goes_through(tmp_path: Path) -> None:
    async with in_front_of(answering(), tmp_path) as (client, at):
        for path in ("/a..b", "/...", "/models/gpt:4", "/x?u=http://e.example/../y", "/a//b", "/gpt-4@v1:0/x", "/"):
            status, _ = await raw_get(client, f"/openai{path}")
            assert status == 200
            assert asked(at)[0] == f"GET /v1{path} HTTP/1.1"


async def test_the_gateways_own_key_in_a_query_never_goes_on(tmp_path: Path) -> None:
    async with town(tmp_path, "--key", GATEWAY_KEY) as place:
        bearer = {"authorization": f"Bearer {GATEWAY_KEY}"}
        for query in (f"key={GATEWAY_KEY}", f"a=1&key={GATEWAY_KEY}&pageToken=1"):
            assert (await place.client.get(f"/gemini/v1beta/models?{query}")).status_code == 200
        hidden = await place.client.get(f"/gemini/v1beta/models?k%65y={GATEWAY_KEY}", headers=bearer)
        assert hidden.status_code == 200
        assert place.fakes["gemini"].last.headers["x-goog-api-key"] == PROVIDER_KEY
        assert GATEWAY_KEY not in str(place.fakes["gemini"].received)
        assert (await place.client.get("/gemini/v1beta/models?key=wrong")).status_code == 401


async def test_geminis_credentials_count_on_the_path_of_each_provider_of_its_kind(tmp_path: Path) -> None:
    providers = {name: {"kind": kind, "base_url": NOBODY, "api_key": PROVIDER_KEY} for name, kind in
                 {"lab": "gemini", "work": "openai-compatible"}.items()}  # fmt: skip
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"providers": providers}))
    async with gateway(tmp_path, "--key", GATEWAY_KEY, SANDGATE_CONFIG=str(file)) as client:
        for name, status in {"lab": 503, "work": 401, "gemini": 400}.items():  # let in, or not
            in_query = await client.get(f"/{name}/v1beta/models?key={GATEWAY_KEY}")
            in_header = await client.get(f"/{name}/v1beta/models", headers={"x-goog-api-key": GATEWAY_KEY})
            assert [in_query.status_code, in_header.status_code] == [status, status], name
        assert (await client.get("/lab/v1beta/models?key=wrong")).status_code == 401


async def test_the_gateways_own_key_never_goes_on_by_whatever_name(tmp_path: Path) -> None:
    bearer = {"authorization": f"Bearer {GATEWAY_KEY}"}
    async with in_front_of(answering(), tmp_path, "--key", GATEWAY_KEY) as (client, at):
        for name in ("api-key", "x-api-key", "x-goog-api-key", "x-provider-authorization", "x-anything"):
            for value in (GATEWAY_KEY, f"Bearer {GATEWAY_KEY}"):
                given = {**bearer, name: value, "x-other": "stays"}
                assert (await client.get(f"/openai/x?key={GATEWAY_KEY}&a=1&&b=", headers=given)).status_code == 200
                line, headers, _ = asked(at)
                assert line == "GET /v1/x?a=1&&b= HTTP/1.1"
                assert headers["authorization"] == f"Bearer {PROVIDER_KEY}"
                assert headers["x-other"] == "stays"
        await client.get(f"/openai/x?api_key={GATEWAY_KEY.replace('-', '%2D')}", headers=bearer)
        assert asked(at)[0] == "GET /v1/x HTTP/1.1"
        described = {
            "provider": "openai",
            "path": "/x",
            "query": {"key": GATEWAY_KEY},
            "headers": {"api-key": GATEWAY_KEY},
        }
        assert (await client.post("/api/passthrough", json=described, headers=bearer)).status_code == 200
        assert GATEWAY_KEY not in str([request.head for request in at.requests])


async def test_every_provider_has_its_own_path_with_its_own_credentials(place: Town) -> None:
    paths = {
        "openai": ("/models", "/v1/models"),
        "compat": ("/models", "/v1/models"),
        "lmstudio": ("/v1/models", "/v1/models"),
        "anthropic": ("/v1/models", "/v1/models"),
        "gemini": ("/v1beta/models", "/v1beta/models"),
        "ollama": ("/api/tags", "/api/tags"),
    }
    for name, (path, theirs) in paths.items():
        answer = await place.client.get(f"/{name}{path}")
        assert (answer.status_code, place.fakes[name].last.path) == (200, theirs), name
    assert (await place.client.get("/stub/models")).status_code == 200
    assert (await place.client.get("/nobody/models")).status_code == 404


async def test_a_providers_own_error_comes_back_unchanged(place: Town) -> None:
    place.openai.fail(429, b'{"odd":  true}', {"retry-after": "9", "x-ratelimit-remaining": "0"})
    answer = await place.client.post("/openai/chat/completions", json=CHAT)
    assert (answer.status_code, answer.content) == (429, b'{"odd":  true}')
    assert (answer.headers["retry-after"], answer.headers["x-ratelimit-remaining"]) == ("9", "0")


async def test_raw_calls_are_in_the_call_log_with_their_status_and_unknown_usage(place: Town) -> None:
    place.openai.fail(418, b"short and stout")
    await place.client.post("/openai/chat/completions", json=CHAT, headers={"x-request-id": "the-raw-one"})
    async with asyncio.timeout(PATIENCE):
        calls: list[Any] = []
        while not calls:
            listed = (await place.client.get("/api/logs/api-calls?limit=20")).json()["calls"]
            calls = [call for call in listed if call["request_id"] == "the-raw-one"]
    (call,) = calls
    assert (call["path"], call["status"], call["provider"]) == ("/openai/chat/completions", 418, "openai")
    assert call["prompt_tokens"] is None


async def test_a_provider_that_is_not_there_is_503_and_one_that_is_slow_504(place: Town) -> None:
    place.fakes["compat"].pause_before = 100
    for path, status in (("/down/x", 503), ("/slow/chat/completions", 504)):
        answer = await place.client.post(path, json=CHAT)
        assert answer.status_code == status
        assert "127.0.0.1" not in answer.text


async def test_the_rest_of_v1_goes_to_the_server_of_the_setting(tmp_path: Path) -> None:
    script = answering(b"raw", status="418 Teapot", headers="x-theirs: 1\r\ncontent-type: text/odd\r\n")
    async with in_front_of(script, tmp_path) as (client, at):
        answer = await client.post("/v1/audio/speech?x=1", content=b"\x00\xff", headers={"content-type": "audio/x"})
        line, headers, body = asked(at)
    assert (line, body, headers["content-type"]) == ("POST /v1/audio/speech?x=1 HTTP/1.1", b"\x00\xff", "audio/x")
    assert (answer.status_code, answer.content) == (418, b"raw")
    assert (answer.headers["x-theirs"], answer.headers["content-type"]) == ("1", "text/odd")
    async with in_front_of(answering(), tmp_path, LLM_PASSTHROUGH_PROVIDER="openai") as (client, at):
        await client.get("/v1/images")
        assert asked(at)[0] == "GET /v1/images HTTP/1.1"
        assert asked(at)[1]["authorization"] == f"Bearer {PROVIDER_KEY}"


async def test_what_v1_knows_itself_never_passes_through(tmp_path: Path) -> None:
    async with in_front_of(answering(), tmp_path) as (client, at):
        known = {"PUT": "chat/completions", "GET": "messages", "DELETE": "models", "PATCH": "responses"}
        for method, path in (*known.items(), ("GET", "embeddings"), ("POST", "models/x"), ("GET", "completions")):
            answer = await client.request(method, f"/v1/{path}")
            assert answer.status_code == 405, path
            assert "allow" in answer.headers
        assert all(b"GET /v1/models HTTP" in request.head for request in at.requests)


async def describe(place: Town, **call: Any) -> httpx.Response:
    return await place.client.post("/api/passthrough", json=call)


async def test_a_described_call_comes_back_raw(place: Town) -> None:
    answer = await describe(place, provider="openai", path="/chat/completions", body=CHAT, headers={"x-custom": "a"})
    assert (answer.status_code, answer.json()["id"]) == (200, "chatcmpl-fake")
    sent = place.openai.last
    assert (sent.method, sent.path, sent.body) == ("POST", "/v1/chat/completions", CHAT)
    assert (sent.headers["x-custom"], sent.headers["content-type"]) == ("a", "application/json")
    assert sent.headers["authorization"] == f"Bearer {PROVIDER_KEY}"


async def test_a_described_call_may_name_a_model_a_method_and_a_query(place: Town) -> None:
    await describe(place, model="fast", method="GET", path="api/tags", query={"a": 1, "b": ["x y", True]})
    sent = place.fakes["ollama"].last
    assert (sent.method, sent.path, sent.raw) == ("GET", "/api/tags", b"")
    assert sent.query == {"a": "1", "b": "x y"}
    await describe(place, provider="gemini", method="GET", path="/v1beta/models?pageToken=1")
    assert place.fakes["gemini"].last.query == {"pageToken": "1"}


async def test_a_described_stream_is_streamed(place: Town) -> None:
    answer = await describe(place, provider="openai", path="/chat/completions", body={**CHAT, "stream": True})
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize(
    ("call", "field"),
    [
        ({"path": "/x"}, "provider"),
        ({"provider": "openai"}, "path"),
        ({"provider": "openai", "path": 7}, "path"),
        ({"provider": "openai", "path": "http://evil.example/"}, "path"),
        ({"provider": "openai", "path": "//evil.example/"}, "path"),
        ({"provider": "openai", "path": "/x#y"}, "path"),
        ({"provider": "openai", "path": "/x", "method": "TRACE"}, "method"),
        ({"provider": "openai", "path": "/x", "headers": {"authorization": "Bearer x"}}, "headers.authorization"),
        ({"provider": "openai", "path": "/x", "headers": {"a": "b\r\nc: d"}}, "headers.a"),
        ({"provider": "openai", "path": "/x", "headers": {"a b": "c"}}, "headers.a b"),
        ({"provider": "openai", "path": "/x", "query": {"a": {}}}, "query.a"),
    ],
)
async def test_what_is_wrong_with_a_described_call_is_named(place: Town, call: dict[str, Any], field: str) -> None:
    answer = await describe(place, **call)
    assert answer.status_code == 400
    assert field in [detail["field"] for detail in answer.json()["details"]]
    assert place.openai.received == []


async def test_a_described_call_to_nobody_is_404(place: Town) -> None:
    assert (await describe(place, provider="nobody", path="/x")).status_code == 404
