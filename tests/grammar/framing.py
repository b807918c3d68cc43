"""What all checkers share: the report, and the frames of a stream taken apart."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple


class Event(NamedTuple):
    """One server-sent event: its name ("" if it has none) and its data."""

    name: str
    data: str


class Report:
    """Violations so far, each with the number of the event it was seen at."""

    def __init__(self) -> None:
        self.violations: list[str] = []
        self.place = 0

    def expect(self, holds: object, message: str) -> bool:
        if not holds:
            self.violations.append(f"event {self.place}: {message}")
        return bool(holds)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a key is given twice")
    return dict(pairs)


def load_object(text: str, report: Report) -> dict[str, Any] | None:
    try:
        value = json.loads(text, object_pairs_hook=_unique)
    except ValueError as error:
        report.expect(False, f"data is not JSON: {error}")
        return None
    return value if report.expect(isinstance(value, dict), "data is not an object") else None


def read_events(stream: bytes, report: Report) -> Iterator[Event]:
    """Take a text/event-stream apart; comments are left out, framing mistakes reported."""
    try:
        text = stream.decode()
    except UnicodeDecodeError:
        report.expect(False, "the stream is not UTF-8")
        return
    report.expect(not text or text.endswith("\n\n"), "the last event does not end with a blank line")
    for frame in text.split("\n\n"):
        lines = [line for line in frame.split("\n") if line and not line.startswith(":")]
        if not lines:
            continue
        fields = [line.partition(":")[::2] for line in lines]
        unknown = {name for name, _ in fields} - {"event", "data"}
        report.expect(not unknown, f"fields other than event and data: {sorted(unknown)}")
        values = {name: [value.removeprefix(" ") for key, value in fields if key == name] for name in ("event", "data")}
        report.expect(values["data"], "an event without data")
        yield Event(values["event"][-1] if values["event"] else "", "\n".join(values["data"]))
        report.place += 1


def is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def has_numbers(value: Any, *names: str) -> bool:
    return isinstance(value, dict) and all(type(value.get(name)) is int and value[name] >= 0 for name in names)
