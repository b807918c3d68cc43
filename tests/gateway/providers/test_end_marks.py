"""Where a stream ends: at the end mark of its wire format, which is told at once."""

import pytest

from gateway.errors import UnusableAnswer
from gateway.messages.chat import Usage
from gateway.providers import VENDORS
from gateway.providers.base import Chat
from gateway.settings import Kind
from tests.gateway.providers.exchange import decode, heard, line, user

pytestmark = pytest.mark.anyio

END_MARKS: dict[Kind, tuple[bytes, bytes]] = {
    "openai": (b"data: [DONE]\n\n", b'data: {"error": {"message": "late"}}\n\n'),
    "openai-compatible": (b"data: [DONE]\n\n", b'data: {"error": {"message": "late"}}\n\n'),
    "lmstudio": (b"data: [DONE]\n\n", b'data: {"error": {"message": "late"}}\n\n'),
    "anthropic": (b"event: message_stop\n", b'event: error\ndata: {"type": "error", "error": {"message": "late"}}\n\n'),
    "ollama": (b'"done": true', b'{"error": "late"}\n'),
}


@pytest.mark.parametrize("kind", END_MARKS)
async def test_the_end_mark_ends_a_stream_and_nothing_is_read_after_it(kind: Kind):
    mark, more = END_MARKS[kind]
    async with line(kind) as to:
        recorded = await to.record(user("one two"))
    start = recorded.rindex(mark)
    decoder = to.vendor.chat_events()
    events = list(decoder.feed(recorded[:start]))
    assert not decoder.ended
    events += decoder.feed(recorded[start:] + more)
    assert decoder.ended
    assert decoder.feed(more) == []
    assert [*events, *decoder.finish()] == decode(to.vendor, [recorded])


async def test_geminis_streams_have_no_end_mark_so_that_late_token_counts_are_read():
    async with line("gemini") as to:
        recorded = await to.record(user("one two"))
    decoder = to.vendor.chat_events()
    events = list(decoder.feed(recorded))
    assert heard(events).finish_reason == "stop"
    assert not decoder.ended
    late = decoder.feed(b'data: {"usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 4}}\n\n')
    assert heard([*events, *late, *decoder.finish()]).usage == Usage(prompt_tokens=3, completion_tokens=4)


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
async def test_an_end_mark_without_an_answer_is_no_end(kind: Kind):
    bare = {"openai": b"data: [DONE]\n\n", "anthropic": b'event: message_stop\ndata: {"type":"message_stop"}\n\n'}
    vendor = VENDORS[kind]
    assert isinstance(vendor, Chat)
    with pytest.raises(UnusableAnswer):
        decode(vendor, [bare[kind]])
