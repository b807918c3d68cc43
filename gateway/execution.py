"""The client of the executor service: bytes in, bytes out, with a service token (API.md 3.7 and 4)."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import jwt
import msgspec

from gateway.errors import TimedOut, Unavailable, UnusableAnswer
from gateway.settings import ProviderSettings
from gateway.upstream import Answer, Upstream

TOKEN_SECONDS = 30  # the executor takes at most 60
LONGEST_SILENCE = 120.0  # seconds, of what is answered without running code
# Seconds of a run. The executor bounds each by its own settings, a batch by what all its inputs may take, and a
# shorter limit here would cut what an operator has allowed there: so this is none that could be reached.
LONGEST_RUN = 500 * 24 * 3600.0
MAX_HEALTH_BYTES = 1024 * 1024
MAX_PROBLEM = 500  # characters
LOOK_SECONDS = 10.0
CONNECT_SECONDS = 1.5  # so that an executor that is away is a 503 within 2 s (API.md 3.7)
ANONYMOUS = "anonymous"


class ExecutorState(msgspec.Struct, frozen=True, kw_only=True):
    """What the gateway knows of the executor; None where it has not heard.

    `problem` is what keeps one that can be reached from running code, as it says itself.
    """

    reachable: bool | None = None
    ready_sandboxes: int | None = None
    problem: str | None = None


class Executor:
    """The executor service as seen from here."""

    def __init__(self, url: str, secret: str | None, upstream: Upstream) -> None:
        self._secret = secret
        self._upstream = upstream
        self._address = _address("executor", url, LONGEST_SILENCE)
        self._runs = _address("executor-runs", url, LONGEST_RUN)
        self._watching: asyncio.Task[None] | None = None
        self.state = ExecutorState()

    @asynccontextmanager
    async def forward(
        self,
        method: str,
        path: str,
        *,
        user: str | None,
        request_id: str,
        body: bytes = b"",
        accept: str = "*/*",
    ) -> AsyncIterator[Answer]:
        """Pass a request on for `user`; leaving the context cancels the run.

        `Unavailable` when the executor cannot be reached or refuses the gateway itself.
        """
        headers = [("accept", accept)]
        if body:
            headers.append(("content-type", "application/json"))
        if self._secret:
            headers.append(("authorization", f"Bearer {self._sign(user)}"))
        try:
            async with self._upstream.exchange(
                self._runs if (method, path) == ("POST", "/execute") else self._address,
                method,
                path,
                headers=headers,
                body=body,
                request_id=request_id,
                connect_seconds=CONNECT_SECONDS,
            ) as answer:
                self._note(reachable=True)
                if answer.status == 401:
                    raise Unavailable(
                        "The executor refuses the gateway: EXECUTOR_SECRET must be the same for both services.",
                        code="executor_refused",
                    )
                yield answer
        except Unavailable as error:
            error.provider = None
            if error.error_code != "executor_refused":
                self._note(reachable=False)
                error.error_code = "executor_unreachable"
                error.message = "The executor is not reachable: start it, or set EXECUTOR_URL to where it is."
            raise

    async def look(self) -> ExecutorState:
        """Ask the executor how it is, and remember it."""
        try:
            async with self.forward(
                "GET", "/health", user=None, request_id="health", accept="application/json"
            ) as answer:
                self.state = _read_health(answer.status, await answer.read(MAX_HEALTH_BYTES))
        except (Unavailable, TimedOut, UnusableAnswer):
            self.state = ExecutorState(reachable=False, ready_sandboxes=0)
        return self.state

    def start(self, report: Callable[[bool], None]) -> None:
        """Begin to look at the executor now and then; `report` is told of each change."""
        self._watching = asyncio.create_task(self._watch(report), name="executor")

    async def stop(self) -> None:
        """Stop looking."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    async def _watch(self, report: Callable[[bool], None]) -> None:
        known: bool | None = None
        while True:
            reachable = (await self.look()).reachable
            if known is not None and reachable is not known:
                report(bool(reachable))
            known = reachable
            await asyncio.sleep(LOOK_SECONDS)

    def _note(self, *, reachable: bool) -> None:
        if self.state.reachable is not reachable:
            self.state = msgspec.structs.replace(self.state, reachable=reachable)

    def _sign(self, user: str | None) -> str:
        assert self._secret is not None
        claims = {"aud": "executor", "sub": user or ANONYMOUS, "exp": int(time.time()) + TOKEN_SECONDS}
        return jwt.encode(claims, self._secret, algorithm="HS256")


def _address(name: str, url: str, seconds: float) -> ProviderSettings:
    """Describe the executor as the client wants it; `seconds` bounds the wait for an answer."""
    return ProviderSettings(name=name, kind="openai-compatible", base_url=url, timeout_seconds=seconds, configured=True)


def _read_health(status: int, body: bytes) -> ExecutorState:
    """Read the answer to `GET /health` (API.md 4.4): 200 when code can be run, else 503 with the reason."""
    count, message = None, None
    try:
        report = msgspec.json.decode(body)
        message = report.get("message")
        count = sum(int(pool["ready"]) for pool in report["pool"].values())
    except (msgspec.DecodeError, AttributeError, KeyError, TypeError, ValueError):
        pass  # what it does not say is not known
    problem = None
    if status != 200:
        problem = message[:MAX_PROBLEM] if isinstance(message, str) and message else f"it answers with status {status}"
    return ExecutorState(reachable=True, ready_sandboxes=count, problem=problem)
