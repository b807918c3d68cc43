"""What vendors without ids of tool calls need: ids made up, and the name of the tool that a result belongs to."""

from collections.abc import Sequence
from zlib import crc32

from gateway.messages.chat import Message


def made_up_id(place: int, *marks: str | None) -> str:
    """Make the id of a tool call that came without one, from its place and what else marks it, always the same."""
    mark = crc32("\n".join(mark or "" for mark in marks).encode("utf-8", "replace"))
    return f"call_{place}_{mark:08x}"


def called_names(messages: Sequence[Message]) -> list[str | None]:
    """Give for each message the name of the tool whose result it is; None for those that are no result.

    An id may come back in a later turn for another tool: the latest call before the result is meant.
    """
    names: dict[str, str] = {}
    called: list[str | None] = []
    for message in messages:
        if message.tool_calls:
            names.update((call.id, call.name) for call in message.tool_calls)
        is_result = message.role == "tool"
        called.append(message.name or names.get(message.tool_call_id or "", "") if is_result else None)
    return called
