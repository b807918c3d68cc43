"""The body of POST /execute: what is taken, and that every bad field is named at once."""

import contextlib
import json
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.api.requests import Bounds, read_run
from executor.errors import InvalidJson, InvalidRequest
from executor.runs import MAX_CODE_BYTES, Policy, Run

BASE = Policy(image="base", reference="b")
BOUNDS = Bounds(
    policies={"base": BASE, "data": replace(BASE, image="data", reference="d")},
    default_image="base",
    max_timeout_seconds=60,
    max_memory_mb=1024,
    max_cpus=2,
)


def read(body: bytes) -> Run:
    return read_run(body, BOUNDS, run_id="exec_1", user="ann", request_id="id-1")


def read_fields(**fields: Any) -> Run:
    return read(json.dumps({"code": "1", **fields}).encode())


def complaints(body: bytes) -> dict[str, str]:
    with pytest.raises(InvalidRequest) as refused:
        read(body)
    return {detail.field: detail.message for detail in refused.value.details}


def refused_fields(**fields: Any) -> list[str]:
    return list(complaints(json.dumps({"code": "1", **fields}).encode()))


def test_code_alone_runs_under_the_default_policy() -> None:
    run = read(b'{"code": "1"}')
    assert (run.code, run.policy, run.input, run.inputs, run.stream) == ("1", BASE, None, None, False)


def test_all_bad_fields_are_named_at_once() -> None:
    body = b'{"code": 1, "timeout_seconds": "5", "colour": "red", "memory_mb": 5000, "files": [{"path": "/etc/x"}]}'
    assert set(complaints(body)) == {"code", "timeout_seconds", "colour", "memory_mb", "files[0]", "files[0].path"}


def test_null_equals_absent_but_for_input() -> None:
    nothing = dict.fromkeys(
        ("image", "inputs", "entrypoint", "stdin", "files", "outputs", "timeout_seconds", "memory_mb", "cpus", "stream")
    )
    assert read_fields(**nothing) == read_fields()
    assert bytes(read_fields(input=None).input or b"") == b"null"
    assert complaints(b'{"code": null}') == {"code": "is required"}


def test_input_goes_through_unchanged() -> None:
    text = b'{"big": 123456789012345678901234567890, "small": 1e-300, "text": "\\u0000\xc3\xa9", "deep": [[[]]]}'
    given = read(b'{"code": "1", "input": ' + text + b"}").input
    assert given is not None
    assert bytes(given) == text


@pytest.mark.parametrize("text", [b"1e999", b"[-1e999]", b'"\\ud800"', b'{"\\udfff": ["\\ud83d\\ude00\\ud83d"]}'])
def test_what_python_reads_as_json_is_taken(text: bytes) -> None:
    run = read(b'{"code": "1", "input": ' + text + b"}")
    assert json.loads(bytes(run.input or b"")) == json.loads(text)
    run = read(b'{"code": "1", "inputs": [1, ' + text + b"]}")
    assert [json.loads(bytes(value)) for value in run.inputs or ()] == [1, json.loads(text)]


def test_an_integer_too_long_for_python_is_named_as_that() -> None:
    long = b"9" * 5000
    assert "4300 digits" in complaints(b'{"code": "1", "input": {"a": ' + long + b"}}")["input"]
    assert "4300 digits" in complaints(b'{"code": "1", "inputs": [1, ' + long + b"]}")["inputs[1]"]
    assert complaints(b'{"code": "1", "memory_mb": ' + long + b"}") == {"memory_mb": "must be from 32 to 1024"}


@pytest.mark.parametrize("field", ["code", "stdin", "entrypoint", "image", "files", "outputs"])
def test_half_a_surrogate_pair_where_text_is_wanted_is_named_as_that(field: str) -> None:
    value: Any = (
        [{"path": "x", "content": "\ud800"}] if field == "files" else ["\ud800"] if field == "outputs" else "\ud800"
    )
    [(name, message)] = complaints(json.dumps({"code": "1", field: value}).encode()).items()
    assert name.startswith(field)
    assert "surrogate" in message


def test_the_name_of_an_unknown_field_can_be_answered_whatever_it_holds() -> None:
    [name] = complaints(b'{"code": "1", "\\ud800": 1}')
    assert name.encode()


@pytest.mark.parametrize("rest", [b"", b", NaN", b", 1"])
def test_half_a_surrogate_pair_makes_nothing_json_that_is_none(rest: bytes) -> None:
    with pytest.raises(InvalidJson):
        read(b'{"code": "1", "input": ["\\ud800"' + rest + (b"]" if rest == b", NaN" else b""))


def test_input_and_inputs_exclude_each_other() -> None:
    assert refused_fields(input=1, inputs=[1]) == ["inputs"]
    assert refused_fields(input=None, inputs=[1]) == ["inputs"]
    assert [bytes(value) for value in read_fields(inputs=[1, None, "x"]).inputs or ()] == [b"1", b"null", b'"x"']


@pytest.mark.parametrize("value", [0, 0.05, -1, 60.5, 1e308, "5", True, [], {}])
def test_a_time_limit_out_of_range_or_of_another_type_is_refused(value: Any) -> None:
    assert refused_fields(timeout_seconds=value) == ["timeout_seconds"]


@pytest.mark.parametrize("text", [b"NaN", b"Infinity", b"-Infinity", b"1e999"])
def test_a_time_limit_that_is_no_number_of_json_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidRequest):
        read(b'{"code": "1", "timeout_seconds": ' + text + b"}")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("code", ""),
        ("code", "x" * (MAX_CODE_BYTES + 1)),
        ("code", "é" * (MAX_CODE_BYTES // 2 + 1)),
        ("image", "ml"),
        ("memory_mb", 0),
        ("memory_mb", 64.5),
        ("memory_mb", True),
        ("cpus", 0),
        ("cpus", 2.5),
        ("cpus", False),
        ("stream", "yes"),
        ("stream", 1),
        ("entrypoint", ""),
        ("stdin", 5),
        ("inputs", {}),
        ("outputs", "*.png"),
    ],
)
def test_a_bad_field_is_named(name: str, value: Any) -> None:
    assert refused_fields(**{name: value}) == [name]


def test_a_whole_number_may_be_written_with_a_point() -> None:
    run = read(b'{"code": "1", "memory_mb": 64.0}')
    assert (run.policy.memory_mb, type(run.policy.memory_mb)) == (64, int)


def test_a_batch_may_have_no_inputs() -> None:
    assert read_fields(inputs=[]).inputs == []


def test_every_bad_entry_of_a_list_is_named() -> None:
    files = [{"path": "../x", "content": 1, "mode": 7}, {"path": "a", "content": ""}, {}, {"path": "a", "content": ""}]
    assert set(refused_fields(files=files)) == {
        "files[0].path",
        "files[0].content",
        "files[0].mode",
        "files[2]",
        "files[2].path",
        "files[3].path",
    }
    assert refused_fields(outputs=["/a", "ok", 5]) == ["outputs[0]", "outputs[2]"]
    long = b"9" * 5000
    body = b'{"code": "1", "inputs": [%s, 1, %s]}' % (long, long)
    assert list(complaints(body)) == ["inputs[0]", "inputs[2]"]


def test_code_of_the_largest_size_is_taken() -> None:
    assert len(read_fields(code="x" * MAX_CODE_BYTES).code) == MAX_CODE_BYTES


@pytest.mark.parametrize(
    "path", ["../x", "a/../../x", "/etc/passwd", "", ".", "a/", "a/.", "a\0b", "x" * 256, "a/" * 40 + "x", "é" * 600]
)
def test_a_file_stays_inside_the_working_directory(path: str) -> None:
    assert refused_fields(files=[{"path": path, "content": ""}]) == ["files[0].path"]
    assert refused_fields(outputs=["ok", path]) == ["outputs[1]"]


def test_files_are_handed_over_as_base64_under_a_plain_path() -> None:
    files = read_fields(
        files=[{"path": "./a//b.txt", "content": "é"}, {"path": "c", "content_base64": "AAE=", "content": None}]
    ).files
    assert [(file.path, file.content_base64) for file in files] == [("a/b.txt", "w6k="), ("c", "AAE=")]


@pytest.mark.parametrize(
    ("entry", "field"),
    [
        ("x", "files[1]"),
        ({"content": ""}, "files[1].path"),
        ({"path": "y"}, "files[1]"),
        ({"path": "y", "content": "", "content_base64": ""}, "files[1]"),
        ({"path": "y", "content": 1}, "files[1].content"),
        ({"path": "y", "content_base64": "!"}, "files[1].content_base64"),
        ({"path": "y", "content": "", "mode": 7}, "files[1].mode"),
        ({"path": "x", "content": ""}, "files[1].path"),
        ({"path": "x/z", "content": ""}, "files[1].path"),
    ],
)
def test_a_bad_file_is_named(entry: Any, field: str) -> None:
    assert refused_fields(files=[{"path": "x", "content": ""}, entry]) == [field]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"nul", b"\xff\xfe", b'{"code": "\xff"}', b"{'code': 1}", b'{"code": "\x01"}']
)
def test_what_is_not_json_is_refused_as_that(body: bytes) -> None:
    with pytest.raises(InvalidJson):
        read(body)


@pytest.mark.parametrize("body", [b"[]", b'"code"', b"1", b"null"])
def test_what_is_not_an_object_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        read(body)


@pytest.mark.parametrize("depth", [900, 5_000, 200_000])
def test_nesting_without_end_is_refused_and_not_a_crash(depth: int) -> None:
    nested = b"[" * depth + b"]" * depth
    for body in (nested, b'{"code": "1", "input": ' + nested + b"}", b'{"code": "1", "inputs": [' + nested + b"]}"):
        with contextlib.suppress(InvalidRequest):
            read(body)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists))
def test_no_value_anywhere_is_more_than_a_refusal(value: Any) -> None:
    text = json.dumps(value).encode(errors="surrogatepass")
    for name in ("code", "inputs", "image", "files", "outputs", "timeout_seconds", "memory_mb", "cpus", "stream", "x"):
        with contextlib.suppress(InvalidRequest):
            read(b'{"code": "1", "%s": %s}' % (name.encode(), text))


def test_less_memory_than_the_image_needs_is_refused_and_the_least_is_named() -> None:
    read = partial(read_run, bounds=BOUNDS, run_id="exec_1", user="ann", request_id="r", least_memory_mb={"base": 128})
    assert read(b'{"code": "1", "memory_mb": 128}').policy.memory_mb == 128
    with pytest.raises(InvalidRequest) as refused:
        read(b'{"code": "1", "memory_mb": 127}')
    assert [detail.field for detail in refused.value.details] == ["memory_mb"]
    assert "128" in refused.value.details[0].message
