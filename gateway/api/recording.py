"""What is told of a call to a provider when it has ended: to the metrics and to the call log."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from sanic.response import HTTPResponse

from gateway.api.errors import describe
from gateway.api.services import GatewayRequest
from gateway.dialects.passing import Seen
from gateway.errors import GatewayError
from gateway.messages.chat import Finished, Started, StreamEvent, Usage, UsageReport
from gateway.routing.names import Target
from gateway.telemetry.calls import Call

CLIENT_LEFT = 499  # never sent (API.md 2); nginx's number for it, in logs and metrics only


class Recording:
    """One call to a provider, from its parsed request to its end; recorded once, when the context is left."""

    __slots__ = (
        "_asked", "_body", "_failed", "_finished", "_first_token", "_model", "_partial", "_provider", "_request",
        "_status", "_stream", "_usage",
    )  # fmt: skip

    def __init__(self, request: GatewayRequest, *, asked: str, stream: bool = False) -> None:
        self._request = request
        self._asked = asked
        self._stream = stream
        self._provider: str | None = None
        self._model = asked
        self._usage: Usage | None = None
        self._first_token: float | None = None
        self._finished: str | None = None
        self._partial = False
        self._failed: GatewayError | None = None
        self._status = 200
        self._body: bytes | None = None

    def aimed_at(self, target: Target) -> None:
        """Note who is being asked."""
        self._provider = target.provider
        self._model = target.model

    def keep(self, response: HTTPResponse) -> HTTPResponse:
        """Keep the body of a whole answer for the call log, which takes it only with LOG_BODIES; gives it back."""
        self._body = response.body
        return response

    def answered_by(self, target: Target, usage: Usage | None, finish_reason: str | None = None) -> None:
        """Note who has given a whole answer, what it has cost and why it ended."""
        self._provider = target.provider
        self._model = target.model
        self._usage = usage
        self._finished = finish_reason

    def used(self, usage: Usage | None) -> None:
        """Note what a whole answer has cost."""
        self._usage = usage

    def saw(self, event: StreamEvent) -> None:
        """Note what an event of a stream tells: the first token, the usage, the end."""
        match event:
            case UsageReport(usage=usage):
                self._usage = usage
            case Started(usage=usage):
                self._usage = usage or self._usage
            case Finished(finish_reason=reason):
                self._finished = reason
            case _ if self._first_token is None:
                self._first_token = time.monotonic() - self._request.began

    def looked(self, seen: Seen) -> None:
        """Note what has been seen of an answer that goes through as it is."""
        if seen.begun and self._first_token is None and self._stream:
            self._first_token = time.monotonic() - self._request.began
        self._usage = seen.usage
        self._finished = seen.finish_reason

    @contextmanager
    def streaming(self) -> Iterator[None]:
        """Count a stream as active; one that does not come to its end is marked partial."""
        metrics = self._request.services.metrics
        metrics.stream_opened()
        self._partial = True
        try:
            yield
            self._partial = False
        finally:
            metrics.stream_closed()

    def answered(self, status: int) -> None:
        """Note the status of an answer that goes back as it is, whatever it says."""
        self._status = status

    def ended(self, failed: GatewayError | None) -> None:
        """Note the error that ended a stream early."""
        self._failed = failed

    def __enter__(self) -> "Recording":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None and self._failed is None:
            self._write(self._status, None)
            return
        if isinstance(error, asyncio.CancelledError):
            self._write(CLIENT_LEFT, "the client left")
            return
        failed = error if isinstance(error, GatewayError) else self._failed
        if failed is None:
            self._write(500, "internal error")
        else:
            self._write(describe(failed, "").status, failed.message)

    def _write(self, status: int, error: str | None) -> None:
        request, model, usage, first_token = self._request, self._model, self._usage, self._first_token
        services, caller = request.services, request.caller
        seconds = time.monotonic() - request.began
        provider = self._provider or "none"
        prompt = completion = cached = None
        if usage is not None:
            prompt, completion, cached = usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens
        services.metrics.llm(provider, model, status, seconds, prompt, completion, cached)
        if first_token is not None:
            services.metrics.first_token(provider, model, first_token)
            first_token *= 1000
        # In the order of its fields: to name them would cost more than all else here.
        call = Call(
            request.request_id, request.path, status, seconds * 1000, 0, time.time() - seconds, "llm", request.method,
            first_token, self._provider, model, self._stream, caller.name if caller else None, prompt, completion,
            cached, self._finished, self._partial, error,
        )  # fmt: skip
        if services.settings.log_bodies:
            call.request_body, call.response_body = _readable(request.body), _readable(request.sent or self._body)
        services.calls.record(call)


def _readable(body: bytes | bytearray | None) -> str | None:
    return bytes(body).decode("utf-8", "replace") if body else None
