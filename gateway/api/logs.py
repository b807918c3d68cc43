"""The call log, the server's events and the figures made of them, for `admin` (API.md 3.6)."""

import re
from typing import Annotated, Any, TypeVar

import msgspec
from sanic.response import HTTPResponse

from gateway.api.feed import follow_figures
from gateway.api.guard import ADMIN, Endpoint
from gateway.api.inference import answer_json
from gateway.api.services import GatewayRequest
from gateway.api.streams import StreamForm, send_stream
from gateway.dialects import sse
from gateway.dialects.errors import Failure, plain
from gateway.errors import Detail, InvalidRequest, NotFound
from gateway.telemetry.calls import Call

_FRESH = {"cache-control": "no-store"}
_WINDOW = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)(s|m|h|d)?")
_UNITS = {None: 1, "s": 1, "m": 60, "h": 3600, "d": 86400}

Id = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Limit = Annotated[int, msgspec.Meta(ge=1, le=1000)]
Buckets = Annotated[int, msgspec.Meta(ge=1, le=500)]
Text = Annotated[str, msgspec.Meta(max_length=1024)]
T = TypeVar("T", bound=msgspec.Struct)


class Paging(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a list, newest first: at most `limit` entries older than the one with the id `before`."""

    limit: Limit = 100
    before: Id | None = None


class CallFilter(Paging, frozen=True, kw_only=True):
    """A page of the calls that match all filters given; `status` is 404, 4xx, ok or error; `q` searches."""

    provider: Text | None = None
    model: Text | None = None
    status: Text | None = None
    kind: Text | None = None
    user: Text | None = None
    request_id: Text | None = None
    q: Text | None = None


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """How far back figures reach (`90s`, `15m`, `1h`, `7d`, or seconds), and in how many steps."""

    window: Text = "15m"
    buckets: Buckets = 60


class Feed(msgspec.Struct, frozen=True, kw_only=True):
    """What the live feed carries beside calls and events: with a `window`, figures and state as well."""

    window: Text | None = None
    buckets: Buckets = 60


class Nothing(msgspec.Struct, frozen=True, kw_only=True):
    """No query at all."""


def read_query(request: GatewayRequest, kind: type[T]) -> T:
    """Read the query as a struct; an empty value is none. `InvalidRequest` naming every parameter that is wrong."""
    fields = {field.name: field.type for field in msgspec.structs.fields(kind)}
    given: dict[str, Any] = {}
    wrong: list[Detail] = []
    for name, text in request.get_query_args(keep_blank_values=True):
        if name not in fields:
            wrong.append(Detail(name[:100], f"is not known here; this path takes {', '.join(fields) or 'no query'}"))
        elif name in given:
            wrong.append(Detail(name, "is given twice"))
        elif text:
            try:
                given[name] = msgspec.convert(text, fields[name], strict=False)
            except msgspec.ValidationError as error:
                wrong.append(Detail(name, _complain(str(error))))
    if wrong:
        raise InvalidRequest.naming(wrong)
    return kind(**given)


def _complain(told: str) -> str:
    return f"is not valid: {told[0].lower()}{told[1:]}"


def read_window(text: str) -> float:
    """Read a length of time in seconds. Raises `InvalidRequest`."""
    found = _WINDOW.fullmatch(text)
    if found is None:
        raise InvalidRequest.naming([Detail("window", "is not a length of time such as 90s, 15m, 1h or 7d")])
    return float(found[1]) * _UNITS[found[2]]


async def list_logs(request: GatewayRequest) -> HTTPResponse:
    """List the newest calls and events together."""
    wanted = read_query(request, Paging)
    calls, _ = await request.services.calls.calls(wanted.limit, wanted.before)
    events, _ = await request.services.calls.events(wanted.limit, wanted.before)
    return answer_json({"apiCalls": [write_call(call) for call in calls], "serverEvents": events}, _FRESH)


async def clear_logs(request: GatewayRequest) -> HTTPResponse:
    """Delete all calls and events."""
    read_query(request, Nothing)
    await request.services.calls.clear()
    return answer_json({"cleared": True}, _FRESH)


async def list_calls(request: GatewayRequest) -> HTTPResponse:
    """List a page of calls."""
    wanted = msgspec.structs.asdict(read_query(request, CallFilter))
    calls, following = await request.services.calls.calls(**wanted)
    return answer_json({"calls": [write_call(call) for call in calls], "next": following}, _FRESH)


async def show_call(request: GatewayRequest, call_id: str) -> HTTPResponse:
    """Show one call, with its bodies if they were kept."""
    identity = int(call_id) if call_id.isascii() and call_id.isdecimal() and len(call_id) < 19 else None
    call = None if identity is None else await request.services.calls.call(identity)
    if call is None:
        raise NotFound(f"There is no call {call_id[:100]!r} in the log.")
    return answer_json(write_call(call), _FRESH)


async def list_events(request: GatewayRequest) -> HTTPResponse:
    """List a page of what happened to the gateway itself."""
    wanted = read_query(request, Paging)
    events, following = await request.services.calls.events(wanted.limit, wanted.before)
    return answer_json({"events": events, "next": following}, _FRESH)


async def show_stats(request: GatewayRequest) -> HTTPResponse:
    """Tell counts, error rate, percentiles and tokens of a window, with series for charts."""
    wanted = read_query(request, Span)
    return answer_json(await request.services.calls.stats(read_window(wanted.window), wanted.buckets), _FRESH)


async def stream_logs(request: GatewayRequest) -> None:
    """Send new calls and events of all workers as they are logged; with a `window`, figures and state as well."""
    wanted = read_query(request, Feed)
    span = None if wanted.window is None else (read_window(wanted.window), wanted.buckets)
    if span is not None:
        await request.services.calls.stats(*span)  # refuses a window that is out of bounds while it still can
    form = StreamForm(content_type=sse.STREAM_TYPE, keep_alive=sse.KEEP_ALIVE, fail=_fail)
    await send_stream(request, follow_figures(request, span), form)


def write_call(call: Call) -> dict[str, Any]:
    """Write a call; bodies that were not kept are absent."""
    body: dict[str, Any] = msgspec.structs.asdict(call)
    for name in ("request_body", "response_body"):
        if body[name] is None:
            del body[name]
    return body


def _fail(failure: Failure) -> list[bytes]:
    return [sse.event("error", plain(failure))]


ENDPOINTS = (
    Endpoint("GET HEAD", "/api/logs", list_logs, ADMIN),
    Endpoint("DELETE", "/api/logs", clear_logs, ADMIN),
    Endpoint("GET HEAD", "/api/logs/api-calls", list_calls, ADMIN),
    Endpoint("GET HEAD", "/api/logs/api-calls/<call_id:str>", show_call, ADMIN),
    Endpoint("GET HEAD", "/api/logs/server-events", list_events, ADMIN),
    Endpoint("GET", "/api/logs/stream", stream_logs, ADMIN),
    Endpoint("GET HEAD", "/api/stats", show_stats, ADMIN),
)
