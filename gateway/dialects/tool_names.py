"""Tools that other providers see under another name or in another form than the client, and the way back.

Responses has tools that take free text (`custom`) and groups of tools (`namespace`; Codex puts those of each MCP
server into one). Other providers know single functions only, so that a group's name goes before its tools' names.
"""

from collections.abc import Iterator, Mapping
from typing import Any
from zlib import crc32

import msgspec

from gateway.dialects.reading import Fields

MAX_NAME = 64
"""The longest name of a function that every provider takes."""


class ToolNames(msgspec.Struct, frozen=True, kw_only=True):
    """Which names of functions are of tools that take free text, and which come from a group: its name and theirs."""

    custom: frozenset[str] = frozenset()
    grouped: Mapping[str, tuple[str, str]] = {}


PLAIN = ToolNames()


def flat_name(group: str, name: str) -> str:
    """Give the name of a function for a tool of a group; what is too long ends in a checksum."""
    flat = f"{group.rstrip('_')}__{name}"
    return flat if len(flat) <= MAX_NAME else f"{flat[: MAX_NAME - 9]}_{crc32(flat.encode()):08x}"


def read_names(fields: Fields) -> ToolNames:
    """Read which of a request's tools the client knows in another form; flat as in Responses, or nested as in chats."""
    items = fields.items("tools")
    if not any(isinstance(item, dict) and item.get("type") in ("custom", "namespace") for item in items):
        return PLAIN
    custom: set[str] = set()
    grouped: dict[str, tuple[str, str]] = {}
    for group, tool in _all_tools(items):
        nested = tool.get("custom")
        name = str((nested if isinstance(nested, dict) else tool).get("name"))
        flat = name if group is None else flat_name(group, name)
        if tool.get("type") == "custom" and "input_schema" not in tool:
            custom.add(flat)
        if group is not None:
            grouped[flat] = group, name
    return ToolNames(custom=frozenset(custom), grouped=grouped) if custom or grouped else PLAIN


def _all_tools(items: Any) -> Iterator[tuple[str | None, dict[str, Any]]]:
    for item in items:
        if isinstance(item, dict) and item.get("type") == "namespace":
            inner, group = item.get("tools"), str(item.get("name"))
            yield from ((group, tool) for tool in inner or () if isinstance(tool, dict))
        elif isinstance(item, dict):
            yield None, item
