import io
import json
import logging
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.settings import Settings
from gateway.telemetry import logs
from gateway.telemetry.logs import JsonFormatter, TextFormatter
from gateway.telemetry.masking import mask

ANYTHING = st.text(alphabet=st.characters(), max_size=80)
LINE_BREAKS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


@pytest.fixture(autouse=True)
def _restore_logging():
    root, gateway = logging.getLogger(), logging.getLogger("gateway")
    handlers, level, gateway_level, raising = root.handlers[:], root.level, gateway.level, logging.raiseExceptions
    yield
    for handler in [handler for handler in root.handlers if handler not in handlers]:
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    gateway.setLevel(gateway_level)
    logging.raiseExceptions = raising


def record(message, *args, extra=None, exc_info=None, name="gateway.routing"):
    made = logging.getLogger(name).makeRecord(name, logging.INFO, "f.py", 1, message, args, exc_info, extra=extra)
    made.created = 1795254012.0
    return made


def raised(error):
    try:
        raise error
    except type(error) as caught:
        return type(caught), caught, caught.__traceback__


def test_a_line_for_people_has_time_level_logger_message_and_facts():
    token = logs.request_id.set("req-1")
    try:
        line = TextFormatter().format(record("retrying", extra={"provider": "openai", "attempt": 2}))
    finally:
        logs.request_id.reset(token)
    assert line == "2026-11-21 09:40:12 INFO gateway.routing retrying request_id=req-1 provider=openai attempt=2"


def test_a_line_for_machines_is_one_json_object():
    line = JsonFormatter().format(record("retrying %s", "now", extra={"attempt": 2, "last": None, "stream": True}))
    assert json.loads(line) == {
        "time": "2026-11-21T09:40:12.000Z",
        "level": "info",
        "logger": "gateway.routing",
        "message": "retrying now",
        "attempt": 2,
        "last": None,
        "stream": True,
    }


def test_facts_that_could_be_mistaken_are_quoted():
    line = TextFormatter().format(record("done", extra={"reason": 'no "model" x=1', "empty": ""}))
    assert line.endswith(r'done reason="no \"model\" x=1" empty=""')


def test_a_fact_cannot_replace_what_the_line_says_of_itself():
    line = json.loads(JsonFormatter().format(record("true", extra={"level": "fake", "time": "fake", "logger": "fake"})))
    assert (line["level"], line["logger"], line["level_"]) == ("info", "gateway.routing", "fake")


@given(ANYTHING, ANYTHING, ANYTHING)
def test_nothing_a_client_sends_breaks_out_of_its_text_line(message, value, identity):
    token = logs.request_id.set(identity)
    try:
        line = TextFormatter().format(record("%s", message, extra={"value": value}))
    finally:
        logs.request_id.reset(token)
    assert not LINE_BREAKS.search(line)
    assert line.encode("utf-8").decode() == line


@given(ANYTHING, ANYTHING)
def test_json_lines_carry_what_was_sent_and_stay_one_line(message, value):
    line = JsonFormatter().format(record("%s", message, extra={"value": value}))
    assert len(line.splitlines()) == 1
    line.encode("utf-8")
    if not re.search("(?i)sk-|eyj|aiza|bearer|basic|key=|token=|[\ud800-\udfff]", message + value):
        assert (json.loads(line)["message"], json.loads(line)["value"]) == (message, value)


def test_a_terminal_escape_is_written_out():
    assert r"\u001b[2J" in TextFormatter().format(record("model %s", "\x1b[2J"))


def test_secrets_are_masked_in_message_facts_and_exceptions():
    mask("hush-hush-secret")
    broken = raised(ValueError("bad hush-hush-secret"))
    for formatter in (TextFormatter(debug=True), JsonFormatter(debug=True)):
        line = formatter.format(record("a %s", "hush-hush-secret", extra={"b": "hush-hush-secret"}, exc_info=broken))
        assert "hush-hush" not in line
        assert line.count("***") >= 3


def test_a_stack_trace_is_shown_only_when_debugging():
    broken = raised(ValueError("first\nsecond"))
    quiet = TextFormatter().format(record("failed", exc_info=broken))
    assert r'exception="ValueError: first\nsecond" at=' in quiet
    assert "Traceback" not in quiet
    assert __file__ not in quiet
    loud = TextFormatter(debug=True).format(record("failed", exc_info=broken))
    assert "Traceback" in loud
    assert "\n" not in loud


def test_a_record_whose_arguments_do_not_fit_still_makes_a_line():
    assert "%d" in TextFormatter().format(record("count %d", "many"))
    assert "%s and %s" in TextFormatter().format(record("%s and %s", 1))


def test_numbers_that_json_does_not_know_become_text():
    line = json.loads(JsonFormatter().format(record("x", extra={"big": 10**30, "nan": float("nan")})))
    assert line["big"] == str(10**30)
    assert line["nan"] == "nan"


def configured(capsys, **settings):
    logs.configure(Settings(providers={}, **settings))
    return lambda: capsys.readouterr().err.splitlines()


def test_lines_go_to_stderr_from_the_level_on(capsys):
    lines = configured(capsys, log_level="INFO")
    logging.getLogger("gateway.routing").info("seen")
    logging.getLogger("gateway.routing").debug("unseen")
    assert [line.split(" ", 2)[2] for line in lines()] == ["INFO gateway.routing seen"]


def test_configuring_twice_does_not_write_twice(capsys):
    configured(capsys)
    lines = configured(capsys)
    logging.getLogger("gateway").warning("once")
    assert len(lines()) == 1


def test_libraries_speak_up_only_for_warnings_even_when_debugging(capsys):
    lines = configured(capsys, debug=True)
    logging.getLogger("httpx").info("GET https://host/?key=hunter22")
    logging.getLogger("sanic.access").info("GET /")
    logging.getLogger("sanic.root").info("Goin' Fast")
    assert lines() == []


def test_the_access_log_is_a_switch_of_its_own(capsys):
    lines = configured(capsys, log_level="ERROR", log_requests=True)
    logs.access("POST", "/llm", 200, 12.345, user="alice")
    assert lines()[0].endswith("INFO gateway.access POST /llm status=200 duration_ms=12.3 user=alice")
    lines = configured(capsys, log_level="DEBUG", log_requests=False)
    logs.access("POST", "/llm", 200, 12.345)
    assert lines() == []


def test_the_log_file_gets_the_same_lines(capsys, tmp_path):
    lines = configured(capsys, log_file=tmp_path / "logs" / "gateway.log", log_format="json")
    logging.getLogger("gateway").warning("kept")
    assert (tmp_path / "logs" / "gateway.log").read_text().splitlines() == lines()
    assert (tmp_path / "logs" / "gateway.log").stat().st_mode & 0o077 == 0


def test_a_record_that_cannot_be_written_says_nothing_of_its_arguments(capsys):
    lines = configured(capsys)
    handler = next(handler for handler in logging.getLogger().handlers if type(handler) is logging.StreamHandler)
    closed = io.StringIO()
    closed.close()
    handler.setStream(closed)
    logging.getLogger("gateway").error("the key is %s", "plain-secret")
    assert lines() == []
