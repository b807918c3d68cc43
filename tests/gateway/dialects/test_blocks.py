"""Deltas become blocks, one after another, whatever the order in which they come."""

from collections.abc import Sequence

from gateway.dialects.blocks import BlockSequence, Closed, Grown, Opened
from gateway.messages.chat import ReasoningDelta, TextDelta, ToolCallDelta


def run(*deltas: TextDelta | ReasoningDelta | ToolCallDelta) -> list[str]:
    blocks = BlockSequence()
    told: list[str] = []
    for changes in (*map(blocks.feed, deltas), blocks.finish()):
        for change in changes:
            name = f"{change.block.kind}{change.block.index}"
            if isinstance(change, Opened):
                told.append(f"open {name}")
            elif isinstance(change, Grown):
                told.append(f"{name} {change.text}")
            elif isinstance(change, Closed):
                told.append(f"close {name}")
    return told


def begin(call: int) -> ToolCallDelta:
    return ToolCallDelta(call=call, id=f"c{call}", name="f")


def go_on(call: int, arguments: str) -> ToolCallDelta:
    return ToolCallDelta(call=call, arguments=arguments)


def texts(told: Sequence[str], name: str) -> str:
    return "".join(entry.removeprefix(f"{name} ") for entry in told if entry.startswith(f"{name} "))


def test_what_comes_in_order_is_passed_on_at_once() -> None:
    blocks = BlockSequence()
    assert [type(change) for change in blocks.feed(TextDelta(text="a"))] == [Opened, Grown]
    assert [type(change) for change in blocks.feed(TextDelta(text="b"))] == [Grown]
    assert [type(change) for change in blocks.feed(begin(0))] == [Closed, Opened]
    assert [type(change) for change in blocks.feed(go_on(0, "{"))] == [Grown]


def test_a_call_that_begins_before_the_one_before_it_is_complete_waits() -> None:
    told = run(begin(0), go_on(0, '{"a"'), begin(1), go_on(1, "{}"), go_on(0, ":1}"))
    assert told == [
        "open tool0",
        'tool0 {"a"',
        "tool0 :1}",
        "close tool0",
        "open tool1",
        "tool1 {}",
        "close tool1",
    ]


def test_calls_that_alternate_all_the_way_come_out_whole() -> None:
    told = run(*map(begin, range(3)), *(go_on(call, piece) for piece in ('{"a', '":', "1}") for call in (2, 0, 1)))
    assert [texts(told, f"tool{place}") for place in range(3)] == ['{"a":1}'] * 3
    assert [entry for entry in told if entry.startswith("open")] == ["open tool0", "open tool1", "open tool2"]


def test_a_complete_call_does_not_hold_up_the_next() -> None:
    blocks = BlockSequence()
    for delta in (begin(0), go_on(0, "{}")):
        list(blocks.feed(delta))
    assert [type(change) for change in blocks.feed(begin(1))] == [Closed, Opened]


def test_empty_arguments_are_an_empty_object() -> None:
    assert run(begin(0), TextDelta(text="a")) == [
        "open tool0",
        "tool0 {}",
        "close tool0",
        "open text1",
        "text1 a",
        "close text1",
    ]
    # Some vendors add the empty object only when everything is over.
    assert texts(run(begin(0), begin(1), go_on(1, "{}"), go_on(0, "{}")), "tool0") == "{}"


def test_arguments_cut_short_are_passed_on_as_they_are() -> None:
    assert run(begin(0), go_on(0, '{"a')) == ["open tool0", 'tool0 {"a', "close tool0"]


def test_reasoning_ends_with_its_proof() -> None:
    told = run(ReasoningDelta(text="a"), ReasoningDelta(signature="s"), ReasoningDelta(text="b"), TextDelta(text="c"))
    assert [entry for entry in told if entry.startswith("open")] == ["open reasoning0", "open reasoning1", "open text2"]


def test_nothing_said_opens_nothing() -> None:
    assert run(TextDelta(text=""), ReasoningDelta(text="")) == []
