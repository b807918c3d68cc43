"""Errors: each has its status, its title and a body that tells enough and nothing more."""

from collections.abc import Iterator

import pytest

from executor.api.errors import TABLE, describe_error, translate
from executor.errors import Detail, ExecutorError, InvalidRequest, MethodNotAllowed


def all_kinds(kind: type[ExecutorError] = ExecutorError) -> Iterator[type[ExecutorError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from all_kinds(child)


@pytest.mark.parametrize("kind", list(all_kinds()))
def test_every_error_is_in_the_table(kind: type[ExecutorError]) -> None:
    assert kind in TABLE


@pytest.mark.parametrize("kind", list(all_kinds()))
def test_every_error_has_the_body_of_the_contract(kind: type[ExecutorError]) -> None:
    status, body = describe_error(kind("why"), "id-1")
    assert 400 <= status < 600
    assert status != 422
    assert body == {"error": TABLE[kind][1], "message": "why", "code": kind.code, "request_id": "id-1"}
    assert kind.code == kind.code.lower()


def test_details_are_listed_and_the_first_is_in_the_message() -> None:
    error = InvalidRequest.naming([Detail("files[0].path", "must be relative"), Detail("code", "is required")])
    _, body = describe_error(error, "id-1")
    assert body["message"].startswith("files[0].path: must be relative")
    assert [detail["field"] for detail in body["details"]] == ["files[0].path", "code"]


def test_a_bug_of_ours_tells_nothing_of_itself() -> None:
    status, body = describe_error(translate(RuntimeError("/etc/secret is 1234")), "id-1")
    assert status == 500
    assert "1234" not in str(body)


def test_405_knows_what_is_allowed() -> None:
    assert MethodNotAllowed("no", allowed=["GET"]).allowed == ("GET",)
