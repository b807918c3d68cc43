"""`POST /proxy` and `/proxy/stream`: a chat in few words, answered as OpenAI does (API.md 3.5)."""

from typing import Any

from gateway.dialects import errors, openai_chat, sse
from gateway.dialects.base import Head, StreamEncoder
from gateway.dialects.errors import Failure
from gateway.dialects.openai_chat import ParsedChat
from gateway.dialects.openai_messages import read_messages
from gateway.dialects.openai_options import read_options
from gateway.dialects.reading import Fields, open_body
from gateway.messages.chat import ChatReply, ChatRequest

STREAM_TYPE = sse.STREAM_TYPE
KEEP_ALIVE: bytes | None = sse.KEEP_ALIVE

ROLES = ("system", "user", "assistant")


def parse(body: bytes, *, stream: bool = False) -> ParsedChat:
    """Read a request; `InvalidRequest` naming every field that is wrong."""
    fields = open_body(body)
    messages = read_messages(fields)
    _check_roles(fields)
    if messages and messages[-1].role == "assistant":
        fields.complain(f"messages[{len(messages) - 1}].role", "the last message must not be the assistant's")
    chat = ChatRequest(
        model=fields.text("model", required=True, empty=False) or "",
        messages=messages,
        options=read_options(fields, ("model", "messages", "stream")),
        stream=stream,
    )
    fields.check()
    return ParsedChat(chat=chat, warnings=fields.warnings())


def _check_roles(fields: Fields) -> None:
    entries = fields.get("messages")
    for place, entry in enumerate(entries if isinstance(entries, list) else ()):
        role = entry.get("role") if isinstance(entry, dict) else None
        if role in ("developer", "tool"):
            fields.complain(f"messages[{place}].role", f"must be one of {', '.join(ROLES)}")


def write_reply(parsed: ParsedChat, reply: ChatReply, head: Head) -> dict[str, Any]:
    """Write a whole answer as OpenAI does."""
    return openai_chat.write_reply(parsed, reply, head)


def events(parsed: ParsedChat, head: Head) -> StreamEncoder:
    """Give a fresh encoder for one stream of OpenAI's chunks."""
    return _Encoder(openai_chat.events(parsed, head))


def error_body(failure: Failure) -> dict[str, Any]:
    """Write an error."""
    return errors.plain(failure)


class _Encoder:
    """OpenAI's chunks, with an error event of our own shape."""

    def __init__(self, chunks: StreamEncoder) -> None:
        self.encode = chunks.encode
        self.finish = chunks.finish

    def fail(self, failure: Failure) -> list[bytes]:
        """Write an error as the last event."""
        return [sse.data(errors.plain(failure))]
