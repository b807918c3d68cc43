"""Ollama, in its own API: `/api/chat`, `/api/embed`, `/api/tags`. Source: Ollama docs/api.md and api/types.go.

Its `/v1` is not used: that leaves out the context length, `keep_alive` and thinking.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from gateway.errors import Detail, GatewayError, Unsupported, UnusableAnswer
from gateway.messages.chat import (
    ChatReply,
    ChatRequest,
    Choice,
    Finished,
    FinishReason,
    ImagePart,
    Message,
    Part,
    ReasoningDelta,
    ReasoningPart,
    Started,
    StreamEvent,
    TextDelta,
    TextPart,
    ToolCall,
    ToolCallDelta,
    Usage,
    UsageReport,
)
from gateway.messages.embeddings import EmbeddingsReply, EmbeddingsRequest
from gateway.messages.models import Model
from gateway.providers import lenient
from gateway.providers.base import StreamDecoder, UpstreamRequest
from gateway.providers.decoding import StreamReader
from gateway.providers.failures import openai_complaint, plain_complaint, raise_error_in, read_said, refusal
from gateway.providers.framing import NdjsonDecoder
from gateway.providers.leftovers import (
    has_cache_control,
    is_hidden,
    left_out,
    one_answer_only,
    texts_only,
    unknown_marks,
    unknown_options,
    unknown_strictness,
)
from gateway.providers.reasoning import WISH_NAMES, ReasoningWish, understood_wish
from gateway.providers.tool_calls import called_names, made_up_id

_NAME = "ollama"

# What stands under `options` (api/types.go, Options and Runner).
_OPTIONS = frozenset(
    {
        "draft_num_predict", "f16_kv", "logits_all", "low_vram", "main_gpu", "min_p", "mirostat", "mirostat_eta",
        "mirostat_tau", "num_batch", "num_ctx", "num_gpu", "num_keep", "num_predict", "num_thread", "numa",
        "penalize_newline", "repeat_last_n", "repeat_penalty", "tfs_z", "top_k", "typical_p", "use_mlock", "use_mmap",
        "vocab_only",
    }
)  # fmt: skip
_BESIDE_OPTIONS = frozenset({"keep_alive", "truncate", "shift"})
_EMBED = frozenset({"keep_alive", "truncate"})
_RENAMED = {"repetition_penalty": "repeat_penalty", "typical": "typical_p"}
_SAME_NAME = ("temperature", "top_p", "seed", "frequency_penalty", "presence_penalty")
_FINISH_REASONS: Mapping[str, FinishReason] = {"length": "length", "tool_calls": "tool_calls"}


class Ollama:
    """The vendor: chat, embeddings, models."""

    needs_key = False
    native_paths: Mapping[str, str] = {"ollama": "/api/chat"}

    def credential_headers(self, key: str) -> tuple[tuple[str, str], ...]:
        """Give the bearer header that Ollama's cloud wants; none without a key."""
        return (("authorization", f"Bearer {key}"),) if key else ()

    def explain_error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:  # noqa: ARG002  contract
        """Turn an error answer, `{"error": "text"}`, into ours."""
        answer = read_said(body)
        return refusal(status, openai_complaint(answer) or plain_complaint(answer))

    def chat_request(self, chat: ChatRequest) -> UpstreamRequest:
        """Write the chat for `/api/chat`; an image that is only an address is refused, naming the message."""
        one_answer_only(chat, _NAME)
        warnings = unknown_options(chat, _NAME, ("logit_bias", "user", "parallel_tool_calls"))
        warnings += unknown_marks(chat, _NAME) + unknown_strictness(chat, _NAME)
        if has_cache_control(chat):
            warnings.append(left_out("cache_control", _NAME))
        body: dict[str, Any] = {"model": chat.model, "messages": _messages(chat.messages, warnings)}
        body["stream"] = chat.stream
        _write_tools(body, chat, warnings)
        _write_options(body, chat, warnings)
        return UpstreamRequest(
            path="/api/chat", body=msgspec.json.encode(body), warnings=tuple(dict.fromkeys(warnings))
        )

    def chat_reply(self, body: bytes) -> ChatReply:
        """Read a whole answer."""
        answer = lenient.parse(body)
        raise_error_in(answer)
        fields = lenient.mapping(answer)
        message = lenient.mapping(fields.get("message"))
        calls = tuple(_calls(message, 0, fields))
        text, thought = lenient.text(message.get("content")), lenient.text(message.get("thinking"))
        if not (text or thought or calls or (isinstance(message.get("content"), str) and fields.get("done"))):
            raise UnusableAnswer("the provider's answer holds no text and no tool call")
        parts: list[Part] = [ReasoningPart(text=thought)] if thought else []
        if text:
            parts.append(TextPart(text=text))
        choice = Choice(
            message=Message(role="assistant", content=tuple(parts), tool_calls=calls),
            finish_reason=_finish_reason(fields, called=bool(calls)),
            logprobs=_logprobs(fields),
        )
        return ChatReply(
            model=lenient.text(fields.get("model")), choices=(choice,), created=_created(fields), usage=_usage(fields)
        )

    def chat_events(self) -> StreamDecoder:
        """Give a fresh decoder for one stream."""
        return StreamReader(NdjsonDecoder(), _Lines())

    def embeddings_request(self, embeddings: EmbeddingsRequest) -> UpstreamRequest:
        """Write the texts for `/api/embed`."""
        body: dict[str, Any] = {"model": embeddings.model, "input": texts_only(embeddings, _NAME)}
        if embeddings.dimensions is not None:
            body["dimensions"] = embeddings.dimensions
        body.update({name: value for name, value in embeddings.extra.items() if name in _EMBED})
        options = {name: value for name, value in embeddings.extra.items() if name in _OPTIONS}
        if options:
            body["options"] = options
        # How the vectors are written to the client is not Ollama's business.
        taken = {*body, *options, "encoding_format"}
        warnings = [left_out(name, _NAME) for name in embeddings.extra if name not in taken]
        if embeddings.user is not None:
            warnings.append(left_out("user", _NAME))
        return UpstreamRequest(path="/api/embed", body=msgspec.json.encode(body), warnings=tuple(warnings))

    def embeddings_reply(self, body: bytes) -> EmbeddingsReply:
        """Read the vectors; Ollama gives them in the order of the texts."""
        answer = lenient.parse(body)
        raise_error_in(answer)
        fields = lenient.mapping(answer)
        found = lenient.sequence(fields.get("embeddings")) or [fields.get("embedding")]
        return EmbeddingsReply(
            model=lenient.text(fields.get("model")), vectors=tuple(map(lenient.vector, found)), usage=_usage(fields)
        )

    def models_request(self, page: str | None = None) -> UpstreamRequest:  # noqa: ARG002  this list has one page
        """Ask for the models that are on the machine."""
        return UpstreamRequest(path="/api/tags", method="GET")

    def models_reply(self, body: bytes) -> tuple[tuple[Model, ...], str | None]:
        """Read the models; `modified_at` serves as the time of creation."""
        answer = lenient.parse(body)
        raise_error_in(answer)
        found = lenient.mapping(answer).get("models")
        if not isinstance(found, list):
            raise UnusableAnswer("the provider's answer holds no list of models")
        models: list[Model] = []
        for entry in map(lenient.mapping, found):
            name = lenient.text(entry.get("model")) or lenient.text(entry.get("name"))
            if name:
                details = {key: value for key, value in entry.items() if key not in {"name", "model"}}
                models.append(Model(id=name, created=lenient.unix_time(entry.get("modified_at")) or 0, details=details))
        return tuple(models), None


class _Lines:
    """Meaning of the lines of one stream; see `decoding.Grammar`."""

    def __init__(self) -> None:
        self._started = False
        self.ended = False
        self._calls = 0

    def read(self, frame: str) -> Iterator[StreamEvent]:
        fields = lenient.parse_or_none(frame)
        if not isinstance(fields, dict):
            return
        raise_error_in(fields)
        message = lenient.mapping(fields.get("message"))
        if not self._started:
            self._started = True
            yield Started(model=lenient.text_or_none(fields.get("model")), created=_created(fields))
        if thought := lenient.text(message.get("thinking")):
            yield ReasoningDelta(text=thought)
        logprobs = _logprobs(fields)
        if (text := lenient.text(message.get("content"))) or logprobs:
            yield TextDelta(text=text, logprobs=logprobs)
        for call in _calls(message, self._calls, fields):
            yield ToolCallDelta(call=self._calls, id=call.id, name=call.name, arguments=call.arguments)
            self._calls += 1
        if fields.get("done") is True:
            self.ended = True
            yield Finished(finish_reason=_finish_reason(fields, called=self._calls > 0))
            if (usage := _usage(fields)) is not None:
                yield UsageReport(usage=usage)

    def end(self) -> Sequence[StreamEvent]:
        if not self.ended:
            raise UnusableAnswer("the provider's stream ended before the answer was finished")
        return ()


def _messages(messages: Sequence[Message], warnings: list[str]) -> list[dict[str, Any]]:
    written: list[dict[str, Any]] = []
    for place, (message, tool_name) in enumerate(zip(messages, called_names(messages), strict=True)):
        texts = [part.text for part in message.content if isinstance(part, TextPart)]
        role = "system" if message.role == "developer" else message.role
        entry: dict[str, Any] = {"role": role, "content": "\n".join(texts)}
        thoughts = [part for part in message.content if isinstance(part, ReasoningPart)]
        if thoughts and (thought := "".join(part.text for part in thoughts)):
            entry["thinking"] = thought
        if thoughts and is_hidden(thoughts):
            warnings.append(left_out("hidden reasoning of earlier turns", _NAME))
        images = [_image(part, place) for part in message.content if isinstance(part, ImagePart)]
        if images:
            entry["images"] = images
        if message.tool_calls:
            entry["tool_calls"] = [
                {"id": call.id, "function": {"name": call.name, "arguments": lenient.arguments_object(call.arguments)}}
                for call in message.tool_calls
            ]
        if message.role == "tool":
            entry["tool_name"] = tool_name
            entry["tool_call_id"] = message.tool_call_id
        if message.is_error:
            warnings.append(left_out("is_error of a tool's result", _NAME))
        written.append(entry)
    return written


def _image(part: ImagePart, place: int) -> str:
    if part.data is None:
        field = f"messages[{place}].content"
        message = f"{field}: ollama takes images as base64 data, not as an address"
        raise Unsupported(message, details=(Detail(field, "must hold the image itself for this provider"),))
    return part.data


def _write_tools(body: dict[str, Any], chat: ChatRequest, warnings: list[str]) -> None:
    tools, choice = chat.options.tools, chat.options.tool_choice
    if choice is not None and choice.mode == "none":
        return
    if choice is not None and choice.mode == "function":
        tools = tuple(tool for tool in tools if tool.name == choice.name) or tools
    if choice is not None and choice.mode in {"function", "required"}:
        warnings.append("tool_choice: ollama cannot be made to call a tool, it may answer without")
    if tools:
        body["tools"] = [
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description or "",
                    "parameters": tool.parameters or {"type": "object", "properties": {}},
                },
            }
            for tool in tools
        ]


def _write_options(body: dict[str, Any], chat: ChatRequest, warnings: list[str]) -> None:
    given = chat.options
    nested = lenient.mapping(given.extra.get("options"))
    extra = {_RENAMED.get(name, name): value for name, value in {**nested, **given.extra}.items() if name != "options"}
    options: dict[str, Any] = {name: value for name, value in extra.items() if name in _OPTIONS}
    body.update({name: value for name, value in extra.items() if name in _BESIDE_OPTIONS})
    for name in _SAME_NAME:
        value = getattr(given, name)
        if value is not None:
            options[name] = value
    if given.max_tokens is not None:
        options["num_predict"] = given.max_tokens
    if given.stop:
        options["stop"] = list(given.stop)
    if options:
        body["options"] = options
    if given.logprobs is not None:
        body["logprobs"] = given.logprobs
    if given.top_logprobs is not None:
        body["top_logprobs"] = given.top_logprobs
    wanted = given.response_format
    if wanted is not None and wanted.kind != "text":
        body["format"] = (wanted.schema or {"type": "object"}) if wanted.kind == "json_schema" else "json"
    wish = understood_wish(given)
    if wish is not None:
        body["think"] = _think(wish)
    known = _OPTIONS | _BESIDE_OPTIONS | WISH_NAMES
    warnings += [left_out(name, _NAME) for name in extra if name not in known]


def _think(wish: ReasoningWish) -> bool | str:
    if not wish.enabled or wish.effort is None:
        return wish.enabled
    # Ollama knows three efforts only.
    return {"minimal": "low", "xhigh": "high", "max": "high"}.get(wish.effort, wish.effort)


def _calls(message: dict[str, Any], before: int, line: dict[str, Any]) -> Iterator[ToolCall]:
    """Read the calls of one message; `before` of the same answer have come already."""
    for call in map(lenient.mapping, lenient.sequence(message.get("tool_calls"))):
        function = lenient.mapping(call.get("function"))
        name = lenient.text(function.get("name"))
        if not name:
            continue
        arguments = lenient.arguments(function.get("arguments"))
        made_up = made_up_id(before, lenient.text(line.get("created_at")), name, arguments)
        yield ToolCall(id=lenient.text(call.get("id")) or made_up, name=name, arguments=arguments)
        before += 1


def _finish_reason(fields: dict[str, Any], *, called: bool) -> FinishReason:
    reason = _FINISH_REASONS.get(lenient.text(fields.get("done_reason")), "stop")
    return "tool_calls" if called and reason == "stop" else reason


def _usage(fields: dict[str, Any]) -> Usage | None:
    prompt, completion = lenient.integer(fields.get("prompt_eval_count")), lenient.integer(fields.get("eval_count"))
    if prompt is None and completion is None:
        return None
    return Usage(prompt_tokens=prompt or 0, completion_tokens=completion or 0)


def _logprobs(fields: dict[str, Any]) -> dict[str, Any] | None:
    found = [entry for entry in lenient.sequence(fields.get("logprobs")) if isinstance(entry, dict)]
    return {"content": [_logprob(entry) for entry in found], "refusal": None} if found else None


def _logprob(entry: dict[str, Any]) -> dict[str, Any]:
    token = lenient.text(entry.get("token"))
    top = [found for found in lenient.sequence(entry.get("top_logprobs")) if isinstance(found, dict)]
    return {
        "token": token,
        "logprob": entry.get("logprob"),
        "bytes": entry.get("bytes") or list(token.encode("utf-8", "replace")),
        "top_logprobs": [{**_logprob(found), "top_logprobs": []} for found in top],
    }


def _created(fields: dict[str, Any]) -> int | None:
    return lenient.unix_time(fields.get("created_at"))


VENDOR = Ollama()
