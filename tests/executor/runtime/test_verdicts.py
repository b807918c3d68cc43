"""From what was seen to a verdict, without a box. What the process says is never trusted."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.runtime.verdicts import Seen, Taken, judge
from executor.runtime.wire import to_json
from tests.attacks.box import BASE, make_job

JOB = make_job(BASE, "")
OK = {"status": "ok", "exit_code": 0, "error": None, "result": 5, "result_repr": "5", "show_result": True}
ERROR = {"type": "ValueError", "message": "m", "line": 1, "traceback": "t"}
EXITED_1 = 1 << 8


def status(seen: Seen) -> str:
    return str(judge(seen, Taken(), JOB)["status"])


def end(**changes: Any) -> bytes:
    return json.dumps(OK | changes).encode()


def failed(**changes: Any) -> bytes:
    return end(**{"status": "error", "exit_code": 1, "error": ERROR} | changes)


def seen_before_the_code(end: bytes | None = None, status: int = EXITED_1) -> Seen:
    seen = Seen(status=status, end=end)
    seen.begun = False
    return seen


def test_an_end_that_is_handed_over_is_ok() -> None:
    verdict = judge(Seen(status=0, end=end()), Taken(), JOB)
    assert (verdict["status"], verdict["result"], verdict["result_repr"]) == ("ok", 5, "5")


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (Seen(status=0), "exit"),
        (Seen(status=0, end=b""), "exit"),
        (Seen(status=0, end=b"{}"), "exit"),
        (Seen(status=EXITED_1, end=end()), "exit"),
        (Seen(status=0, end=end(exit_code=False)), "exit"),
        (Seen(status=0, end=end(status="timeout")), "exit"),
        (Seen(status=0, end=end(error=ERROR)), "exit"),
        (Seen(status=0, end=end(status="error")), "exit"),
        (Seen(status=0, end=b'{"status":"ok","exit_code":0,"error":null,"result":NaN}'), "exit"),
        (Seen(status=0, end=b"[" * 100_000), "exit"),
        (Seen(status=9, end=end()), "signal"),
        (Seen(status=9, end=end(), oom_kills=1), "out_of_memory"),
        (Seen(status=11, oom_kills=1), "signal"),
        (Seen(status=0, end=end(), oom_kills=1), "ok"),
        (Seen(status=9, stopped="timeout", end=end()), "timeout"),
        (Seen(status=9, stopped="output_limit", oom_kills=1), "output_limit"),
        (Seen(status=EXITED_1, end=failed()), "error"),
        (Seen(status=EXITED_1, end=failed(limit="process_limit")), "process_limit"),
        (Seen(status=EXITED_1, end=failed(limit="process_limit"), processes_refused=False), "error"),
        (Seen(status=EXITED_1, end=failed(limit="out_of_memory?")), "error"),
        (Seen(status=EXITED_1, end=failed(limit="out_of_memory?"), oom_kills=2), "out_of_memory"),
        (Seen(status=EXITED_1, end=failed(status="syntax_error")), "exit"),
        (seen_before_the_code(end=failed(status="syntax_error")), "syntax_error"),
        (seen_before_the_code(status=9), "signal"),
        (Seen(status=EXITED_1, end=failed(status="bad_input")), "exit"),
        (Seen(), "cancelled"),
    ],
)  # fmt: skip
def test_one_verdict_for_each_end(seen: Seen, expected: str) -> None:
    assert status(seen) == expected


@pytest.mark.parametrize("asked", [{"input": None}, {"inputs": [1]}, {"entrypoint": "f"}])
def test_bad_input_can_only_be_where_a_function_is_called(asked: dict[str, Any]) -> None:
    verdict = judge(Seen(status=EXITED_1, end=failed(status="bad_input")), Taken(), JOB | asked)
    assert verdict["status"] == "bad_input"


def test_a_result_that_is_too_deep_is_left_out() -> None:
    deep: Any = 1
    for _ in range(300):
        deep = [deep]
    verdict = judge(Seen(status=0, end=end(result=deep)), Taken(), JOB)
    assert (verdict["status"], verdict["result"]) == ("ok", None)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*OK, "limit", "result_truncated"]), JSON), st.integers(0, 0xFFFF))
def test_whatever_is_handed_over_there_is_a_verdict(forged: dict[str, Any], wait_status: int) -> None:
    verdict = judge(Seen(status=wait_status & 0xFF7F, end=json.dumps(OK | forged).encode()), Taken(), JOB)
    assert isinstance(verdict["status"], str)
    assert verdict["error"] is None or isinstance(verdict["error"]["message"], str)
    to_json(verdict)


@pytest.mark.parametrize("stopped", ["timeout", "out_of_memory", "process_limit", "output_limit", "cancelled"])
def test_a_limit_names_itself_and_its_value(stopped: str) -> None:
    error = judge(Seen(stopped=stopped), Taken(), JOB)["error"]
    assert error["type"] == stopped
    value = {"timeout": "10 s", "out_of_memory": "256 MB", "process_limit": "64", "output_limit": "10485760"}
    assert value.get(stopped, "cancelled") in error["message"]
