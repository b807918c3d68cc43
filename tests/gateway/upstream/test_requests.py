"""What goes out to a provider, and which way."""

import httpx
import pytest

from gateway import __version__
from gateway.errors import InvalidRequest, Unavailable
from gateway.settings import ProviderSettings
from gateway.upstream import Upstream
from tests.fakes.misbehaving import OK, Peer, misbehaving
from tests.gateway.upstream.asking import ask, headers_of, pieces_of, provider_at, say, say_ok

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("base", "path", "target"),
    [
        ("", "/models", "/models"),
        ("/", "/models", "/models"),
        ("/v1", "/models?after=a&b=%2F", "/v1/models?after=a&b=%2F"),
        ("/v1/", "/models/a%20b:c", "/v1/models/a%20b:c"),
        ("/deep/v1", "/a b/ü#x", "/deep/v1/a%20b/%C3%BC%23x"),
        ("/v1", "/a\r\nx-b: c", "/v1/a%0D%0Ax-b:%20c"),
    ],
)
async def test_the_path_is_appended_to_the_base_url(upstream: Upstream, base: str, path: str, target: str) -> None:
    async with misbehaving(say_ok) as server:
        await ask(upstream, provider_at(server.url + base), "GET", path)
        assert server.requests[0].head.split(b" ")[1].decode() == target
        assert headers_of(server)["host"] == f"127.0.0.1:{server.port}"


async def test_the_callers_headers_go_out_with_the_configured_ones(upstream: Upstream) -> None:
    provider_headers = {"X-Team": "research", "x-given": "configured", "authorization": "Bearer configured"}
    async with misbehaving(say_ok) as server:
        await ask(
            upstream,
            provider_at(server, headers=provider_headers),
            headers=[
                ("Content-Type", "application/json"), ("X-Given", "caller"), ("Authorization", "Bearer caller"),
                ("x-utf8", "ü"), ("Connection", "close"), ("Transfer-Encoding", "chunked"), ("Host", "elsewhere"),
                ("Content-Length", "7"), ("Expect", "100-continue"), ("X-Request-Id", "theirs"),
            ],
            body=b"{}",
        )  # fmt: skip
        assert headers_of(server) == {
            "host": f"127.0.0.1:{server.port}",
            "content-type": "application/json",
            "x-given": "configured",
            "x-team": "research",
            "authorization": "Bearer caller",
            "x-utf8": "ü".encode().decode("latin-1"),
            "accept-encoding": "identity",
            "user-agent": f"sandgate/{__version__}",
            "x-request-id": "req-1",
            "content-length": "2",
        }
        assert server.requests[0].body == b"{}"


async def test_headers_that_change_between_requests_are_not_mixed_up(upstream: Upstream) -> None:
    async with misbehaving(say_ok) as server:
        provider = provider_at(server)
        for number in range(150):
            await ask(upstream, provider, headers=[("x-number", str(number % 100))], request_id=f"r{number}")
            sent = headers_of(server)
            assert (sent["x-number"], sent["x-request-id"]) == (str(number % 100), f"r{number}")
        assert server.connections == 1


async def test_user_and_password_of_the_base_url_are_sent_as_credentials(upstream: Upstream) -> None:
    async with misbehaving(say_ok) as server:
        provider = provider_at(f"http://me:p%40ss@127.0.0.1:{server.port}")
        await ask(upstream, provider)
        assert headers_of(server)["authorization"] == "Basic bWU6cEBzcw=="
        await ask(upstream, provider, headers=[("authorization", "Bearer caller")])
        assert headers_of(server)["authorization"] == "Bearer caller"


@pytest.mark.parametrize("header", [("x-a", "1\r\nx-b: 2"), ("x a", "1"), ("x-a", "1\0")])
async def test_a_header_that_would_break_out_is_refused(upstream: Upstream, header: tuple[str, str]) -> None:
    async with misbehaving(say_ok) as server:
        with pytest.raises(InvalidRequest):
            await ask(upstream, provider_at(server), headers=[header])
        with pytest.raises(InvalidRequest):
            await ask(upstream, provider_at(server), request_id="a\r\nx-b: 2")
        assert server.requests == []


@pytest.mark.parametrize(("method", "length"), [("POST", "0"), ("PUT", "0"), ("GET", None), ("DELETE", None)])
async def test_an_empty_body_is_declared_where_one_is_expected(
    upstream: Upstream, method: str, length: str | None
) -> None:
    async with misbehaving(say_ok) as server:
        assert await ask(upstream, provider_at(server), method) == b"ok"
        assert headers_of(server).get("content-length") == length
        assert "transfer-encoding" not in headers_of(server)


async def test_a_streamed_body_goes_out_in_chunks_or_as_long_as_declared(upstream: Upstream) -> None:
    async with misbehaving(say_ok) as server:
        provider = provider_at(server)
        await ask(upstream, provider, body=pieces_of(b"hel", b"", b"lo"))
        assert (server.requests[-1].body, headers_of(server)["transfer-encoding"]) == (b"hello", "chunked")
        await ask(upstream, provider, body=pieces_of(b"hel", b"lo"), headers=[("Content-Length", "5")])
        assert (server.requests[-1].body, headers_of(server)["content-length"]) == (b"hello", "5")
        assert "transfer-encoding" not in headers_of(server)
        for pieces in ((b"hello", b"!"), (b"hell",)):
            with pytest.raises(InvalidRequest):
                await ask(upstream, provider, body=pieces_of(*pieces), headers=[("content-length", "5")])


async def test_an_answer_to_head_has_headers_only(upstream: Upstream) -> None:
    async with misbehaving(say(OK + b"content-length: 1000\r\n\r\n")) as server:
        assert await ask(upstream, provider_at(server), "HEAD") == b""


async def test_a_provider_whose_settings_change_is_found_at_its_new_address(upstream: Upstream) -> None:
    async with misbehaving(say_ok) as first, misbehaving(say_ok) as second:
        for server in (first, second, first):
            await ask(upstream, provider_at(server))
        assert (len(first.requests), len(second.requests)) == (2, 1)


async def test_a_stub_answers_inside_the_process(anyio_backend: object) -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append((request.method, str(request.url), request.content, request.headers["x-request-id"]))
        return httpx.Response(200, content=b"from the stub")

    upstream = Upstream(in_process={"stub": httpx.MockTransport(answer)})
    provider = ProviderSettings(name="stub", kind="stub", base_url="")
    assert await ask(upstream, provider, path="/chat/completions", body=b"{}") == b"from the stub"
    assert asked == [("POST", "http://stub.internal/chat/completions", b"{}", "req-1")]
    await upstream.aclose()


@pytest.fixture
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return monkeypatch


async def test_a_proxy_that_is_set_is_used_but_not_for_loopback(bare_environment: pytest.MonkeyPatch) -> None:
    upstream = Upstream()
    async with misbehaving(say_ok) as proxy, misbehaving(say_ok) as server:
        bare_environment.setenv("HTTP_PROXY", f"127.0.0.1:{proxy.port}")
        assert await ask(upstream, provider_at("http://llm.invalid:8000/v1", name="far")) == b"ok"
        assert proxy.requests[0].head.startswith(b"POST http://llm.invalid:8000/v1/chat HTTP/1.1\r\n")
        assert await ask(upstream, provider_at(server)) == b"ok"
        assert (len(proxy.requests), len(server.requests)) == (1, 1)
    await upstream.aclose()


async def test_no_proxy_is_honoured(bare_environment: pytest.MonkeyPatch) -> None:
    upstream = Upstream()
    async with misbehaving(say_ok) as proxy:
        bare_environment.setenv("HTTP_PROXY", proxy.url)
        bare_environment.setenv("NO_PROXY", ".invalid")
        with pytest.raises(Unavailable):
            await ask(upstream, provider_at("http://llm.invalid/v1"))
        assert proxy.requests == []
    await upstream.aclose()


async def test_https_goes_through_a_tunnel_of_the_proxy(bare_environment: pytest.MonkeyPatch) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.answer(b"", status="403 Forbidden")

    upstream = Upstream()
    async with misbehaving(script) as proxy:
        bare_environment.setenv("HTTPS_PROXY", proxy.url)
        with pytest.raises(Unavailable, match="proxy"):
            await ask(upstream, provider_at("https://llm.invalid/v1"), headers=[("authorization", "Bearer sk-secret")])
        assert proxy.requests[0].head.startswith(b"CONNECT llm.invalid:443 HTTP/1.1\r\n")
        assert b"sk-secret" not in proxy.requests[0].head
    await upstream.aclose()
