"""Lines of servers that imitate Ollama (and of its own older versions), made what they should be."""

import time
from typing import Any

from gateway.dialects.ollama import write_time
from gateway.providers import lenient
from gateway.providers.failures import raise_error_in

_MENDED = ("model", "created_at", "message", "done", "error")
_COUNTS = ("prompt_eval_count", "eval_count")


def mend(given: Any, model: str) -> dict[str, Any] | None:
    """Give a line as it should be, None if it says nothing; the error that it tells of is raised.

    `model` is the name to show.
    """
    raise_error_in(given)
    fields = lenient.mapping(given)
    done = fields.get("done") is True
    if not done and not isinstance(fields.get("message"), dict):
        return None
    mended = {
        "model": model,
        "created_at": lenient.text_or_none(fields.get("created_at")) or write_time(int(time.time())),
        "message": _mend_message(lenient.mapping(fields.get("message"))),
        "done": done,
        **{name: value for name, value in fields.items() if name not in _MENDED},
    }
    if not isinstance(mended.get("done_reason"), str):
        mended.pop("done_reason", None)
    if done:
        mended.setdefault("done_reason", "stop")
    for name in _COUNTS:
        count = lenient.integer(mended.pop(name, None))
        if count is not None and count >= 0:
            mended[name] = count
    return mended


def _mend_message(fields: dict[str, Any]) -> dict[str, Any]:
    message = {**fields, "role": "assistant", "content": lenient.text(fields.get("content"))}
    if not isinstance(message.get("thinking"), str):
        message.pop("thinking", None)
    calls = [call for call in map(_mend_call, lenient.sequence(message.pop("tool_calls", None))) if call is not None]
    return message | {"tool_calls": calls} if calls else message


def _mend_call(given: Any) -> dict[str, Any] | None:
    call = lenient.mapping(given)
    function = lenient.mapping(call.get("function"))
    if not lenient.text(function.get("name")):
        return None
    arguments = function.get("arguments")
    if not isinstance(arguments, dict):
        arguments = lenient.arguments_object(lenient.arguments(arguments))
    return {**call, "function": {**function, "arguments": arguments}}
