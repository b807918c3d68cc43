"""What the call log keeps: a call, an event of the server, and the columns and rows they become."""

import time
from collections.abc import Sequence
from math import isfinite
from operator import attrgetter
from typing import Literal

import msgspec

from gateway.telemetry.masking import masked, masked_label
from gateway.telemetry.segments import Columns, known

KEPT_BODY_BYTES = 64 * 1024
# A secret that starts within the kept part is masked whole before the cut.
BODY_MARGIN = 16 * 1024
LABEL_CHARACTERS = 1024
ERROR_CHARACTERS = 4096
MOST_TOKENS = 2**53

Kind = Literal["llm", "execution"]


class Call(msgspec.Struct, gc=False):
    """One call to a provider, or one execution (API.md 3.6). `id` is given by the log.

    `time` is when it came in, in Unix seconds; `ttft_ms` the time to the first token. Tokens that nobody reported
    are None, never 0. `partial` marks a stream that did not come to its end.
    """

    request_id: str
    path: str
    status: int
    duration_ms: float
    id: int = 0
    time: float = msgspec.field(default_factory=time.time)
    kind: Kind = "llm"
    method: str = "POST"
    ttft_ms: float | None = None
    provider: str | None = None
    model: str | None = None
    stream: bool = False
    user: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    finish_reason: str | None = None
    partial: bool = False
    error: str | None = None
    request_body: str | None = None
    response_body: str | None = None


class ServerEvent(msgspec.Struct, kw_only=True):
    """Something that happened to the gateway itself: a start, a provider down. `facts` are flat."""

    id: int = 0
    time: float = msgspec.field(default_factory=time.time)
    kind: str
    message: str
    facts: dict[str, str | int | float | bool | None] = {}


class Skipped(msgspec.Struct, frozen=True, kw_only=True):
    """So many calls came at once that the live feed left some out; the log has them."""

    count: int


Row = tuple[float | int | str | None, ...]

# What each call has of its own, in the order of `segments.Columns`, where the label stands third.
_own = attrgetter(
    "time", "request_id", "status", "duration_ms", "ttft_ms", "prompt_tokens", "completion_tokens", "cached_tokens",
    "error",
)  # fmt: skip


def make_columns(calls: Sequence[Call], labels: Sequence[int]) -> Columns:
    """The calls, of which there is at least one, with the numbers of their labels: masked, bounded, finite."""
    began, ids, status, duration, first, prompt, completion, cached, error = zip(*map(_own, calls), strict=True)
    columns = Columns(began, ids, labels, status, duration, first, prompt, completion, cached, error)
    return columns if _is_clean(columns) else _clean(columns)


def _is_clean(columns: Columns) -> bool:
    """Whether nothing in it need be changed. All at once: one by one it would cost more than to write the calls."""
    ids = "\n".join(("", *columns.request_id))
    times = sum(columns.time) + sum(columns.duration_ms) + sum(known(columns.ttft_ms))
    tokens = [known(column) for column in (columns.prompt_tokens, columns.completion_tokens, columns.cached_tokens)]
    return (
        not any(columns.error)
        and ids.isascii()
        and "\nsk-" not in ids
        and "\neyJ" not in ids
        and max(map(len, columns.request_id)) <= LABEL_CHARACTERS
        and isfinite(times)
        and all(min(numbers) >= 0 and max(numbers) < MOST_TOKENS for numbers in tokens if numbers)
    )


def _clean(columns: Columns) -> Columns:
    return columns._replace(
        time=[began if isfinite(began) else time.time() for began in columns.time],
        request_id=[_clean_id(request_id) for request_id in columns.request_id],
        duration_ms=[took if isfinite(took) else 0.0 for took in columns.duration_ms],
        ttft_ms=[took if took is not None and isfinite(took) else None for took in columns.ttft_ms],
        prompt_tokens=[_clean_count(count) for count in columns.prompt_tokens],
        completion_tokens=[_clean_count(count) for count in columns.completion_tokens],
        cached_tokens=[_clean_count(count) for count in columns.cached_tokens],
        error=[error and _fit(masked(error), ERROR_CHARACTERS) for error in columns.error],
    )


def _clean_id(request_id: str) -> str:
    if len(request_id) > LABEL_CHARACTERS or not request_id.isascii() or request_id.startswith(("sk-", "eyJ")):
        return _fit(masked(request_id))
    return request_id


def _clean_count(count: int | None) -> int | None:
    return count if count is not None and 0 <= count < MOST_TOKENS else None


def make_body(text: str | None) -> str | None:
    """A body as it is kept: masked, and cut at 64 kB (UTF-8)."""
    if text is None:
        return None
    raw = masked(text[: KEPT_BODY_BYTES + BODY_MARGIN]).encode("utf-8", "replace")
    return raw.decode() if len(raw) <= KEPT_BODY_BYTES else raw[:KEPT_BODY_BYTES].decode("utf-8", "ignore") + "…"


def make_event_row(event: ServerEvent) -> Row:
    """The event as values for `time, kind, message, facts`."""
    facts = {
        clean_label(name): _fit(masked(value), ERROR_CHARACTERS) if isinstance(value, str) else value
        for name, value in event.facts.items()
    }
    message = _fit(masked(event.message), ERROR_CHARACTERS)
    return (event.time, clean_label(event.kind), message, msgspec.json.encode(facts).decode())


def weigh(call: Call) -> int:
    """Roughly how many bytes the call holds while it waits to be written."""
    if call.error is None and call.request_body is None and call.response_body is None:
        return 0
    return len(call.request_body or "") + len(call.response_body or "") + len(call.error or "")


def clean_label(text: str) -> str:
    """A short text of which there are few, such as a path or a model, as it is kept: masked and bounded."""
    return _fit(masked(text) if len(text) > LABEL_CHARACTERS else masked_label(text))


def _fit(text: str, most: int = LABEL_CHARACTERS) -> str:
    if len(text) > most:
        text = text[: most - 1] + "…"
    # A lone surrogate, which JSON can spell, is no UTF-8.
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
