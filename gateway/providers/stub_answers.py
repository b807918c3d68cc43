"""What the stub provider says: pure functions from a request in OpenAI's form to an answer in OpenAI's form.

The same request always has the same answer. Tokens are counted as words.
"""

import hashlib
import math
import re
import struct
from base64 import b64encode
from dataclasses import dataclass
from typing import Any

from gateway.providers import lenient
from gateway.providers.openai_reply import read_text
from gateway.providers.stub_instances import instance_of

MODELS = (
    "stub",
    "stub-tools",
    "stub-reasoning",
    "stub-slow",
    "stub-cut",
    "stub-error",
    "stub-error-400",
    "stub-error-429",
    "stub-error-503",
    "stub-error-midstream",
    "stub-embeddings",
)
DEFAULT_DIMENSIONS = 8
MAX_DIMENSIONS = 4096
MAX_ANSWERS = 128
MAX_ECHO = 10_000
"""How many characters of what was said are said back."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """One of the `n` answers."""

    text: str = ""
    thought: str = ""
    calls: tuple[dict[str, Any], ...] = ()
    finish_reason: str = "stop"


class StubError(Exception):
    """An error that the stub answers with; `retry_after` is in seconds."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.retry_after = retry_after


def answers_to(request: dict[str, Any]) -> list[Answer]:
    """Give the `n` answers to a chat; `StubError` when the request makes no sense."""
    messages = [message for message in lenient.sequence(request.get("messages")) if isinstance(message, dict)]
    if not messages:
        raise StubError(400, "messages must be a list with at least one message", param="messages")
    count = lenient.integer(request.get("n"))
    count = 1 if count is None else count
    if not 1 <= count <= MAX_ANSWERS:
        raise StubError(400, f"n must be between 1 and {MAX_ANSWERS}", param="n")
    thought = _thought(request, messages)
    tool = _tool_to_call(request, messages)
    if tool is not None:
        call = _call(tool, sum(len(lenient.sequence(message.get("tool_calls"))) for message in messages))
        return [Answer(thought=thought, calls=(call,), finish_reason="tool_calls")] * count
    return [_cut(_text(request, messages, place), thought, request) for place in range(count)]


def usage_of(request: dict[str, Any], answers: list[Answer]) -> dict[str, Any]:
    """Count the words of a chat."""
    messages = map(lenient.mapping, lenient.sequence(request.get("messages")))
    prompt = sum(count_words(read_text(message.get("content")) or "") for message in messages)
    thought = sum(count_words(answer.thought) for answer in answers)
    completion = thought + sum(
        count_words(answer.text) + sum(count_words(call["function"]["arguments"]) for call in answer.calls)
        for answer in answers
    )
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "completion_tokens_details": {"reasoning_tokens": thought},
    }


def count_words(text: str) -> int:
    """Count what the stub takes for tokens."""
    return len(text.split())


def pieces_of(text: str) -> list[str]:
    """Cut a text into words, each with the space after it; together they are the text."""
    return re.findall(r"\S*\s|\S+", text)


def whole(request: dict[str, Any], identity: str, created: int) -> dict[str, Any]:
    """Give the whole answer to a chat."""
    answers = answers_to(request)
    return {
        "id": identity,
        "object": "chat.completion",
        "created": created,
        "model": request.get("model"),
        "choices": [
            {
                "index": index,
                "message": {
                    "role": "assistant",
                    "content": answer.text if not answer.calls else None,
                    "refusal": None,
                    **({"reasoning_content": answer.thought} if answer.thought else {}),
                    **({"tool_calls": list(answer.calls)} if answer.calls else {}),
                },
                "logprobs": None,
                "finish_reason": answer.finish_reason,
            }
            for index, answer in enumerate(answers)
        ],
        "usage": usage_of(request, answers),
    }


def chunks(request: dict[str, Any], identity: str, created: int) -> list[dict[str, Any]]:
    """Give the chunks of a streamed answer, without the end mark."""
    answers = answers_to(request)
    head = {"id": identity, "object": "chat.completion.chunk", "created": created, "model": request.get("model")}
    wants_usage = lenient.mapping(request.get("stream_options")).get("include_usage") is True
    usage: dict[str, Any] = {"usage": None} if wants_usage else {}

    def chunk(index: int, delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}
        return {**head, "choices": [choice], **usage}

    written: list[dict[str, Any]] = []
    for index, answer in enumerate(answers):
        written.append(chunk(index, {"role": "assistant", "content": None if answer.calls else ""}))
        written += [chunk(index, {"reasoning_content": piece}) for piece in pieces_of(answer.thought)]
        written += [chunk(index, {"content": piece}) for piece in pieces_of(answer.text)]
        for number, call in enumerate(answer.calls):
            arguments = call["function"]["arguments"]
            begun = {**call, "index": number, "function": {**call["function"], "arguments": ""}}
            written.append(chunk(index, {"tool_calls": [begun]}))
            for start in range(0, len(arguments), 16):
                delta = {"index": number, "function": {"arguments": arguments[start : start + 16]}}
                written.append(chunk(index, {"tool_calls": [delta]}))
        written.append(chunk(index, {}, answer.finish_reason))
    if wants_usage:
        written.append({**head, "choices": [], "usage": usage_of(request, answers)})
    return written


def embeddings(request: dict[str, Any]) -> dict[str, Any]:
    """Give a unit vector for each input, made from its hash."""
    given = request.get("input")
    inputs = [given] if isinstance(given, str) else lenient.sequence(given)
    if inputs and all(isinstance(entry, int) for entry in inputs):
        inputs = [inputs]
    if not inputs:
        raise StubError(400, "input must be a text or a list of texts", param="input")
    dimensions = lenient.integer(request.get("dimensions"))
    dimensions = DEFAULT_DIMENSIONS if dimensions is None else dimensions
    if not 1 <= dimensions <= MAX_DIMENSIONS:
        raise StubError(400, f"dimensions must be between 1 and {MAX_DIMENSIONS}", param="dimensions")
    texts = [entry if isinstance(entry, str) else lenient.dump(entry) for entry in inputs]
    vectors = [unit_vector(text, dimensions) for text in texts]
    packed = request.get("encoding_format") == "base64"
    tokens = sum(count_words(entry) if isinstance(entry, str) else len(entry) for entry in inputs)
    return {
        "object": "list",
        "data": [
            {
                "object": "embedding",
                "index": index,
                "embedding": b64encode(struct.pack(f"<{dimensions}f", *vector)).decode() if packed else vector,
            }
            for index, vector in enumerate(vectors)
        ],
        "model": request.get("model"),
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def unit_vector(text: str, dimensions: int) -> list[float]:
    """Make a vector of length 1 from the SHA-256 of `text`."""
    blocks = (hashlib.sha256(f"{block}:{text}".encode()).digest() for block in range(math.ceil(dimensions / 8)))
    numbers = [number / 2**31 - 1 for block in blocks for number in struct.unpack(">8I", block)][:dimensions]
    length = math.sqrt(sum(number * number for number in numbers)) or 1.0
    return [number / length for number in numbers]


def _text(request: dict[str, Any], messages: list[dict[str, Any]], place: int) -> str:
    said = lenient.mapping(request.get("stub")).get("reply")
    wanted = lenient.mapping(request.get("response_format"))
    if isinstance(said, str):
        text = said
    elif wanted.get("type") == "json_schema":
        text = lenient.dump(instance_of(lenient.mapping(wanted.get("json_schema")).get("schema")))
    elif wanted.get("type") == "json_object":
        text = lenient.dump({"provider": "stub", "you_said": _last_words(messages)})
    elif messages[-1].get("role") == "tool":
        text = f"The tool answered: {_tool_results(messages)}"
    else:
        text = f'This is the stub provider: you said "{_last_words(messages)}"{_pictures(messages)}'
    return (
        text if place == 0 or wanted.get("type") in ("json_schema", "json_object") else f"{text} (answer {place + 1})"
    )


def _last_words(messages: list[dict[str, Any]]) -> str:
    said = [read_text(message.get("content")) or "" for message in messages if message.get("role") == "user"]
    words = said[-1] if said else read_text(messages[-1].get("content")) or ""
    return words if len(words) <= MAX_ECHO else words[:MAX_ECHO] + "…"


def _pictures(messages: list[dict[str, Any]]) -> str:
    parts = lenient.sequence(messages[-1].get("content"))
    count = sum(lenient.mapping(part).get("type") == "image_url" for part in parts)
    return f" and showed {count} image{'s' if count > 1 else ''}" if count else ""


def _tool_results(messages: list[dict[str, Any]]) -> str:
    results: list[str] = []
    for message in reversed(messages):
        if message.get("role") != "tool":
            break
        results.insert(0, read_text(message.get("content")) or "")
    return "; ".join(results)


def _thought(request: dict[str, Any], messages: list[dict[str, Any]]) -> str:
    said = lenient.mapping(request.get("stub")).get("reasoning")
    if isinstance(said, str):
        return said
    thinking = request.get("thinking")
    asked = (
        request.get("reasoning_effort") not in (None, "none")
        or request.get("think") not in (None, False, "none")
        or (isinstance(thinking, dict) and thinking.get("type") != "disabled")
    )
    if not asked and request.get("model") != "stub-reasoning":
        return ""
    return f'The user said "{_last_words(messages)}", so I say it back.'


def _tool_to_call(request: dict[str, Any], messages: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Find the tool to call: the one named, or the first when tools are required; never right after a result."""
    given = [lenient.mapping(tool).get("function") for tool in lenient.sequence(request.get("tools"))]
    tools = [tool for tool in given if isinstance(tool, dict)]
    choice = request.get("tool_choice")
    if not tools or choice == "none" or messages[-1].get("role") == "tool":
        return None
    if isinstance(choice, dict):
        named = lenient.mapping(choice.get("function")).get("name")
        return next((tool for tool in tools if tool.get("name") == named), tools[0])
    return tools[0] if choice == "required" or request.get("model") == "stub-tools" else None


def _call(tool: dict[str, Any], number: int) -> dict[str, Any]:
    arguments = lenient.dump(instance_of(tool.get("parameters") or {"type": "object"}))
    return {
        "id": f"call_stub_{number}",
        "type": "function",
        "function": {"name": lenient.text(tool.get("name")), "arguments": arguments},
    }


def _cut(text: str, thought: str, request: dict[str, Any]) -> Answer:
    stop = request.get("stop")
    for mark in [stop] if isinstance(stop, str) else lenient.sequence(stop):
        if isinstance(mark, str) and mark:
            text = text.partition(mark)[0]
    limit = lenient.integer(request.get("max_completion_tokens", request.get("max_tokens")))
    words = pieces_of(text)
    if limit is not None and 0 < limit < len(words):
        return Answer(text="".join(words[:limit]).rstrip(), thought=thought, finish_reason="length")
    return Answer(text=text, thought=thought)
