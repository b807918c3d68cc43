"""OpenAI's Responses (API reference, "Streaming events"; what `openai` and Codex refuse)."""

from collections.abc import Callable
from typing import Any

from tests.grammar.framing import Event, Report, has_numbers, is_json, load_object, read_events

ENDS = {"response.completed": "completed", "response.incomplete": "incomplete", "response.failed": "failed"}
PARTS = {"message": {"output_text": "text", "refusal": "refusal"}, "reasoning": {"summary_text": "text"}}
CALLS = {"function_call": "arguments", "custom_tool_call": "input"}
ITEMS = {"message", "reasoning", *CALLS}


class _Item:
    """One output item while it is open."""

    def __init__(self, item: dict[str, Any]) -> None:
        self.kind = str(item.get("type"))
        self.id = item.get("id")
        self.item = item
        self.part: str | None = None  # the type of the part that is open
        self.text = ""
        self.parts: list[str] = []
        self.told = False  # its arguments have been told in full


class _Response:
    """A stream of one response."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.number = 0
        self.id: Any = None
        self.ended = ""
        self.open: _Item | None = None
        self.done: list[dict[str, Any]] = []
        self.in_progress = False

    def take(self, event: Event) -> None:
        expect = self.report.expect
        expect(not self.ended, f"an event after {self.ended}")
        if not expect(event.data != "[DONE]", "[DONE] is not part of this dialect"):
            return
        data = load_object(event.data, self.report)
        if data is None or not expect(event.name == data.get("type"), "the event's name is not its type"):
            return
        expect(data.get("sequence_number") == self.number, f"sequence_number {data.get('sequence_number')}")
        self.number += 1
        if event.name == "error":
            expect(isinstance(data.get("message"), str) and "code" in data and "param" in data, "error: message, code")
            self.ended = "the error"
        elif event.name in ("response.created", "response.in_progress") or event.name in ENDS:
            self._take_whole(event.name, data.get("response") or {})
        else:
            expect(self.in_progress, f"{event.name} before response.in_progress")
            self._take_item_event(event.name.removeprefix("response."), data)

    def _take_whole(self, name: str, response: dict[str, Any]) -> None:
        expect = self.report.expect
        expect(response.get("object") == "response", f"{name}: object is not response")
        expect(self.id in (None, response.get("id")), "the id of the response changes")
        first = self.id is None
        self.id = response.get("id")
        expect(first == (name == "response.created"), "response.created must come first and once")
        if name not in ENDS:
            expect(response.get("status") == "in_progress" and response.get("output") == [], f"{name}: not fresh")
            self.in_progress = self.in_progress or name == "response.in_progress"
            return
        self.ended = name
        expect(self.open is None, f"{name} with an item open")
        expect(response.get("status") == ENDS[name], f"{name}: status is {response.get('status')}")
        expect(response.get("output") == self.done, f"{name}: output is not what the items were")
        usage = response.get("usage")
        names = ("input_tokens", "output_tokens", "total_tokens")
        expect(usage is None or has_numbers(usage, *names), f"{name}: usage")
        expect(name != "response.incomplete" or response.get("incomplete_details"), "incomplete without details")

    def _take_item_event(self, name: str, data: dict[str, Any]) -> None:
        expect = self.report.expect
        expect(data.get("output_index") == len(self.done), f"{name}: output_index {data.get('output_index')}")
        if name == "output_item.added":
            expect(self.open is None, "an item begins inside another")
            self.open = _Item(data.get("item") or {})
            expect(self.open.kind in ITEMS and self.open.id, f"an item of type {self.open.kind}")
            return
        item = self.open
        if item is None:
            expect(False, f"{name} outside an item")
            return
        if name == "output_item.done":
            self._end_item(item, data.get("item") or {})
            return
        expect(data.get("item_id") == item.id, f"{name}: item_id is not that of the open item")
        steps: dict[str, Callable[[_Item, dict[str, Any]], None]] = {
            "content_part.added": self._open_part,
            "reasoning_summary_part.added": self._open_part,
            "output_text.delta": self._grow,
            "refusal.delta": self._grow,
            "reasoning_summary_text.delta": self._grow,
            "function_call_arguments.delta": self._grow,
            "custom_tool_call_input.delta": self._grow,
            "output_text.done": self._tell,
            "refusal.done": self._tell,
            "reasoning_summary_text.done": self._tell,
            "function_call_arguments.done": self._tell,
            "custom_tool_call_input.done": self._tell,
            "content_part.done": self._close_part,
            "reasoning_summary_part.done": self._close_part,
        }
        if expect(name in steps, f"unknown event response.{name}"):
            steps[name](item, data)

    def _open_part(self, item: _Item, data: dict[str, Any]) -> None:
        expect, part = self.report.expect, data.get("part") or {}
        kind = str(part.get("type"))
        expect(item.part is None, "a part begins inside another")
        expect(kind in PARTS.get(item.kind, {}), f"a part {kind} in an item {item.kind}")
        place = data.get("summary_index" if item.kind == "reasoning" else "content_index")
        expect(place == len(item.parts), f"part {place} begins out of order")
        item.part, item.text, item.told = kind, "", False

    def _grow(self, item: _Item, data: dict[str, Any]) -> None:
        expect, delta = self.report.expect, data.get("delta")
        expect(item.part is not None or item.kind in CALLS, "a delta outside a part")
        expect(not item.told, "a delta after the text was told in full")
        if expect(isinstance(delta, str), "delta is no string"):
            item.text += str(delta)

    def _tell(self, item: _Item, data: dict[str, Any]) -> None:
        expect = self.report.expect
        whole = next((data[name] for name in ("text", "refusal", *CALLS.values()) if name in data), None)
        expect(whole == item.text, f"told {whole!r}, but the deltas were {item.text!r}")
        item.told = True

    def _close_part(self, item: _Item, data: dict[str, Any]) -> None:
        expect, part = self.report.expect, data.get("part") or {}
        expect(item.part is not None and item.told, "the end of a part that was not told in full")
        expect(part.get("type") == item.part, "a part ends as another type")
        expect(part.get(PARTS.get(item.kind, {}).get(str(item.part), "")) == item.text, "a part ends with another text")
        item.parts.append(item.text)
        item.part = None

    def _end_item(self, item: _Item, final: dict[str, Any]) -> None:
        expect = self.report.expect
        expect(item.part is None, "an item ends with a part open")
        expect((final.get("id"), final.get("type")) == (item.id, item.kind), "an item ends as another one")
        if item.kind in CALLS:
            same = all(final.get(name) == item.item.get(name) and final.get(name) for name in ("call_id", "name"))
            expect(same, "a call without call_id and name, or they change")
            expect(item.told and final.get(CALLS[item.kind]) == item.text, "a call ends with other arguments")
            whole = item.kind != "function_call" or final.get("status") == "incomplete" or is_json(item.text)
            expect(whole, f"arguments are not JSON: {item.text!r}")
        name = "summary" if item.kind == "reasoning" else "content"
        texts = [part.get("text", part.get("refusal")) for part in final.get(name) or []]
        expect(texts == item.parts, "an item ends with other parts")
        self.done.append(final)
        self.open = None


def check_openai_responses(stream: bytes) -> list[str]:
    """Check a stream of Responses events."""
    report = Report()
    response = _Response(report)
    for event in read_events(stream, report):
        response.take(event)
    report.expect(response.ended, "the stream ends without response.completed, .incomplete or .failed")
    return report.violations
