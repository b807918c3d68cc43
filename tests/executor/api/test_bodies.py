"""Bodies that are not wanted: the client gets its answer, though it writes all of them before it reads."""

import http.client
import json
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.executor.conftest import Executor

pytestmark = pytest.mark.docker

CHUNK = b" " * 65536
CHUNKS = 17 * 16  # 17 MB
JSON = {"content-type": "application/json"}


def post(executor: Executor, path: str, headers: dict[str, str], *, chunked: bool) -> tuple[int, str]:
    """Send 17 MB, and only then look for the answer."""
    connection = http.client.HTTPConnection(urlsplit(executor.url).netloc, timeout=30)
    body: bytes | Iterator[bytes] = iter([CHUNK] * CHUNKS) if chunked else CHUNK * CHUNKS
    try:
        connection.request("POST", path, body, headers, encode_chunked=chunked)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())["code"]
    finally:
        connection.close()


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(
    ("path", "headers", "known", "refusal"),
    [
        ("/execute", JSON, True, (413, "request_too_large")),
        ("/execute", JSON, False, (401, "unauthorized")),
        ("/execute", {"content-type": "text/plain"}, True, (415, "unsupported_media_type")),
        ("/limits", JSON, True, (405, "method_not_allowed")),
        ("/nowhere", JSON, True, (404, "not_found")),
    ],
)
def test_a_client_that_writes_before_it_reads_learns_why_its_body_was_refused(
    executor: Executor, path: str, headers: dict[str, str], known: bool, refusal: tuple[int, str], chunked: bool
) -> None:
    credential = {"authorization": f"Bearer {executor.token()}"} if known else {}
    if chunked:
        credential["transfer-encoding"] = "chunked"
    assert post(executor, path, headers | credential, chunked=chunked) == refusal


def send_head(executor: Executor, *lines: str) -> bytes:
    """Send a head and none of the body that it announces; all that comes until the connection is closed."""
    address = urlsplit(executor.url)
    head = ["POST /execute HTTP/1.1", "host: x", f"authorization: Bearer {executor.token()}", *lines, "", ""]
    received = b""
    with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
        connection.sendall("\r\n".join(head).encode())
        while data := connection.recv(65536):
            received += data
    return received


def test_a_refused_body_that_never_comes_is_not_waited_for_without_end(executor: Executor) -> None:
    answer = send_head(executor, "content-type: text/plain", "content-length: 1000")
    assert answer.startswith(b"HTTP/1.1 415 ")
    assert b"connection: close" in answer


def test_who_asks_before_sending_a_body_is_refused_and_not_told_to_go_on(executor: Executor) -> None:
    length = f"content-length: {len(CHUNK) * CHUNKS}"
    answer = send_head(executor, "content-type: application/json", length, "expect: 100-continue")
    assert answer.startswith(b"HTTP/1.1 413 ")
