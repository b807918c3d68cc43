"""Chats written as Gemini's GenerateContent request (Gemini API reference, "Generating content", v1beta)."""

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from gateway.messages.chat import ChatRequest, ImagePart, Message, Options, Part, ReasoningPart, TextPart, ToolCall
from gateway.providers import lenient, proofs
from gateway.providers.leftovers import (
    has_cache_control,
    is_plain,
    left_out,
    unknown_marks,
    unknown_options,
    unknown_strictness,
)
from gateway.providers.reasoning import WISH_NAMES, ReasoningWish, budget_of, effort_of, understood_wish
from gateway.providers.schemas import inline_references
from gateway.providers.tool_calls import called_names

_NAME = "gemini"
_IMAGE_TYPES = {".png": "image/png", ".gif": "image/gif", ".webp": "image/webp", ".heic": "image/heic"}
_RENAMED = {
    "temperature": "temperature",
    "top_p": "topP",
    "max_tokens": "maxOutputTokens",
    "seed": "seed",
    "n": "candidateCount",
    "frequency_penalty": "frequencyPenalty",
    "presence_penalty": "presencePenalty",
    "logprobs": "responseLogprobs",
    "top_logprobs": "logprobs",
}
_CONFIG_EXTRAS = {
    "top_k": "topK",
    "media_resolution": "mediaResolution",
    "response_modalities": "responseModalities",
    "speech_config": "speechConfig",
    "image_config": "imageConfig",
    "thinking_config": "thinkingConfig",
}
_BODY_EXTRAS = {
    "safety_settings": "safetySettings",
    "cached_content": "cachedContent",
    "labels": "labels",
}
_THINKS_IN_LEVELS = re.compile(r"gemini-(?:[3-9]|\d\d)")
_LEVELS = {"none": "MINIMAL", "minimal": "MINIMAL", "low": "LOW", "medium": "MEDIUM"}
_UNSIGNED = "skip_thought_signature_validator"
"""What Google tells to put where a call was not made by Gemini ("Thought signatures", FAQ)."""


def write_body(chat: ChatRequest) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Give the body of the request and the warnings about what was left out."""
    warnings = unknown_options(chat, _NAME, ("logit_bias", "user", "parallel_tool_calls"))
    if not is_plain(chat):
        warnings += unknown_marks(chat, _NAME) + unknown_strictness(chat, _NAME)
        if has_cache_control(chat):
            warnings.append(left_out("cache_control", _NAME))
        if any(_is_left_out(part) for message in chat.messages for part in message.content):
            warnings.append(left_out("reasoning of earlier turns", _NAME))
    system, contents = _split(chat)
    body: dict[str, Any] = {"contents": contents or [{"role": "user", "parts": system}]}
    if system and contents:
        body["systemInstruction"] = {"parts": system}
    _write_tools(body, chat.options)
    config = _config(chat, warnings)
    for name, value in chat.options.extra.items():
        if name in _CONFIG_EXTRAS or name in _CONFIG_EXTRAS.values():
            config[_CONFIG_EXTRAS.get(name, name)] = value
        elif name in _BODY_EXTRAS or name in _BODY_EXTRAS.values():
            body[_BODY_EXTRAS.get(name, name)] = value
        elif name not in WISH_NAMES:
            warnings.append(left_out(name, _NAME))
    if config:
        body["generationConfig"] = config
    return body, tuple(dict.fromkeys(warnings)) if warnings else ()


def _split(chat: ChatRequest) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Give the system's parts and the contents; neighbours of one role become one content."""
    system: list[dict[str, Any]] = []
    contents: list[dict[str, Any]] = []
    must_sign = _THINKS_IN_LEVELS.match(chat.model) is not None
    for message, tool_name in zip(chat.messages, called_names(chat.messages), strict=True):
        if message.role in {"system", "developer"}:
            system += _parts(message.content)
            continue
        role = "model" if message.role == "assistant" else "user"
        if message.role == "tool":
            parts = _tool_result(message, tool_name or "")
        else:
            parts = _parts(message.content)
            if message.tool_calls:
                parts += _calls(message.tool_calls, must_sign=must_sign)
        if not parts:
            continue
        if contents and contents[-1]["role"] == role:
            contents[-1]["parts"] += parts
        else:
            contents.append({"role": role, "parts": parts})
    return system, contents


def _is_left_out(part: Part) -> bool:
    """Whether a part is reasoning of which more than Gemini's own proof would have to go back."""
    return isinstance(part, ReasoningPart) and (bool(part.text) or proofs.gemini_proof(part.signature) is None)


def _parts(content: Sequence[Part]) -> list[dict[str, Any]]:
    """Write text, images, and Gemini's proofs: the last with the last text, or those that have none with an empty one.

    Dialects tell proofs before or after the text, so that their place says nothing.
    """
    if len(content) == 1 and type(content[0]) is TextPart:
        return [{"text": content[0].text}] if content[0].text else []
    written: list[dict[str, Any]] = []
    signatures = [part.signature for part in content if isinstance(part, ReasoningPart)]
    signed = [proof for signature in signatures if (proof := proofs.gemini_proof(signature))]
    for part in content:
        if isinstance(part, TextPart) and part.text:
            written.append({"text": part.text})
        elif isinstance(part, ImagePart):
            written.append(_image(part))
    texts = [part for part in written if "text" in part]
    if signed and texts:
        texts[-1]["thoughtSignature"] = signed.pop()
    return [*({"text": "", "thoughtSignature": proof} for proof in signed), *written]


def _image(part: ImagePart) -> dict[str, Any]:
    if part.data is not None:
        return {"inlineData": {"mimeType": part.media_type or "image/png", "data": part.data}}
    ending = PurePosixPath(urlsplit(part.url or "").path).suffix.lower()
    mime = part.media_type or _IMAGE_TYPES.get(ending, "image/jpeg")
    return {"fileData": {"mimeType": mime, "fileUri": part.url}}


def _calls(calls: Sequence[ToolCall], *, must_sign: bool) -> list[dict[str, Any]]:
    """Write the calls of a turn with their proofs; the first of a turn must have one where the model insists."""
    written: list[dict[str, Any]] = []
    unsigned = must_sign and not any(call.signature for call in calls)
    for call in calls:
        part: dict[str, Any] = {
            "functionCall": {"id": call.id, "name": call.name, "args": lenient.arguments_object(call.arguments)}
        }
        signature = call.signature or (_UNSIGNED if unsigned and not written else None)
        if signature is not None:
            part["thoughtSignature"] = signature
        written.append(part)
    return written


def _tool_result(message: Message, tool_name: str) -> list[dict[str, Any]]:
    text = "\n".join(part.text for part in message.content if isinstance(part, TextPart))
    value = lenient.parse_or_none(text)
    if message.is_error:
        response: dict[str, Any] = {"error": text}
    else:
        response = value if isinstance(value, dict) else {"result": text}
    function: dict[str, Any] = {"name": tool_name, "response": response}
    if message.tool_call_id:
        function["id"] = message.tool_call_id
    images = [_image(part) for part in message.content if isinstance(part, ImagePart)]
    return [{"functionResponse": function}, *images]


def _write_tools(body: dict[str, Any], options: Options) -> None:
    if options.tools:
        declarations = []
        for tool in options.tools:
            declaration: dict[str, Any] = {"name": tool.name}
            if tool.description:
                declaration["description"] = tool.description
            if tool.parameters:
                declaration["parametersJsonSchema"] = inline_references(tool.parameters)
            declarations.append(declaration)
        body["tools"] = [{"functionDeclarations": declarations}]
    choice = options.tool_choice
    if choice is not None and options.tools:
        mode = {"auto": "AUTO", "none": "NONE"}.get(choice.mode, "ANY")
        calling: dict[str, Any] = {"mode": mode}
        if choice.mode == "function":
            calling["allowedFunctionNames"] = [choice.name]
        body["toolConfig"] = {"functionCallingConfig": calling}


def _config(chat: ChatRequest, warnings: list[str]) -> dict[str, Any]:
    options = chat.options
    config: dict[str, Any] = {
        theirs: value for ours, theirs in _RENAMED.items() if (value := getattr(options, ours)) is not None
    }
    if options.stop:
        config["stopSequences"] = list(options.stop)
    wanted = options.response_format
    if wanted is not None and wanted.kind != "text":
        config["responseMimeType"] = "application/json"
        if wanted.kind == "json_schema":
            config["responseJsonSchema"] = inline_references(wanted.schema or {"type": "object"})
    wish = understood_wish(options)
    if wish is not None:
        config["thinkingConfig"] = dict(_thinking(chat.model, wish))
        if not wish.enabled and _THINKS_IN_LEVELS.match(chat.model):
            warnings.append(f"reasoning: {chat.model} cannot be kept from thinking, it thinks as little as it can")
    return config


def _thinking(model: str, wish: ReasoningWish) -> Mapping[str, Any]:
    if _THINKS_IN_LEVELS.match(model):
        level = _LEVELS.get(effort_of(wish), "HIGH")
        return {"thinkingLevel": level, "includeThoughts": wish.enabled}
    return {"thinkingBudget": budget_of(wish), "includeThoughts": wish.enabled}
