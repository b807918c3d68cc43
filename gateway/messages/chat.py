"""A chat: what is asked, what is answered, and what a stream of the answer is made of.

Names follow OpenAI's where it has one. Tool arguments are JSON text, as the model wrote them; whoever needs an
object parses them. A field that is None or empty was not given.
"""

from typing import Any, Literal

import msgspec

Role = Literal["system", "developer", "user", "assistant", "tool"]
FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


class TextPart(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of text. `cache_control` is Anthropic's mark, kept for providers that know it."""

    text: str
    cache_control: dict[str, Any] | None = None


class ImagePart(msgspec.Struct, frozen=True, kw_only=True):
    """An image: either `url` (http or https), or `data` in base64 with its `media_type`."""

    url: str | None = None
    data: str | None = None
    media_type: str | None = None
    detail: str | None = None
    cache_control: dict[str, Any] | None = None


class ReasoningPart(msgspec.Struct, frozen=True, kw_only=True):
    """What the model thought. `signature` and `redacted` are the provider's proof, to be handed back unchanged."""

    text: str = ""
    signature: str | None = None
    redacted: str | None = None


Part = TextPart | ImagePart | ReasoningPart


class ToolCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call that the model asks for. `arguments` is JSON text, `{}` when there are none.

    `signature` is the provider's proof that goes with the call (Gemini's thoughtSignature).
    """

    id: str
    name: str
    arguments: str = "{}"
    signature: str | None = None


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One turn. A `tool` message answers the call `tool_call_id`; `is_error` says that the tool failed."""

    role: Role
    content: tuple[Part, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None
    is_error: bool = False

    @property
    def text(self) -> str:
        """All text of the message, images and reasoning left out."""
        return "".join(part.text for part in self.content if isinstance(part, TextPart))


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """A function that the model may call; `parameters` is a JSON Schema."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] = {}
    strict: bool | None = None
    cache_control: dict[str, Any] | None = None


class ToolChoice(msgspec.Struct, frozen=True, kw_only=True):
    """Whether tools are to be used; `name` only with mode `function`."""

    mode: Literal["auto", "none", "required", "function"]
    name: str | None = None


class ResponseFormat(msgspec.Struct, frozen=True, kw_only=True):
    """The form of the answer; `schema`, `name` and `strict` only with kind `json_schema`."""

    kind: Literal["text", "json_object", "json_schema"]
    schema: dict[str, Any] | None = None
    name: str | None = None
    strict: bool | None = None


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """Generation options under OpenAI's names; None was not given.

    `effort_at` is where the client has given `reasoning_effort`, since every dialect has another name for it.
    `extra` holds what OpenAI has no name for (`top_k`, `num_ctx`, `keep_alive`, `thinking`, …): a provider takes
    what it knows and names the rest in its warnings.
    """

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    n: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    user: str | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: str | None = None
    effort_at: str = "reasoning_effort"
    extra: dict[str, Any] = {}


class ChatRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation to be continued by `model`, which is the provider's own name of it."""

    model: str
    messages: tuple[Message, ...]
    options: Options = Options()
    stream: bool = False


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens as the provider counted them; `cached` and `reasoning` are parts of the other two, None if unknown."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None

    @property
    def total_tokens(self) -> int:
        """Prompt and completion together."""
        return self.prompt_tokens + self.completion_tokens


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """One answer among `n`."""

    message: Message
    finish_reason: FinishReason
    index: int = 0
    refusal: str | None = None
    logprobs: dict[str, Any] | None = None

    @property
    def reasoning(self) -> str:
        """All the reasoning text of the answer."""
        return "".join(part.text for part in self.message.content if isinstance(part, ReasoningPart))


class ChatReply(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer. `id` and `created` are the provider's, or None; `usage` is None when it did not tell."""

    model: str
    choices: tuple[Choice, ...]
    id: str | None = None
    created: int | None = None
    usage: Usage | None = None
    system_fingerprint: str | None = None
    warnings: tuple[str, ...] = ()


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """The provider has accepted the request; what it calls the answer and the model."""

    id: str | None = None
    model: str | None = None
    created: int | None = None
    usage: Usage | None = None


class TextDelta(msgspec.Struct, frozen=True, kw_only=True):
    """More text of answer `index`."""

    text: str
    index: int = 0
    logprobs: dict[str, Any] | None = None


class ReasoningDelta(msgspec.Struct, frozen=True, kw_only=True):
    """More reasoning, or (with `text` empty) the proof that closes it."""

    text: str = ""
    signature: str | None = None
    redacted: str | None = None
    index: int = 0


class RefusalDelta(msgspec.Struct, frozen=True, kw_only=True):
    """More of the reason why the model will not answer."""

    text: str
    index: int = 0


class ToolCallDelta(msgspec.Struct, frozen=True, kw_only=True):
    """A tool call begins (`id` and `name` given) or its arguments go on.

    `call` counts the calls of one answer from 0; `arguments` is a piece of JSON text.
    """

    call: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""
    signature: str | None = None
    index: int = 0


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """Answer `index` has ended, and why; `warnings` names what of it could not be told."""

    finish_reason: FinishReason
    index: int = 0
    warnings: tuple[str, ...] = ()


class UsageReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the whole answer has cost; the last such event of a stream counts."""

    usage: Usage


StreamEvent = Started | TextDelta | ReasoningDelta | RefusalDelta | ToolCallDelta | Finished | UsageReport
