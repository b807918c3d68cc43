"""What the call log keeps: a call, an event of the server, and the rows they become."""

import time
from typing import Literal

import msgspec

from gateway.telemetry.masking import masked, masked_label

KEPT_BODY_BYTES = 64 * 1024
# A secret that starts within the kept part is masked whole before the cut.
BODY_MARGIN = 16 * 1024
LABEL_CHARACTERS = 1024
ERROR_CHARACTERS = 4096
MOST_TOKENS = 2**53


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
    kind: Literal["llm", "execution"] = "llm"
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

#: what each call has of its own, as columns; `ended` is when it was over, `label` the number of its `labels.Label`
COLUMNS = (
    "ended", "time", "request_id", "label", "status", "duration_ms", "ttft_ms", "prompt_tokens", "completion_tokens",
    "cached_tokens", "error",
)  # fmt: skip


def make_row(call: Call, label: int) -> Row:
    """The call as values for `COLUMNS`: masked, bounded, and nothing that SQLite would refuse."""
    began, duration, first, request_id, error = call.time, call.duration_ms, call.ttft_ms, call.request_id, call.error
    prompt, completion, cached = call.prompt_tokens, call.completion_tokens, call.cached_tokens
    if began - began != 0:  # not finite
        began = time.time()
    if duration - duration != 0:
        duration = 0.0
    if first is not None and first - first != 0:
        first = None
    if len(request_id) > LABEL_CHARACTERS or not request_id.isascii() or request_id.startswith(("sk-", "eyJ")):
        request_id = _fit(masked(request_id))
    if prompt is not None and not 0 <= prompt < MOST_TOKENS:
        prompt = None
    if completion is not None and not 0 <= completion < MOST_TOKENS:
        completion = None
    if cached is not None and not 0 <= cached < MOST_TOKENS:
        cached = None
    if error:
        error = _fit(masked(error), ERROR_CHARACTERS)
    ended = began + duration / 1000
    return ended, began, request_id, label, call.status, duration, first, prompt, completion, cached, error


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
