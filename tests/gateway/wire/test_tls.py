"""TLS: verified, against the machine's certificates or those that are given."""

import asyncio
import datetime as dt
import ipaddress
import ssl
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.wire import Origin, Wire, WireTransport
from tests.fakes.misbehaving import OK, Peer, misbehaving

pytestmark = pytest.mark.anyio

GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for 127.0.0.1 that signs itself, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sandgate test")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return file


@pytest.fixture
def serving(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


async def say_hello(peer: Peer) -> None:
    while True:
        await peer.request()
        await peer.send(OK + b"transfer-encoding: chunked\r\n\r\n", b"5\r\nhel", b"lo\r\n0\r\n\r\n")


async def test_a_trusted_server_is_served_over_a_kept_connection(serving: ssl.SSLContext, certificate: Path) -> None:
    trusting = ssl.create_default_context(cafile=str(certificate))
    async with misbehaving(say_hello, tls=serving) as server:
        async with httpx.AsyncClient(transport=WireTransport(tls=trusting)) as client:
            for _ in range(3):
                assert (await client.post(server.url, content=bytes(300_000))).content == b"hello"
        assert server.connections == 1


async def test_a_server_that_nobody_vouches_for_is_refused(wire: Wire, serving: ssl.SSLContext) -> None:
    async with misbehaving(say_hello, tls=serving) as server:
        with pytest.raises(httpx.ConnectError) as refused:
            await wire.exchange(Origin("https", "127.0.0.1", server.port), GET)
        assert isinstance(refused.value.__cause__, ssl.SSLCertVerificationError)
        assert server.requests == []


async def test_a_certificate_for_another_name_is_refused(serving: ssl.SSLContext, certificate: Path) -> None:
    wire = Wire(tls=ssl.create_default_context(cafile=str(certificate)))
    async with misbehaving(say_hello, tls=serving) as server:
        with pytest.raises(httpx.ConnectError):
            await wire.exchange(Origin("https", "localhost", server.port), GET)
    await wire.aclose()


async def test_ssl_cert_file_names_who_is_trusted(
    wire: Wire, serving: ssl.SSLContext, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    async with misbehaving(say_hello, tls=serving) as server:
        response = await wire.exchange(Origin("https", "127.0.0.1", server.port), GET)
        assert await response.read(10) == b"hello"


async def test_plain_http_behind_an_https_address_is_a_connect_error(wire: Wire) -> None:
    async def script(peer: Peer) -> None:
        await peer.send(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        await peer.gone()

    async with misbehaving(script) as server:
        with pytest.raises(httpx.ConnectError):
            await wire.exchange(Origin("https", "127.0.0.1", server.port), GET)


async def test_who_stops_waiting_closes_a_tls_connection_at_once(serving: ssl.SSLContext, certificate: Path) -> None:
    asked, left = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        asked.set()
        await peer.gone()
        left.set()

    wire = Wire(tls=ssl.create_default_context(cafile=str(certificate)))
    async with misbehaving(script, tls=serving) as server:
        task = asyncio.create_task(wire.exchange(Origin("https", "127.0.0.1", server.port), GET))
        await asked.wait()
        task.cancel()
        async with asyncio.timeout(10):  # a farewell that is waited for takes 30 s
            await left.wait()
        with pytest.raises(asyncio.CancelledError):
            await task
    await wire.aclose()
