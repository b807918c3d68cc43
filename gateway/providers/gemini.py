"""Google's Gemini API. Source: Gemini API reference, v1beta: "Generating content", "Embeddings", "Models".

The proof that comes with a tool call (`thoughtSignature`) travels in `ToolCall.signature`, and goes back with it; that
of a text travels as reasoning without text, marked as Gemini's, and goes back with the text of its turn.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from gateway.errors import CredentialsRefused, GatewayError, ProviderError, UnusableAnswer
from gateway.messages.chat import (
    ChatReply,
    ChatRequest,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    Started,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    UsageReport,
)
from gateway.messages.embeddings import EmbeddingsReply, EmbeddingsRequest
from gateway.messages.models import Model
from gateway.providers import lenient
from gateway.providers.base import StreamDecoder, UpstreamRequest
from gateway.providers.decoding import StreamReader
from gateway.providers.failures import plain_complaint, read_said, refusal
from gateway.providers.framing import ServerSentEvent, SseDecoder
from gateway.providers.gemini_body import write_body
from gateway.providers.gemini_reply import (
    raise_error_in,
    read_block,
    read_call,
    read_complaint,
    read_finish,
    read_logprobs,
    read_parts,
    read_proof,
    read_reply,
    read_retry_delay,
    read_text,
    read_usage,
    refuse_broken,
    refuses_key,
)
from gateway.providers.leftovers import left_out, texts_only

_EMBEDDING_EXTRAS = {"task_type": "taskType", "title": "title"}


class Gemini:
    """The vendor: chat, embeddings, models."""

    needs_key = True
    native_paths: Mapping[str, str] = {}

    def credential_headers(self, key: str) -> tuple[tuple[str, str], ...]:
        """Give the key's header: in the address it would end up in logs."""
        return (("x-goog-api-key", key),) if key else ()

    def explain_error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:  # noqa: ARG002  contract
        """Turn an error answer, `{"error": {"code", "message", "status", "details"}}`, into ours."""
        answer = read_said(body)
        complaint = read_complaint(answer)
        if complaint is not None and refuses_key(answer):
            return CredentialsRefused(f"the provider refused the credentials (it answered with status {status})")
        unknown = complaint is not None and status == 404 and complaint.code == "NOT_FOUND"
        error = refusal(status, complaint or plain_complaint(answer), no_such_model=unknown)
        if isinstance(error, ProviderError):
            error.retry_after = read_retry_delay(answer)
        return error

    def chat_request(self, chat: ChatRequest) -> UpstreamRequest:
        """Write the chat as a GenerateContent request."""
        body, warnings = write_body(chat)
        verb = "streamGenerateContent?alt=sse" if chat.stream else "generateContent"
        path = f"/v1beta/{_resource(chat.model)}:{verb}"
        return UpstreamRequest(path=path, body=msgspec.json.encode(body), warnings=warnings)

    def chat_reply(self, body: bytes) -> ChatReply:
        """Read a whole answer; a prompt that was blocked is an answer filtered away."""
        return read_reply(body)

    def chat_events(self) -> StreamDecoder:
        """Give a fresh decoder for one stream."""
        return StreamReader(SseDecoder(), _Chunks())

    def embeddings_request(self, embeddings: EmbeddingsRequest) -> UpstreamRequest:
        """Write the texts for `batchEmbedContents`."""
        resource = _resource(embeddings.model)
        extra = embeddings.extra
        options: dict[str, Any] = {
            _EMBEDDING_EXTRAS.get(name, name): value
            for name, value in extra.items()
            if name in _EMBEDDING_EXTRAS or name in _EMBEDDING_EXTRAS.values()
        }
        if embeddings.dimensions is not None:
            options["outputDimensionality"] = embeddings.dimensions
        requests = [
            {"model": resource, "content": {"parts": [{"text": text}]}, **options}
            for text in texts_only(embeddings, "gemini")
        ]
        taken = {*_EMBEDDING_EXTRAS, *_EMBEDDING_EXTRAS.values(), "encoding_format"}
        warnings = [left_out(name, "gemini") for name in extra if name not in taken]
        if embeddings.user is not None:
            warnings.append(left_out("user", "gemini"))
        return UpstreamRequest(
            path=f"/v1beta/{resource}:batchEmbedContents",
            body=msgspec.json.encode({"requests": requests}),
            warnings=tuple(warnings),
        )

    def embeddings_reply(self, body: bytes) -> EmbeddingsReply:
        """Read the vectors; Gemini gives them in the order of the texts and does not name the model."""
        answer = lenient.parse(body)
        raise_error_in(answer)
        fields = lenient.mapping(answer)
        found = [lenient.mapping(entry).get("values") for entry in lenient.sequence(fields.get("embeddings"))]
        if not found:
            raise UnusableAnswer("the provider's answer holds no embeddings")
        return EmbeddingsReply(model="", vectors=tuple(map(lenient.vector, found)), usage=read_usage(fields))

    def models_request(self, page: str | None = None) -> UpstreamRequest:
        """Ask for the models, those of the page `page`."""
        token = f"&pageToken={quote(page, safe='')}" if page else ""
        return UpstreamRequest(path=f"/v1beta/models?pageSize=1000{token}", method="GET")

    def models_reply(self, body: bytes) -> tuple[tuple[Model, ...], str | None]:
        """Read the models, without the `models/` before their names, and the next page's mark."""
        answer = lenient.parse(body)
        raise_error_in(answer)
        fields = lenient.mapping(answer)
        if not isinstance(fields.get("models", []), list):
            raise UnusableAnswer("the provider's answer holds no list of models")
        models = tuple(
            Model(id=name, details={key: value for key, value in entry.items() if key != "name"})
            for entry in map(lenient.mapping, fields.get("models", []))
            if (name := lenient.text(entry.get("name")).removeprefix("models/"))
        )
        return models, lenient.text_or_none(fields.get("nextPageToken"))


class _Candidate:
    """One of the `n` answers as far as it has come."""

    __slots__ = ("calls", "finished", "said")

    def __init__(self) -> None:
        self.calls = 0
        self.said = False
        self.finished = False


class _Chunks:
    """Meaning of the chunks of one stream; see `decoding.Grammar`."""

    ended = False
    """Nothing marks the end, and the last chunk may be followed by one with the token counts alone."""

    def __init__(self) -> None:
        self._started = False
        self._candidates: dict[int, _Candidate] = {}

    def read(self, frame: ServerSentEvent) -> Iterator[StreamEvent]:
        chunk = lenient.parse_or_none(frame.data)
        raise_error_in(chunk)
        if not isinstance(chunk, dict):
            return
        if not self._started:
            self._started = True
            yield Started(
                id=lenient.text_or_none(chunk.get("responseId")),
                model=lenient.text_or_none(chunk.get("modelVersion")),
                created=lenient.unix_time(chunk.get("createTime")),
                usage=read_usage(chunk),
            )
        for place, found in enumerate(map(lenient.mapping, lenient.sequence(chunk.get("candidates")))):
            index = lenient.integer(found.get("index"))
            yield from self._read_candidate(found, place if index is None else index, chunk)
        if not self._candidates and (blocked := read_block(chunk)):
            self._candidates[0] = candidate = _Candidate()
            candidate.finished = True
            yield RefusalDelta(text=blocked)
            yield Finished(finish_reason="content_filter")
        if self._complete and (usage := read_usage(chunk)) is not None:
            yield UsageReport(usage=usage)

    def end(self) -> Sequence[StreamEvent]:
        if not self._complete:
            raise UnusableAnswer("the provider's stream ended before the answer was finished")
        return ()

    @property
    def _complete(self) -> bool:
        return bool(self._candidates) and all(candidate.finished for candidate in self._candidates.values())

    def _read_candidate(self, found: dict[str, Any], index: int, chunk: dict[str, Any]) -> Iterator[StreamEvent]:
        candidate = self._candidates.setdefault(index, _Candidate())
        if candidate.finished:
            return
        logprobs = read_logprobs(found)
        for part in read_parts(found):
            if (call := read_call(part, candidate.calls, chunk)) is not None:
                yield ToolCallDelta(
                    call=candidate.calls,
                    id=call.id,
                    name=call.name,
                    arguments=call.arguments,
                    signature=call.signature,
                    index=index,
                )
                candidate.calls += 1
                candidate.said = True
                continue
            if text := read_text(part):
                candidate.said = True
                if part.get("thought") is True:
                    yield ReasoningDelta(text=text, index=index)
                else:
                    yield TextDelta(text=text, index=index, logprobs=logprobs)
                    logprobs = None
            if (proof := read_proof(part)) is not None:
                yield ReasoningDelta(signature=proof, index=index)
        reason = lenient.text_or_none(found.get("finishReason"))
        if reason is not None and reason != "FINISH_REASON_UNSPECIFIED":
            candidate.finished = True
            refuse_broken(reason, said=candidate.said)
            yield Finished(finish_reason=read_finish(reason, called=candidate.calls > 0), index=index)


def _resource(model: str) -> str:
    """Give the model's resource name, with nothing in it that could lead to another path."""
    collection, slash, name = model.partition("/")
    if slash and collection in {"models", "tunedModels"}:
        return f"{collection}/{quote(name, safe='')}"
    return f"models/{quote(model, safe='')}"


VENDOR = Gemini()
