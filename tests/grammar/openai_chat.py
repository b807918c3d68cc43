"""OpenAI's chat completion chunks (API reference, "chat.completion.chunk"; what `openai` and LangChain refuse)."""

from typing import Any

from tests.grammar.framing import Event, Report, has_numbers, is_json, load_object, read_events

FINISH_REASONS = {"stop", "length", "tool_calls", "content_filter", "function_call"}


class _Calls:
    """The tool calls of one answer: indices from 0 on, id and name first, arguments that end as JSON."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.arguments: dict[int, str] = {}
        self.ids: set[str] = set()
        self.free: set[int] = set()  # calls of tools that take free text

    def take(self, call: Any) -> None:
        expect = self.report.expect
        index = call.get("index") if isinstance(call, dict) else None
        if not expect(type(index) is int, "a tool call delta without index"):
            return
        function = call.get("function") or call.get("custom") or {}
        if index not in self.arguments:
            expect(index == len(self.arguments), f"tool call {index} begins out of order")
            expect(isinstance(call.get("id"), str) and call["id"], f"tool call {index} begins without id")
            expect(call.get("id") not in self.ids, f"tool call {index} has the id of another")
            expect(call.get("type") in ("function", "custom"), f"tool call {index} begins without type")
            if call.get("type") == "custom":
                self.free.add(index)
            expect(function.get("name"), f"tool call {index} begins without name")
            self.ids.add(str(call.get("id")))
        piece = function.get("input" if index in self.free else "arguments")
        expect(isinstance(piece, str), f"arguments of tool call {index} are no string")
        self.arguments[index] = self.arguments.get(index, "") + (piece if isinstance(piece, str) else "")

    def end(self, reason: str) -> None:
        self.report.expect(reason != "tool_calls" or self.arguments, "finish reason tool_calls without a call")
        for index, arguments in self.arguments.items():
            whole = index in self.free or reason in ("length", "content_filter") or is_json(arguments)
            self.report.expect(whole, f"arguments of tool call {index} are not JSON: {arguments!r}")


class _Answer:
    """One choice of a chat completion stream."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.calls = _Calls(report)
        self.reason: str | None = None
        self.begun = False

    def take(self, choice: dict[str, Any]) -> None:
        expect = self.report.expect
        expect("finish_reason" in choice, "a choice without finish_reason")
        delta = choice.get("delta")
        if not expect(isinstance(delta, dict), "a choice without delta"):
            return
        expect(self.reason is None, "a chunk after the finish reason of its answer")
        if not self.begun:
            expect(delta.get("role") == "assistant", "the first delta of an answer has no role")
        else:
            expect(delta.get("role") in (None, "assistant"), "the role changes")
        self.begun = True
        content = delta.get("content")
        expect(content is None or isinstance(content, str), "content is no string")
        calls = delta.get("tool_calls", [])
        expect(isinstance(calls, list), "tool_calls is no list")
        for call in calls if isinstance(calls, list) else []:
            self.calls.take(call)
        reason = choice.get("finish_reason")
        if reason is not None:
            expect(reason in FINISH_REASONS, f"unknown finish reason {reason!r}")
            self.reason = str(reason)
            self.calls.end(self.reason)


class _Chunks:
    """A stream of chat completion chunks."""

    def __init__(self, report: Report, *, include_usage: bool) -> None:
        self.report = report
        self.include_usage = include_usage
        self.answers: dict[int, _Answer] = {}
        self.same: tuple[Any, ...] | None = None
        self.ended = ""
        self.has_usage = False

    def take(self, event: Event) -> None:
        expect = self.report.expect
        expect(not self.ended, f"an event after {self.ended}")
        expect(not event.name, f"a named event: {event.name}")
        if event.data == "[DONE]":
            self.ended = "[DONE]"
            return
        chunk = load_object(event.data, self.report)
        if chunk is None:
            return
        if "error" in chunk:
            _check_error(chunk["error"], self.report)
            self.ended = "the error"
            return
        expect(chunk.get("object") == "chat.completion.chunk", "object is not chat.completion.chunk")
        same = tuple(chunk.get(name) for name in ("id", "created", "model"))
        expect(isinstance(same[0], str) and type(same[1]) is int and isinstance(same[2], str), "id, created, model")
        expect(self.same in (None, same), "id, created or model change within the stream")
        self.same = same
        self._take_choices(chunk)

    def _take_choices(self, chunk: dict[str, Any]) -> None:
        expect = self.report.expect
        choices = chunk.get("choices")
        if not expect(isinstance(choices, list), "choices is no list"):
            return
        expect(not self.has_usage, "a chunk after the usage")
        if choices:
            expect(chunk.get("usage") is None, "usage in a chunk with choices")
        else:
            expect(self.include_usage, "a chunk without choices that nobody asked for")
            expect(has_numbers(chunk.get("usage"), "prompt_tokens", "completion_tokens", "total_tokens"), "usage")
            expect(self.answers and all(a.reason for a in self.answers.values()), "usage before the finish reasons")
            self.has_usage = True
        for choice in choices:
            if expect(type(choice.get("index")) is int, "a choice without index"):
                self.answers.setdefault(choice["index"], _Answer(self.report)).take(choice)

    def end(self) -> None:
        expect = self.report.expect
        if self.ended == "the error":
            return
        expect(self.ended, "the stream does not end with [DONE]")
        expect(self.answers, "the stream holds no answer")
        for index, answer in self.answers.items():
            expect(answer.reason, f"answer {index} has no finish reason")
        expect(self.has_usage or not self.include_usage, "usage was asked for and is missing")


def _check_error(error: Any, report: Report) -> None:
    told = isinstance(error, dict) and isinstance(error.get("message"), str) and isinstance(error.get("type"), str)
    report.expect(told, "an error without message and type")
    report.expect(isinstance(error, dict) and isinstance(error.get("code"), str | None), "code is no string")


def check_openai_chat(stream: bytes, *, include_usage: bool = False) -> list[str]:
    """Check a stream of chat completion chunks; `include_usage` says whether the client asked for usage."""
    report = Report()
    chunks = _Chunks(report, include_usage=include_usage)
    for event in read_events(stream, report):
        chunks.take(event)
    chunks.end()
    return report.violations
