"""What holds for every vendor: each chats with a fake of itself over real HTTP, whole and streamed."""

import json
from typing import get_args

import pytest

from gateway.errors import (
    CredentialsRefused,
    InvalidRequest,
    ModelNotFound,
    ProviderError,
    UnusableAnswer,
)
from gateway.messages.chat import (
    ChatRequest,
    ImagePart,
    Message,
    Options,
    ResponseFormat,
    TextPart,
    Tool,
    ToolChoice,
    Usage,
)
from gateway.messages.embeddings import EmbeddingsRequest
from gateway.providers import VENDORS
from gateway.providers.base import Chat, Embeddings, Models, Vendor
from gateway.settings import Kind
from tests.gateway.providers.exchange import FAKES, PIXEL, WEATHER, decode, heard, line, result_of, user

pytestmark = pytest.mark.anyio
every_kind = pytest.mark.parametrize("kind", FAKES)

HTML = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"


def test_every_kind_that_the_settings_know_has_a_vendor():
    assert set(VENDORS) == set(get_args(Kind))
    for vendor in VENDORS.values():
        assert isinstance(vendor, Vendor)
        assert isinstance(vendor, Chat)
        assert isinstance(vendor, Models)
    without = {kind for kind, vendor in VENDORS.items() if not isinstance(vendor, Embeddings)}
    assert without == {"anthropic"}


def test_only_vendors_in_the_cloud_need_a_key():
    assert {kind for kind, vendor in VENDORS.items() if vendor.needs_key} == {"openai", "anthropic", "gemini"}
    for vendor in VENDORS.values():
        assert not any("authorization" in name or "key" in name for name, _ in vendor.credential_headers(""))


@every_kind
async def test_a_chat_is_answered_whole(kind: Kind):
    async with line(kind) as to:
        reply = await to.ask(user("zażółć gęślą jaźń 🦆"))
    (choice,) = reply.choices
    assert choice.message.text == "You said: zażółć gęślą jaźń 🦆"
    assert choice.finish_reason == "stop"
    assert reply.model
    assert reply.usage is not None
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (11, 7)
    assert to.warnings == []


@every_kind
async def test_a_stream_says_the_same_as_a_whole_answer(kind: Kind):
    async with line(kind) as to:
        reply = await to.ask(user("one two three"))
        whole = heard(await to.listen(user("one two three")))
    assert whole.text == reply.choices[0].message.text
    assert whole.finish_reason == reply.choices[0].finish_reason
    assert whole.started is not None
    assert whole.started.model == reply.model
    assert whole.started.id == reply.id
    assert isinstance(whole.usage, Usage)
    assert whole.usage == reply.usage


@every_kind
async def test_tools_make_a_round_trip_whole(kind: Kind):
    async with line(kind) as to:
        asked = await to.ask(user("weather?"), tools=(WEATHER,))
        (call,) = asked.choices[0].message.tool_calls
        assert asked.choices[0].finish_reason == "tool_calls"
        assert (call.name, json.loads(call.arguments)) == ("weather", {"city": "Łódź"})
        told = await to.ask(user("weather?"), asked.choices[0].message, result_of(call, "rain, 12°C"), tools=(WEATHER,))
    assert told.choices[0].message.text == "The tool said: rain, 12°C"


@every_kind
async def test_tools_make_a_round_trip_streamed(kind: Kind):
    async with line(kind) as to:
        asked = heard(await to.listen(user("weather?"), tools=(WEATHER,)))
        (call,) = asked.calls
        assert asked.finish_reason == "tool_calls"
        assert (call.name, json.loads(call.arguments)) == ("weather", {"city": "Łódź"})
        told = heard(await to.listen(user("weather?"), asked.message, result_of(call, "rain"), tools=(WEATHER,)))
    assert told.text == "The tool said: rain"


@every_kind
async def test_a_tool_without_parameters_is_called_with_an_empty_object(kind: Kind):
    async with line(kind) as to:
        whole = await to.ask(user("now"), tools=(Tool(name="clock"),))
        streamed = heard(await to.listen(user("now"), tools=(Tool(name="clock"),)))
    assert whole.choices[0].message.tool_calls[0].arguments == "{}"
    assert streamed.calls[0].arguments == "{}"


@every_kind
async def test_tools_can_be_forbidden(kind: Kind):
    async with line(kind) as to:
        reply = await to.ask(user("hi"), tools=(WEATHER,), tool_choice=ToolChoice(mode="none"))
    assert reply.choices[0].message.text == "You said: hi"


@every_kind
async def test_a_tool_can_be_named(kind: Kind):
    async with line(kind) as to:
        reply = await to.ask(user("hi"), tools=(WEATHER,), tool_choice=ToolChoice(mode="function", name="weather"))
    assert reply.choices[0].message.tool_calls[0].name == "weather"


@every_kind
async def test_an_image_is_seen(kind: Kind):
    async with line(kind) as to:
        reply = await to.ask(user("look", ImagePart(data=PIXEL, media_type="image/png")))
    assert reply.choices[0].message.text == "You said: look [1 images]"
    assert PIXEL.encode() in to.fake.last.raw


@every_kind
async def test_a_schema_is_filled(kind: Kind):
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    wanted = ResponseFormat(kind="json_schema", name="place", schema=schema, strict=True)
    async with line(kind) as to:
        reply = await to.ask(user("where?"), response_format=wanted)
    assert json.loads(reply.choices[0].message.text) == {"city": "Łódź"}


@every_kind
async def test_a_system_prompt_and_options_are_taken(kind: Kind):
    system = Message(role="system", content=(TextPart(text="be brief"),))
    developer = Message(role="developer", content=(TextPart(text="be kind"),))
    async with line(kind) as to:
        reply = await to.ask(system, developer, user("hi"), temperature=0.5, top_p=0.9, max_tokens=99, stop=("END",))
    assert reply.choices[0].message.text == "You said: hi"
    assert to.warnings == []
    sent = to.fake.last.raw.decode()
    assert all(word in sent for word in ("be brief", "be kind", "0.5", "0.9", "99", "END"))


@every_kind
async def test_how_the_bytes_of_a_stream_are_cut_makes_no_difference(kind: Kind):
    thinks = {"reasoning_effort": "low"} if kind != "openai" else {}
    async with line(kind) as to:
        recordings = [
            await to.record(user("zażółć 🦆"), **thinks),
            await to.record(user("weather?"), tools=(WEATHER,)),
        ]
    for recorded in recordings:
        expected = decode(to.vendor, [recorded])
        assert decode(to.vendor, [bytes([byte]) for byte in recorded]) == expected
        for cut in range(1, len(recorded)):
            assert decode(to.vendor, [recorded[:cut], recorded[cut:]]) == expected
        crlf = recorded.replace(b"\n", b"\r\n")
        assert decode(to.vendor, [bytes([byte]) for byte in crlf]) == expected


@every_kind
async def test_a_stream_cut_short_is_an_error(kind: Kind):
    async with line(kind) as to:
        to.fake.cut_after = 3
        with pytest.raises(UnusableAnswer):
            await to.listen(user("one two three four five"))
        to.fake.cut_after = 0
        with pytest.raises(UnusableAnswer):
            await to.listen(user("one"))


@every_kind
async def test_what_came_before_a_cut_is_given(kind: Kind):
    async with line(kind) as to:
        to.fake.cut_after = 5
        decoder = to.vendor.chat_events()
        events = decoder.feed(await to.record(user("one two three four five six seven")))
    assert heard(events).text.startswith("You said: one"[:9])
    assert heard(events).finish_reason is None


@every_kind
async def test_an_unknown_model_is_told_from_other_errors(kind: Kind):
    async with line(kind, model="missing") as to:
        with pytest.raises(ModelNotFound) as raised:
            await to.ask(user("hi"))
    assert "missing" in raised.value.message


@every_kind
async def test_refused_credentials_are_ours_to_mend_and_never_shown(kind: Kind):
    async with line(kind) as to:
        to.key = "sk-wrong-secret-9876543210"
        with pytest.raises(CredentialsRefused) as raised:
            await to.ask(user("hi"))
    assert "wrong-secret" not in str(raised.value)


@every_kind
@pytest.mark.parametrize("status", [400, 404, 413, 418, 429, 500, 503, 529])
@pytest.mark.parametrize("body", [HTML, b"", b"null", b"[]", b"{}", b'"oops"', b'{"error": null}', b'{"error": {}}'])
def test_an_error_without_a_form_keeps_its_status(kind: Kind, status: int, body: bytes):
    error = VENDORS[kind].explain_error(status, {}, body)
    assert isinstance(error, ProviderError)
    assert error.status == status
    assert error.message
    assert "<" not in error.message


@every_kind
async def test_more_than_one_answer_is_given_or_refused_by_name(kind: Kind):
    chat = ChatRequest(model="m", messages=(user("hi"),), options=Options(n=2))
    vendor = VENDORS[kind]
    assert isinstance(vendor, Chat)
    if kind in {"openai", "openai-compatible", "gemini"}:
        assert b"2" in vendor.chat_request(chat).body
    else:
        with pytest.raises(InvalidRequest, match=r"^n:") as raised:
            vendor.chat_request(chat)
        assert raised.value.details[0].field == "n"


@every_kind
async def test_an_unknown_option_is_passed_on_or_named(kind: Kind):
    async with line(kind) as to:
        await to.ask(user("hi"), extra={"flux_capacity": 1.21})
    if kind in {"openai-compatible", "lmstudio"}:
        assert to.fake.last.body["flux_capacity"] == 1.21
    else:
        assert b"flux" not in to.fake.last.raw
        assert to.warnings == [f"flux_capacity: not known to {kind}, left out"]


@every_kind
async def test_an_answer_that_is_no_answer_is_unusable(kind: Kind):
    vendor = VENDORS[kind]
    assert isinstance(vendor, Chat)
    for body in (HTML, b"", b"{}", b"[]", b"null", b"17", b'{"choices": []}', b"{" * 5000, b"\xff\xfe"):
        with pytest.raises(UnusableAnswer):
            vendor.chat_reply(body)


@pytest.mark.parametrize("kind", [kind for kind in FAKES if kind != "anthropic"])
async def test_texts_are_embedded_in_order(kind: Kind):
    async with line(kind) as to:
        vendor = VENDORS[kind]
        assert isinstance(vendor, Embeddings)
        request = vendor.embeddings_request(EmbeddingsRequest(model="e", input=("a", "b", "a"), dimensions=6))
        reply = vendor.embeddings_reply((await to.send(request)).content)
    assert [len(vector) for vector in reply.vectors] == [6, 6, 6]
    assert reply.vectors[0] == reply.vectors[2] != reply.vectors[1]


@every_kind
async def test_all_models_are_listed_over_all_pages(kind: Kind):
    async with line(kind) as to:
        vendor = VENDORS[kind]
        assert isinstance(vendor, Models)
        found: list[str] = []
        page: str | None = None
        while True:
            models, page = vendor.models_reply((await to.send(vendor.models_request(page))).content)
            found += [model.id for model in models]
            if page is None:
                break
    assert found == list(to.fake.models)
