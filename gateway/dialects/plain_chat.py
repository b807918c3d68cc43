"""Chats of nothing but plain texts and plain options, read at a glance.

Nearly all chats are. `read_plain_chat` gives exactly what `openai_chat` makes of them member by member, at a third of
its price, and declines whatever it does not know: an image, a tool, a name it has never heard of, a value out of
range. What is wrong with such a request, and how it is understood, is said in one place only.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gateway.dialects.reading import INT64_MAX
from gateway.messages.chat import ChatRequest, Message, Options, TextPart

_Text = Annotated[str, Meta(min_length=1)]
_Tokens = Annotated[int, Meta(ge=1, le=INT64_MAX)] | UnsetType | None
_Warmth = Annotated[int, Meta(ge=0, le=2)] | Annotated[float, Meta(ge=0, le=2)] | UnsetType | None
_Share = Annotated[int, Meta(ge=0, le=1)] | Annotated[float, Meta(ge=0, le=1)] | UnsetType | None
_Penalty = Annotated[int, Meta(ge=-2, le=2)] | Annotated[float, Meta(ge=-2, le=2)] | UnsetType | None


class _Message(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    role: Literal["system", "developer", "user", "assistant"]
    content: _Text


class _Chat(msgspec.Struct, forbid_unknown_fields=True):
    """A member that is not there is UNSET, so that those that are there can be counted."""

    model: _Text
    messages: Annotated[list[_Message], Meta(min_length=1)]
    stream: bool | UnsetType | None = UNSET
    temperature: _Warmth = UNSET
    top_p: _Share = UNSET
    max_tokens: _Tokens = UNSET
    max_completion_tokens: _Tokens = UNSET
    frequency_penalty: _Penalty = UNSET
    presence_penalty: _Penalty = UNSET
    user: str | UnsetType | None = UNSET


_decode = msgspec.json.Decoder(_Chat).decode
_members = msgspec.structs.astuple
_MEMBERS_OF_MESSAGE = len(_Message.__struct_fields__)
_OPTIONS = _Chat.__struct_fields__[3:]


def read_plain_chat(body: bytes) -> ChatRequest | None:
    """Read a plain chat in OpenAI's dialect; None for any other, and for whatever is wrong."""
    try:
        chat = _decode(body)
    except (ValueError, RecursionError):
        return None
    members = _members(chat)
    # A name that is given twice is not told by the decoder: there are more names then than members. What looks like
    # the end of a name within a text only makes us decline, and so does a name with space behind it.
    count = len(members) - members.count(UNSET) + _MEMBERS_OF_MESSAGE * len(chat.messages)
    if body.count(b'":') != count or b'" ' in body or b'"\n' in body or b'"\t' in body or b'"\r' in body:
        return None
    options = {
        name: value
        for name, value in zip(_OPTIONS, members[3:], strict=True)
        if value is not UNSET and value is not None
    }
    if "max_completion_tokens" in options:
        options["max_tokens"] = options.pop("max_completion_tokens")
    messages = [Message(role=message.role, content=(TextPart(text=message.content),)) for message in chat.messages]
    return ChatRequest(
        model=chat.model, messages=tuple(messages), options=Options(**options), stream=chat.stream is True
    )
