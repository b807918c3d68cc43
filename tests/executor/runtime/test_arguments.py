"""How an input becomes arguments, without a box."""

import ast
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.runtime.arguments import BadInput, choose_function, entry_functions, imports_all, match_arguments

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(JSON)
def test_anything_but_an_object_is_the_one_argument(value: Any) -> None:
    if not isinstance(value, dict):
        assert match_arguments("f", lambda a: a, value) == ([value], {})


@given(st.lists(JSON, max_size=4))
def test_a_list_is_spread_over_any_number_of_parameters(value: list[Any]) -> None:
    assert match_arguments("f", lambda *a: a, value) == (value, {})


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=5))
def test_every_key_arrives_once(value: dict[str, Any]) -> None:
    def function(a: Any = None, /, b: Any = None, **rest: Any) -> dict[str, Any]:
        return {"a": a, "b": b} | rest

    positional, named = match_arguments("f", function, value)
    assert function(*positional, **named) == {"a": None, "b": None} | value


def no_signature() -> Callable[..., Any]:
    class Odd:
        __signature__ = "odd"

        def __call__(self, *args: Any) -> Any:
            return args

    return Odd()


def test_a_function_without_a_signature_is_called_as_asked() -> None:
    assert match_arguments("f", no_signature(), 1) == ([1], {})


def test_a_default_that_cannot_be_shown_does_not_hide_the_complaint() -> None:
    class Bad:
        def __repr__(self) -> str:
            raise ValueError

    bad = Bad()

    def function(a: Any, b: Any = bad) -> None:
        raise AssertionError

    with pytest.raises(BadInput, match="unexpected 'z'"):
        match_arguments("f", function, {"a": 1, "z": 1})


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("if x:\n async def b(): pass\nelse:\n def c(): pass\ndef a():\n def inner(): pass", ["b", "c", "a"]),
        ("class C:\n def m(self): pass", []),
        ("for x in y:\n def a(): pass\nelse:\n def b(): pass", ["a", "b"]),
        ("while x:\n def a(): pass", ["a"]),
        ("match x:\n case 1:\n  def a(): pass\n case _:\n  def b(): pass", ["a", "b"]),
        ("try: pass\nexcept* E:\n def a(): pass", ["a"]),
        (
            "try:\n def a(): pass\nexcept E:\n def b(): pass\nelse:\n def c(): pass\nfinally:\n def d(): pass",
            list("abcd"),
        ),
        ("async with x:\n async for y in z:\n  def a(): pass", ["a"]),
        ("main = f", ["main"]),
        ("a, (b, main) = f", ["main"]),
        ("main: object = f", ["main"]),
        ("main: object", []),
        ("class main: pass", ["main"]),
        ("try:\n from a import main\nexcept ImportError:\n from b import c as main", ["main"]),
        ("import main", []),
        ("with x:\n main = f", ["main"]),
        ("if x:\n main = f\ndef g(): pass", ["main", "g"]),
        ("other = f", []),
    ],
)
def test_functions_and_what_is_called_main_are_found_in_order_at_the_top_level(code: str, found: list[str]) -> None:
    assert entry_functions(ast.parse(code)) == found


@pytest.mark.parametrize(("code", "expected"), [("if x:\n from a import *", True), ("from a import b", False)])
def test_an_import_of_all_names_is_noticed(code: str, expected: bool) -> None:
    assert imports_all(ast.parse(code)) is expected


def test_main_comes_first_if_it_can_be_called() -> None:
    assert choose_function({"main": print, "f": len}, ["f", "main"], None) == ("main", print)
    assert choose_function({"main": 5, "f": len}, ["f"], None) == ("f", len)


def test_the_first_function_that_is_there_is_called() -> None:
    assert choose_function({"b": 5, "c": len, "d": print}, ["a", "b", "c", "d"], None) == ("c", len)
    with pytest.raises(BadInput, match="'a'"):
        choose_function({"b": 5}, ["a", "b"], None)
