"""What a box tells, put together: nothing is lost, everything asked for has a verdict."""

from typing import Any

import msgspec
import pytest

from executor.runs import MAX_STREAM_BYTES, Began, Event, Output, Policy, Run, Skipped, Truncated, Usage, Verdict
from executor.transcript import Transcript, explain

POLICY = Policy(image="base", reference="b", timeout_seconds=2.5, memory_mb=99, processes=7)


def run(*inputs: bytes) -> Run:
    return Run(
        id="exec_1",
        user="ann",
        code="1",
        policy=POLICY,
        inputs=[msgspec.Raw(text) for text in inputs] if inputs else None,
    )


def transcript(events: list[Event], *inputs: bytes) -> Transcript:
    taken = Transcript(run(*inputs))
    for event in events:
        taken.take(event)
    return taken


def test_bytes_are_joined_before_they_are_read_as_text() -> None:
    events: list[Event] = [Began(), Output("stdout", b"\xc3"), Output("stdout", b"\xa9\xff"), Verdict(status="ok")]
    whole, parts = transcript(events).finish()
    assert (whole.stdout, whole.stderr, parts) == ("é\ufffd", "", None)


def test_a_batch_keeps_the_output_of_its_inputs_apart_and_what_came_before_them() -> None:
    events: list[Event] = [
        Output("stdout", b"load"),
        Began(0),
        Output("stdout", b"one"),
        Verdict(status="ok", index=0, usage=Usage(1.0, 2.0, 3.0)),
        Began(1),
        Output("stderr", b"two"),
        Verdict(status="timeout", index=1, usage=Usage(1.5, None, 5.0)),
    ]
    whole, parts = transcript(events, b"1", b"2").finish()
    assert parts is not None
    assert [(part.stdout, part.stderr) for part in parts] == [("one", ""), ("", "two")]
    assert (whole.stdout, whole.stderr) == ("loadone", "two")
    assert whole.verdict.status == "timeout"
    assert whole.verdict.usage == Usage(2.5, 2.0, 5.0)


def test_inputs_that_were_never_begun_have_an_answer_each() -> None:
    taken = transcript([Began(0), Verdict(status="ok", index=0), Began(1)], b"1", b"2", b"3")
    assert not taken.complete
    taken.end_with("cancelled")
    whole, parts = taken.finish()
    assert parts is not None
    assert [part.verdict.status for part in parts] == ["ok", "cancelled", "cancelled"]
    assert whole.verdict.status == "cancelled"


def test_the_output_of_a_whole_batch_is_cut_as_that_of_any_run_and_what_is_left_out_is_counted() -> None:
    half = b"x" * (MAX_STREAM_BYTES // 2 + 1)
    events: list[Event] = []
    for index in range(2):
        events += [
            Began(index),
            Output("stdout", half),
            Verdict(status="ok", index=index, truncated=Truncated(stdout=5)),
        ]
    whole, parts = transcript(events, b"1", b"2").finish()
    assert parts is not None
    assert [len(part.stdout) for part in parts] == [len(half)] * 2
    assert len(whole.stdout) == MAX_STREAM_BYTES
    assert whole.verdict.truncated.stdout == 5 + 5 + 2


def test_files_that_a_batch_does_not_return_are_told_of_the_whole() -> None:
    left = Truncated(files=["big"], skipped=[Skipped("link", "is a link")])
    whole, _ = transcript([Began(0), Verdict(status="ok", index=0, truncated=left)], b"1").finish()
    assert (whole.verdict.truncated.files, whole.verdict.truncated.skipped) == (left.files, left.skipped)


def failed_batch(first: Verdict) -> Verdict:
    events: list[Event] = [Began(0), Verdict(status="ok", index=0), Began(1), first]
    whole, _ = transcript(events, b"1", b"2").finish()
    return whole.verdict


def test_a_batch_tells_the_error_of_its_first_failure_and_how_many_there_are() -> None:
    told = {"type": "ValueError", "message": "too small", "line": 3, "traceback": "…"}
    verdict = failed_batch(Verdict(status="error", index=1, error=told))
    message = "1 of 2 inputs were not ok, see results. The first: too small"
    assert verdict.error == told | {"message": message}


def test_a_batch_tells_the_limit_of_its_first_failure_as_a_run_does() -> None:
    error = failed_batch(Verdict(status="timeout", index=1)).error
    assert error is not None
    assert error["type"] == "timeout"
    assert "2.5 s; raise timeout_seconds" in error["message"]
    assert "1 of 2" in error["message"]


def test_a_batch_tells_the_exit_code_or_the_signal_of_its_first_failure() -> None:
    assert failed_batch(Verdict(status="exit", index=1, exit_code=3)).exit_code == 3
    assert failed_batch(Verdict(status="signal", index=1, signal="SIGSEGV")).signal == "SIGSEGV"


@pytest.mark.parametrize("status", ["timeout", "out_of_memory", "output_limit", "cancelled", "signal"])
def test_a_traceback_is_a_text_even_where_there_is_none(status: Any) -> None:
    for inputs in ((), (b"1",)):
        taken = transcript([Began(0)], *inputs)
        taken.end_with(status)
        whole, _ = taken.finish()
        assert whole.verdict.error is not None
        assert whole.verdict.error["traceback"] == ""


@pytest.mark.parametrize(
    ("status", "value", "raised_by"),
    [
        ("timeout", "2.5 s", "timeout_seconds"),
        ("out_of_memory", "99 MiB", "memory_mb"),
        ("process_limit", "7", "MAX_PROCESSES"),
        ("output_limit", "10 MiB", "outputs"),
    ],
)
def test_a_limit_is_named_with_its_value_and_what_raises_it(status: Any, value: str, raised_by: str) -> None:
    error = explain(Verdict(status=status, error={"type": "x", "line": 3}), run()).error
    assert error is not None
    assert (error["type"], error["line"]) == (status, 3)
    assert value in error["message"]
    assert raised_by in error["message"]


def test_what_is_no_limit_is_left_as_it_was_told() -> None:
    verdict = Verdict(status="error", error={"type": "KeyError"}, truncated=Truncated(stdout=1))
    assert explain(verdict, run()) is verdict
