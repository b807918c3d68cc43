"""Ollama's NDJSON of chat and generate (docs/api.md; api/types.go)."""

from typing import Any

from tests.grammar.framing import Report, load_object

DONE_REASONS = {"stop", "length", "load", "unload", "content_filter"}
COUNTS = ("total_duration", "load_duration", "prompt_eval_count", "prompt_eval_duration", "eval_count", "eval_duration")


def check_ollama(stream: bytes, *, generate: bool = False) -> list[str]:
    """Check a stream of NDJSON lines; `generate` says that it is one of /api/generate and not of /api/chat."""
    report = Report()
    try:
        text = stream.decode()
    except UnicodeDecodeError:
        return ["event 0: the stream is not UTF-8"]
    report.expect(text.endswith("\n"), "the last line does not end")
    ended = ""
    for line in text.removesuffix("\n").split("\n"):
        report.expect(not ended, f"a line after {ended}")
        body = load_object(line, report)
        if body is not None and "error" in body:
            report.expect(isinstance(body["error"], str) and body["error"], "error is no text")
            ended = "the error"
        elif body is not None:
            _check_line(body, report, generate=generate)
            ended = "the line with done" if body.get("done") is True else ended
        report.place += 1
    report.expect(ended, "the stream ends without done")
    return report.violations


def _check_line(body: dict[str, Any], report: Report, *, generate: bool) -> None:
    expect = report.expect
    expect(isinstance(body.get("model"), str), "a line without model")
    expect(isinstance(body.get("created_at"), str), "a line without created_at")
    expect(isinstance(body.get("done"), bool), "a line without done")
    if generate:
        expect(isinstance(body.get("response"), str), "a line without response")
        expect(isinstance(body.get("thinking", ""), str), "thinking is no string")
    else:
        _check_message(body.get("message"), report)
    if body.get("done") is True:
        expect(body.get("done_reason") in DONE_REASONS, f"unknown done_reason {body.get('done_reason')!r}")
        for name in COUNTS:
            value = body.get(name, 0)
            expect(type(value) is int and value >= 0, f"{name} is no count")
    else:
        expect("done_reason" not in body, "done_reason before the end")


def _check_message(message: Any, report: Report) -> None:
    expect = report.expect
    if not expect(isinstance(message, dict), "a line without message"):
        return
    expect(message.get("role") == "assistant", "the role is not assistant")
    expect(isinstance(message.get("content"), str), "content is no string")
    expect(isinstance(message.get("thinking", ""), str), "thinking is no string")
    for call in message.get("tool_calls", []):
        function = call.get("function") or {}
        expect(isinstance(function.get("name"), str) and function["name"], "a tool call without name")
        expect(isinstance(function.get("arguments"), dict), "arguments of a tool call are no object")
