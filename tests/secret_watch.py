"""No secret ever comes out: a watch that is on for the whole suite.

Every secret that a test gives a gateway or an executor has `MARK` in it. What a gateway served by `tests.conftest`
sends (heads and bodies), its `/metrics` and its call log when it ends, every log line, and what tests or the processes
they start print, is searched for the mark; where it is found, the test that ran fails. What goes to the fakes of
providers is not searched: they are to see their keys, and those that say them back are part of the proof.
"""

import base64
import logging
import sqlite3
from collections.abc import Generator, Iterable, Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from sanic.server import HttpProtocol

from gateway.api.services import Services
from gateway.http1 import QuickHttpProtocol
from gateway.settings import Settings
from gateway.telemetry.logs import TextFormatter

MARK = "MARKEDSECRET"
"""Letters only, so that JSON, URLs and forms spell it as it is."""

SHOWN_BEFORE = 60  # bytes that a finding shows of what stands before the mark
SHORTEST_HEADER = 16  # characters: a shorter header of a provider is no credential


def _spellings(mark: str) -> tuple[bytes, ...]:
    """Give the mark as it is, in base64 at each of its three places, in hex, and in the other case."""
    cores = [base64.b64encode(b"\0" * shift + mark.encode())[4 if shift else 0 : -4] for shift in range(3)]
    return (mark.encode(), *cores, mark.encode().hex().encode(), mark.lower().encode())


SPELLINGS = _spellings(MARK)


class SecretWatch:
    """Searches what is said, and keeps what it found until the test that ran is told."""

    def __init__(self) -> None:
        self._found: dict[str, None] = {}

    def search(self, where: str, said: bytes | str) -> None:
        """Look for the mark; what stands before it is kept, the secret is not."""
        said = said.encode("utf-8", "surrogatepass") if isinstance(said, str) else said
        for spelling in SPELLINGS:
            if (at := said.find(spelling)) >= 0:
                before = said[max(0, at - SHOWN_BEFORE) : at].decode("utf-8", "replace")
                self._found[f"a secret came out in {where}, after {before!r}"] = None
                return

    def note(self, what: str) -> None:
        """Keep a finding of another kind."""
        self._found[what] = None

    def take(self) -> list[str]:
        """Give what was found since the last time."""
        found, self._found = list(self._found), {}
        return found


watch = SecretWatch()


class _Heard:
    """A transport that searches what is written to it on behalf of a gateway."""

    def __init__(self, transport: Any, protocol: Any, told: SecretWatch) -> None:
        self._transport = transport
        self._protocol = protocol
        self._told = told
        self._tail = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        self._listen(bytes(data))
        self._transport.write(data)

    def writelines(self, pieces: Iterable[bytes]) -> None:
        pieces = list(pieces)
        self._listen(b"".join(pieces))
        self._transport.writelines(pieces)

    def _listen(self, data: bytes) -> None:
        request = getattr(self._protocol.http, "request", None)
        path = getattr(request, "path", "a connection")
        data = self._tail + data
        self._tail = data[-max(map(len, SPELLINGS)) :]
        if path == "/api/config":  # which shows the access keys to an admin, and says so
            for key in self._protocol.app.ctx.settings.auth.keys:
                data = data.replace(key.key.encode(), b"")
        self._told.search(f"the answer to {getattr(request, 'method', '')} {path}", data)


def heard(told: SecretWatch = watch) -> type[HttpProtocol]:
    """Make the protocol that a gateway is served with, so that all it sends is searched."""

    class Heard(QuickHttpProtocol):
        __slots__ = ()

        def connection_made(self, transport: Any) -> None:
            super().connection_made(_Heard(transport, self, told))

    return Heard


async def search_remains(services: Services, told: SecretWatch = watch) -> None:
    """Search the metrics and the call log of a gateway that is about to end."""
    told.search("/metrics", services.metrics.expose())
    await services.calls.flush()
    for row in await services.calls._run(_dump, services.calls._database.connection):
        told.search("the call log", row)


def _dump(database: sqlite3.Connection) -> list[str]:
    return list(database.iterdump())


def check_marks(settings: Settings, told: SecretWatch = watch) -> None:
    """Find fault with a secret of a gateway that has no mark: the watch would not see it."""
    for name, secret in _secrets(settings):
        if MARK not in secret:
            told.note(f"{name} of a gateway in the tests has no mark: put tests.secret_watch.MARK into it")


def _secrets(settings: Settings) -> Iterator[tuple[str, str]]:
    """Give every secret that a gateway was given; not the key that it has made up itself."""
    auth = settings.auth
    named = [(f"access key {key.name}", key.key) for key in auth.keys if key.key != settings.generated_key]
    named += [("JWT_SECRET", auth.jwt_secret or ""), ("EXECUTOR_SECRET", settings.executor_secret or "")]
    addresses = [("EXECUTOR_URL", settings.executor_url), ("the limits' storage", settings.limits.storage_uri or "")]
    for provider in settings.providers.values():
        named.append((f"the key of {provider.name}", provider.api_key or ""))
        named += [(name, value) for name, value in provider.headers.items() if len(value) >= SHORTEST_HEADER]
        addresses.append((f"the address of {provider.name}", provider.base_url))
        if provider.oauth:
            named.append((f"the client secret of {provider.name}", provider.oauth.client_secret))
            addresses.append((f"the token endpoint of {provider.name}", provider.oauth.token_endpoint))
    named += [(name, unquote(urlsplit(address).password or "")) for name, address in addresses]
    return ((name, secret) for name, secret in named if secret)


class _LogWatch(logging.Handler):
    """Searches each line as the gateway would write it, in debug mode, which says most."""

    def __init__(self, told: SecretWatch) -> None:
        super().__init__()
        self._told = told
        self._line = TextFormatter(debug=True)

    def emit(self, record: logging.LogRecord) -> None:
        self._told.search(f"a log line of {record.name}", self._line.format(record))


_logs = _LogWatch(watch)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Listen to the log while a test runs, whatever the one before it has done to the handlers."""
    root = logging.getLogger()
    if _logs not in root.handlers:
        root.addHandler(_logs)
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail the test that ran while a secret came out, in what it had served, logged, or printed."""
    report = yield
    for name, text in report.sections:
        if name in (f"Captured stdout {call.when}", f"Captured stderr {call.when}"):
            watch.search(name, text)
    if found := watch.take():
        if report.passed:
            report.outcome, report.longrepr = "failed", "\n".join(found)
        else:
            report.sections.append(("Secrets that came out", "\n".join(found)))
    return report
