"""The output items of OpenAI's Responses (API reference, "The response object"), written from an answer's blocks."""

from typing import Any

from gateway.dialects.blocks import Block
from gateway.dialects.custom_tools import read_input
from gateway.dialects.openai_answers import write_signature
from gateway.dialects.responses_request import REDACTED, SIGNED
from gateway.dialects.tool_names import ToolNames


def write_item(block: Block, token: str, status: str, names: ToolNames) -> dict[str, Any]:
    """Write an item as far as it has come: without content when it has just begun.

    `token` is that of the response, `names` tells the tools that the client knows in another form.
    """
    begun = status == "in_progress"
    item: dict[str, Any]
    identity = item_id(block, token, names)
    match block.kind:
        case "tool":
            item = {"id": identity, "status": status, "call_id": block.id, "name": shown_name(block, names)}
            if block.name in names.grouped:
                item["namespace"] = names.grouped[block.name][0]
            if block.name in names.custom:
                item |= {"type": "custom_tool_call", "input": "" if begun else read_input(block.text)}
            else:
                item |= {"type": "function_call", "arguments": "" if begun else block.text}
            return item if block.signature is None else {**item, "extra_content": write_signature(block.signature)}
        case "reasoning" | "redacted":
            item = {"id": identity, "type": "reasoning", "summary": []}
            if block.kind == "redacted":
                item["encrypted_content"] = REDACTED + block.text
            elif not begun:
                item["summary"] = [write_part(block)] if block.text else []
                if block.signature is not None:
                    item["encrypted_content"] = SIGNED + block.signature
            return item
    content = [] if begun else [write_part(block)]
    return {"id": identity, "type": "message", "status": status, "role": "assistant", "content": content}


def item_id(block: Block, token: str, names: ToolNames) -> str:
    """Give the id of a block's item, constant from its beginning to its end."""
    prefix = {"tool": "fc", "reasoning": "rs", "redacted": "rs"}.get(block.kind, "msg")
    if block.kind == "tool" and block.name in names.custom:
        prefix = "ctc"
    return f"{prefix}_{token}_{block.index}"


def shown_name(block: Block, names: ToolNames) -> str:
    """Give the name under which the client knows the tool that is called."""
    return names.grouped[block.name][1] if block.name in names.grouped else block.name


def write_part(block: Block, *, begun: bool = False) -> dict[str, Any]:
    """Write the one part of an item; without text when it has just begun."""
    text = "" if begun else block.text
    match block.kind:
        case "refusal":
            return {"type": "refusal", "refusal": text}
        case "reasoning":
            return {"type": "summary_text", "text": text}
    return {"type": "output_text", "annotations": [], "logprobs": [] if begun else block.logprobs, "text": text}
