"""Code to be run: passed on to the executor byte for byte, with the caller's name (API.md 3.7)."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import TracebackType
from urllib.parse import quote

import msgspec
from sanic.response import HTTPResponse

from gateway.api.errors import describe
from gateway.api.guard import EXECUTE, EXECUTE_CANCEL, EXECUTE_LOOK, Endpoint
from gateway.api.recording import CLIENT_LEFT
from gateway.api.services import GatewayRequest
from gateway.api.streams import StreamForm, send_stream
from gateway.dialects import sse
from gateway.dialects.errors import Failure, plain
from gateway.dialects.reading import decode
from gateway.errors import GatewayError, InvalidJSON, NotFound, TimedOut, Unavailable
from gateway.telemetry.calls import Call
from gateway.upstream import Answer

JSON = "application/json"
HEAD_BYTES = 200
LOOK_SECONDS = 1.9  # a 503 within 2 s (API.md 3.7)
_STATUS = re.compile(rb'"status":\s?"([a-z_]{1,32})"')
MAX_ANSWER_BYTES = 64 * 1024 * 1024
_PASSED_BACK = ("content-type", "retry-after", "allow")


async def run_code(request: GatewayRequest) -> HTTPResponse | None:
    """Run code; whole or streamed, as the body says. The caller leaving ends the run."""
    if not request.body:
        raise InvalidJSON("The body is not valid JSON: it is empty.")
    decode(request.body)  # refuses what the executor might read in another way than whoever looked at it before
    verdict = _Verdict(request)
    async with verdict, _forward(request, "POST", "/execute", body=request.body) as answer:
        verdict.status = answer.status
        content_type = answer.header("content-type") or JSON
        if not content_type.startswith(sse.STREAM_TYPE):
            return await _pass_back(answer, verdict.look)
        form = StreamForm(content_type=content_type, keep_alive=sse.KEEP_ALIVE, fail=_fail)
        verdict.failed = await send_stream(request, _look_on(aiter(answer), verdict), form)
        return None


async def show_limits(request: GatewayRequest) -> HTTPResponse:
    """Tell the executor's limits and what its images hold."""
    async with _look(request, "GET", "/limits") as answer:
        return await _pass_back(answer)


async def list_executions(request: GatewayRequest) -> HTTPResponse:
    """List the running executions: the caller's own, or all for `admin`."""
    async with _look(request, "GET", "/executions") as answer:
        if _sees_all(request) or answer.status != 200:
            return await _pass_back(answer)
        listed = msgspec.json.decode(await answer.read(MAX_ANSWER_BYTES))
    own = [run for run in listed["executions"] if run["user"] == request.user]
    return HTTPResponse(msgspec.json.encode({"executions": own}), content_type=JSON)


async def cancel_execution(request: GatewayRequest, execution_id: str) -> HTTPResponse:
    """Cancel a running execution of the caller's own, or any for `admin`; another's is as unknown as none at all."""
    if not _sees_all(request):
        async with _look(request, "GET", "/executions") as answer:
            listed = msgspec.json.decode(await answer.read(MAX_ANSWER_BYTES))
        if not any(run["id"] == execution_id and run["user"] == request.user for run in listed.get("executions", ())):
            raise NotFound(f"There is no execution {execution_id[:100]!r} under way.")
    async with _look(request, "DELETE", f"/executions/{quote(execution_id, safe='')}") as answer:
        return await _pass_back(answer)


def _sees_all(request: GatewayRequest) -> bool:
    return request.caller is None or "admin" in request.caller.scopes


@asynccontextmanager
async def _forward(request: GatewayRequest, method: str, path: str, *, body: bytes = b"") -> AsyncIterator[Answer]:
    with _in_its_name():
        async with request.services.executor.forward(
            method,
            path,
            user=request.user,
            request_id=request.request_id,
            body=body,
            accept=request.headers.get("accept", "*/*"),
        ) as answer:
            yield answer


@contextmanager
def _in_its_name() -> Iterator[None]:
    """Say of the executor what the client of providers says of one that fails in the middle of an answer."""
    try:
        yield
    except GatewayError as error:
        if error.provider is not None:
            error.provider = None
            late = isinstance(error, TimedOut)
            error.message = f"The executor {'did not answer in time' if late else 'broke off its answer'}: see its log."
        raise


@asynccontextmanager
async def _look(request: GatewayRequest, method: str, path: str) -> AsyncIterator[Answer]:
    """Ask what is answered at once; an executor that does not is as good as away."""
    try:
        async with asyncio.timeout(LOOK_SECONDS), _forward(request, method, path) as answer:
            yield answer
    except TimeoutError:
        raise Unavailable(
            "The executor does not answer: see whether it is well.", code="executor_unreachable"
        ) from None


async def _pass_back(answer: Answer, look: Callable[[bytes], None] | None = None) -> HTTPResponse:
    headers = {name: value for name in _PASSED_BACK if (value := answer.header(name)) is not None}
    body = await answer.read(MAX_ANSWER_BYTES)
    if look is not None:
        look(body)
    return HTTPResponse(body, status=answer.status, headers=headers, content_type=answer.header("content-type") or JSON)


async def _look_on(pieces: AsyncIterator[bytes], verdict: "_Verdict") -> AsyncIterator[bytes]:
    with _in_its_name():
        async for piece in pieces:
            verdict.look(piece)
            yield piece


def _fail(failure: Failure) -> list[bytes]:
    return [sse.event("error", plain(failure))]


class _Verdict:
    """What came of a run, as far as it can be seen in passing; told to metrics and call log at the end."""

    def __init__(self, request: GatewayRequest) -> None:
        self._request = request
        self._said: str | None = None
        self.status = 0
        self.failed: GatewayError | None = None

    def look(self, piece: bytes) -> None:
        """Look for the verdict: it stands at the head of a whole answer, and of the last event of a stream."""
        start = piece.rfind(b"event: done\n")
        if start >= 0 or self._said is None:
            found = _STATUS.search(piece, max(start, 0), max(start, 0) + HEAD_BYTES)
            self._said = found[1].decode() if found else self._said

    async def __aenter__(self) -> "_Verdict":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        request, services = self._request, self._request.services
        seconds = time.monotonic() - request.began
        failed = error if isinstance(error, GatewayError) else self.failed
        status = describe(failed, "").status if failed else 500 if error else self.status
        if isinstance(error, asyncio.CancelledError):
            status = CLIENT_LEFT
        said = self._said if status == 200 and self._said else str(status)
        services.metrics.execution(said, seconds)
        services.calls.record(
            Call(
                kind="execution",
                time=time.time() - seconds,
                request_id=request.request_id,
                method=request.method,
                path=request.path,
                status=status,
                duration_ms=seconds * 1000,
                user=request.user,
                finish_reason=self._said,
                error=failed.message if failed else None,
            )
        )


ENDPOINTS = (
    Endpoint("POST", "/execute", run_code, EXECUTE),
    Endpoint("GET HEAD", "/execute/limits", show_limits, EXECUTE_LOOK),
    Endpoint("GET HEAD", "/executions", list_executions, EXECUTE_LOOK),
    Endpoint("DELETE", "/executions/<execution_id:str>", cancel_execution, EXECUTE_CANCEL),
)
