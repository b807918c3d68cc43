"""Gemini's answers, whole ones and what the chunks of a stream are made of."""

from typing import Any

from gateway.errors import CredentialsRefused, UnusableAnswer
from gateway.messages.chat import (
    ChatReply,
    Choice,
    FinishReason,
    Message,
    Part,
    ReasoningPart,
    TextPart,
    ToolCall,
    Usage,
)
from gateway.providers import lenient, proofs
from gateway.providers.failures import Complaint, late_error
from gateway.providers.gemini_plain import read_plain_answer
from gateway.providers.tool_calls import made_up_id

_FILTERED = frozenset(
    {"SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR"}
    | {"IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION"}
)
_BROKEN = frozenset(
    {"MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS"}
    | {"MISSING_THOUGHT_SIGNATURE", "NO_IMAGE", "IMAGE_OTHER"}
)


def read_reply(body: bytes) -> ChatReply:
    """Read a whole answer; a prompt that was blocked is an answer filtered away."""
    return read_plain_answer(body, _read_finish_of_text) or _read_closely(body)


def _read_closely(body: bytes) -> ChatReply:
    answer = lenient.parse(body)
    raise_error_in(answer)
    fields = lenient.mapping(answer)
    candidates = [found for found in lenient.sequence(fields.get("candidates")) if isinstance(found, dict)]
    choices = tuple(read_choice(found, place, fields) for place, found in enumerate(candidates))
    if not choices and (blocked := read_block(fields)):
        choices = (Choice(message=Message(role="assistant"), finish_reason="content_filter", refusal=blocked),)
    if not choices:
        raise UnusableAnswer("the provider's answer holds no candidates")
    return ChatReply(
        model=lenient.text(fields.get("modelVersion")),
        choices=choices,
        id=lenient.text_or_none(fields.get("responseId")),
        created=lenient.unix_time(fields.get("createTime")),
        usage=read_usage(fields),
    )


def read_complaint(answer: Any) -> Complaint | None:
    """Read an error answer, also one in a list of one; None when it is none."""
    if isinstance(answer, list) and len(answer) == 1:
        answer = answer[0]
    error = lenient.mapping(answer).get("error")
    if not isinstance(error, dict):
        return None
    word = lenient.text_or_none(error.get("status"))
    return Complaint(message=lenient.text(error.get("message")), code=word, kind=word)


def _details(answer: Any) -> list[dict[str, Any]]:
    if isinstance(answer, list) and len(answer) == 1:
        answer = answer[0]
    error = lenient.mapping(lenient.mapping(answer).get("error"))
    return [detail for detail in lenient.sequence(error.get("details")) if isinstance(detail, dict)]


def refuses_key(answer: Any) -> bool:
    """Whether a 400 means the key: Gemini says so with the reason API_KEY_INVALID."""
    return any(detail.get("reason") == "API_KEY_INVALID" for detail in _details(answer))


def read_retry_delay(answer: Any) -> float | None:
    """Give the seconds to wait that Gemini names in the body (google.rpc.RetryInfo), not in a header."""
    for detail in _details(answer):
        delay = lenient.text(detail.get("retryDelay")).removesuffix("s")
        if delay.replace(".", "", 1).isdecimal():
            return float(delay)
    return None


def raise_error_in(answer: Any) -> None:
    """Raise the error that an answer with a good status carries, if it does."""
    complaint = read_complaint(answer)
    if complaint is None:
        return
    if refuses_key(answer):
        raise CredentialsRefused("the provider refused the credentials")
    found = answer[0] if isinstance(answer, list) else answer
    status = lenient.integer(found["error"].get("code"))
    raise late_error(complaint, status if status is not None and 400 <= status < 600 else 502)


def read_parts(candidate: dict[str, Any]) -> list[dict[str, Any]]:
    """Give the parts of a candidate."""
    parts = lenient.mapping(candidate.get("content")).get("parts")
    return [part for part in lenient.sequence(parts) if isinstance(part, dict)]


def read_text(part: dict[str, Any]) -> str:
    """Give the text of a part; an image that the model has drawn comes as Markdown with the image in it."""
    image = lenient.mapping(part.get("inlineData"))
    if part.get("thought") is not True and lenient.text(image.get("data")):
        return f"![image](data:{lenient.text(image.get('mimeType')) or 'image/png'};base64,{image['data']})"
    return lenient.text(part.get("text"))


def read_proof(part: dict[str, Any]) -> str | None:
    """Give the proof that goes with a part of text or thought; reasoning without text is what it travels in."""
    proof = lenient.text(part.get("thoughtSignature"))
    return proofs.mark_gemini(proof) if proof else None


def read_call(part: dict[str, Any], place: int, answer: dict[str, Any]) -> ToolCall | None:
    """Read a part that calls a tool, the call of number `place`; None if it is none."""
    function = lenient.mapping(part.get("functionCall"))
    name = lenient.text(function.get("name"))
    if not name:
        return None
    arguments = lenient.arguments(function.get("args"))
    identity = lenient.text(function.get("id"))
    return ToolCall(
        id=identity or made_up_id(place, lenient.text(answer.get("responseId")), name, arguments),
        name=name,
        arguments=arguments,
        signature=lenient.text_or_none(part.get("thoughtSignature")),
    )


def read_choice(found: dict[str, Any], place: int, answer: dict[str, Any]) -> Choice:
    """Read one candidate of a whole answer."""
    parts: list[Part] = []
    calls: list[ToolCall] = []
    for part in read_parts(found):
        if (call := read_call(part, len(calls), answer)) is not None:
            calls.append(call)
        elif part.get("thought") is True:
            parts.append(ReasoningPart(text=lenient.text(part.get("text")), signature=read_proof(part)))
        else:
            parts += [TextPart(text=text)] if (text := read_text(part)) else []
            parts += [ReasoningPart(signature=proof)] if (proof := read_proof(part)) else []
    reason = lenient.text_or_none(found.get("finishReason"))
    if not parts and not calls and reason is None:
        raise UnusableAnswer("the provider's answer holds no text and no tool call")
    refuse_broken(reason, said=bool(parts or calls))
    index = lenient.integer(found.get("index"))
    return Choice(
        message=Message(role="assistant", content=tuple(parts), tool_calls=tuple(calls)),
        finish_reason=read_finish(reason, called=bool(calls)),
        index=place if index is None else index,
        logprobs=read_logprobs(found),
    )


def refuse_broken(reason: str | None, *, said: bool) -> None:
    """Take an answer of nothing for what it is when the model's output could not be read by Gemini itself."""
    if reason in _BROKEN and not said:
        raise UnusableAnswer(f"the provider could not read the model's output ({reason})")


def _read_finish_of_text(reason: str) -> FinishReason:
    return read_finish(reason, called=False)


def read_finish(reason: str | None, *, called: bool) -> FinishReason:
    """Read why a candidate has ended; one that calls tools ends with `tool_calls`."""
    if reason in _FILTERED:
        return "content_filter"
    if reason == "MAX_TOKENS":
        return "length"
    return "tool_calls" if called else "stop"


def read_block(answer: dict[str, Any]) -> str | None:
    """Say why the prompt was blocked; None if it was not."""
    feedback = lenient.mapping(answer.get("promptFeedback"))
    reason = lenient.text_or_none(feedback.get("blockReason"))
    said = lenient.text_or_none(feedback.get("blockReasonMessage"))
    return None if reason is None else said or f"the provider blocked the prompt ({reason})"


def read_usage(answer: dict[str, Any]) -> Usage | None:
    """Read the token counts; thinking counts as completion."""
    counts = lenient.mapping(answer.get("usageMetadata"))
    prompt = lenient.integer(counts.get("promptTokenCount"))
    if prompt is None:
        return None
    thoughts = lenient.integer(counts.get("thoughtsTokenCount"))
    return Usage(
        prompt_tokens=prompt + (lenient.integer(counts.get("toolUsePromptTokenCount")) or 0),
        completion_tokens=(lenient.integer(counts.get("candidatesTokenCount")) or 0) + (thoughts or 0),
        cached_tokens=lenient.integer(counts.get("cachedContentTokenCount")),
        reasoning_tokens=thoughts,
    )


def read_logprobs(candidate: dict[str, Any]) -> dict[str, Any] | None:
    """Give the log probabilities in OpenAI's form."""
    result = lenient.mapping(candidate.get("logprobsResult"))
    chosen = [entry for entry in lenient.sequence(result.get("chosenCandidates")) if isinstance(entry, dict)]
    if not chosen:
        return None
    top = [lenient.mapping(entry).get("candidates") for entry in lenient.sequence(result.get("topCandidates"))]
    top += [[]] * (len(chosen) - len(top))
    content = [
        {**_logprob(entry), "top_logprobs": [_logprob(lenient.mapping(other)) for other in lenient.sequence(others)]}
        for entry, others in zip(chosen, top, strict=False)
    ]
    return {"content": content, "refusal": None}


def _logprob(entry: dict[str, Any]) -> dict[str, Any]:
    token = lenient.text(entry.get("token"))
    return {"token": token, "logprob": entry.get("logProbability"), "bytes": list(token.encode("utf-8", "replace"))}
