"""Anthropic's Messages ("Streaming Messages"; what `anthropic` and Claude Code refuse)."""

from collections.abc import Callable
from typing import Any

from tests.grammar.framing import Event, Report, has_numbers, is_json, load_object, read_events

STOP_REASONS = {"end_turn", "max_tokens", "stop_sequence", "tool_use", "pause_turn", "refusal"}
BLOCK_DELTAS = {
    "text": {"text_delta", "citations_delta"},
    "thinking": {"thinking_delta", "signature_delta"},
    "redacted_thinking": set(),
    "tool_use": {"input_json_delta"},
}


class _Messages:
    """A stream of Anthropic's Messages."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.begun = self.told = False
        self.ended = ""
        self.open: str | None = None
        self.json = ""
        self.kinds: list[str] = []
        self.unfinished: list[str] = []

    def take(self, event: Event) -> None:
        expect = self.report.expect
        expect(not self.ended, f"an event after {self.ended}")
        data = load_object(event.data, self.report)
        if data is None or not expect(event.name == data.get("type"), "the event's name is not its type"):
            return
        if event.name == "ping":
            return
        if event.name == "error":
            error = data.get("error") or {}
            expect(isinstance(error.get("type"), str) and isinstance(error.get("message"), str), "error without type")
            self.ended = "the error"
            return
        steps: dict[str, Callable[[dict[str, Any]], None]] = {
            "message_start": self._start,
            "content_block_start": self._open_block,
            "content_block_delta": self._grow_block,
            "content_block_stop": self._close_block,
            "message_delta": self._tell,
            "message_stop": self._stop,
        }
        if expect(event.name in steps, f"unknown event {event.name}"):
            expect(self.begun != (event.name == "message_start"), "message_start must come first and once")
            expect(not self.told or event.name == "message_stop", f"{event.name} after message_delta")
            steps[event.name](data)

    def _start(self, data: dict[str, Any]) -> None:
        expect, message = self.report.expect, data.get("message") or {}
        self.begun = True
        expect(message.get("type") == "message" and message.get("role") == "assistant", "message_start: type and role")
        expect(isinstance(message.get("id"), str) and isinstance(message.get("model"), str), "message_start: id, model")
        expect(message.get("content") == [], "message_start: content is not empty")
        expect(message.get("stop_reason", 0) is None, "message_start: stop_reason is not null")
        expect(has_numbers(message.get("usage"), "input_tokens", "output_tokens"), "message_start: usage")

    def _open_block(self, data: dict[str, Any]) -> None:
        expect, block = self.report.expect, data.get("content_block") or {}
        expect(self.open is None, "a block begins inside another")
        expect(data.get("index") == len(self.kinds), f"block {data.get('index')} begins out of order")
        kind = str(block.get("type"))
        expect(kind in BLOCK_DELTAS, f"unknown block {kind}")
        if kind == "tool_use":
            expect(
                block.get("id") and block.get("name") and block.get("input") == {}, "tool_use: id, name, empty input"
            )
        elif kind == "redacted_thinking":
            expect(block.get("data"), "redacted_thinking without data")
        else:
            expect(block.get(kind) == "", f"{kind} begins without being empty")
        self.open, self.json = kind, ""
        self.kinds.append(kind)

    def _grow_block(self, data: dict[str, Any]) -> None:
        expect, delta = self.report.expect, data.get("delta") or {}
        if not expect(self.open is not None, "a delta outside a block"):
            return
        expect(data.get("index") == len(self.kinds) - 1, "a delta for a block that is not open")
        kind = delta.get("type")
        expect(kind in BLOCK_DELTAS.get(str(self.open), ()), f"{kind} in a {self.open} block")
        names = {"input_json_delta": "partial_json", "citations_delta": "citation"}
        value = delta.get(names.get(str(kind), str(kind).removesuffix("_delta")))
        expect(isinstance(value, str) or kind == "citations_delta", f"{kind} without its text")
        self.json += value if kind == "input_json_delta" and isinstance(value, str) else ""

    def _close_block(self, data: dict[str, Any]) -> None:
        expect = self.report.expect
        expect(
            self.open is not None and data.get("index") == len(self.kinds) - 1, "the end of a block that is not open"
        )
        if self.open == "tool_use" and self.json and not is_json(self.json):
            self.unfinished.append(self.json)
        self.open = None

    def _tell(self, data: dict[str, Any]) -> None:
        expect = self.report.expect
        reason = (data.get("delta") or {}).get("stop_reason")
        expect(self.open is None, "message_delta inside a block")
        expect(reason in STOP_REASONS, f"unknown stop reason {reason!r}")
        expect(has_numbers(data.get("usage"), "output_tokens"), "message_delta: usage")
        expect(reason != "tool_use" or "tool_use" in self.kinds, "stop reason tool_use without a call")
        expect(reason != "end_turn" or "tool_use" not in self.kinds, "a call, but stop reason end_turn")
        expect(reason in ("max_tokens", "refusal") or not self.unfinished, f"input is not JSON: {self.unfinished}")
        self.told = True

    def _stop(self, data: dict[str, Any]) -> None:
        self.report.expect(self.told, "message_stop without message_delta")
        self.report.expect(set(data) == {"type"}, "message_stop carries more than its type")
        self.ended = "message_stop"


def check_anthropic(stream: bytes) -> list[str]:
    """Check a stream of Anthropic's Messages."""
    report = Report()
    messages = _Messages(report)
    for event in read_events(stream, report):
        messages.take(event)
    report.expect(messages.ended, "the stream does not end with message_stop")
    return report.violations
