"""The content blocks of Anthropic's whole answers, and what of them cannot be told in other wire formats."""

from typing import Any

from gateway.messages.chat import Part, ReasoningPart, TextPart, ToolCall
from gateway.providers import lenient

CITATIONS_LEFT_OUT = "citations: they are not translated, left out"
_TOLD = frozenset({"", "text", "thinking", "redacted_thinking", "tool_use"})


def name_loss(block: dict[str, Any]) -> str | None:
    """Name what of a block is left out in translation; None if nothing is.

    That is what only Anthropic's own dialect has: tools that run at Anthropic, their results, and citations.
    """
    kind = lenient.text(block.get("type"))
    if kind not in _TOLD:
        return f"{kind}: such parts of the answer are not translated, left out"
    return CITATIONS_LEFT_OUT if lenient.sequence(block.get("citations")) else None


def read_blocks(blocks: list[Any]) -> tuple[tuple[Part, ...], tuple[ToolCall, ...]]:
    """Read the parts and the calls of an answer."""
    parts: list[Part] = []
    calls: list[ToolCall] = []
    for block in map(lenient.mapping, blocks):
        kind = block.get("type")
        if kind == "text" and (text := lenient.text(block.get("text"))):
            parts.append(TextPart(text=text))
        elif kind == "thinking":
            signature = lenient.text_or_none(block.get("signature"))
            parts.append(ReasoningPart(text=lenient.text(block.get("thinking")), signature=signature))
        elif kind == "redacted_thinking":
            parts.append(ReasoningPart(redacted=lenient.text(block.get("data"))))
        elif kind == "tool_use" and (name := lenient.text(block.get("name"))):
            identity = lenient.text(block.get("id")) or f"call_{len(calls)}"
            calls.append(ToolCall(id=identity, name=name, arguments=lenient.arguments(block.get("input"))))
    return tuple(parts), tuple(calls)
