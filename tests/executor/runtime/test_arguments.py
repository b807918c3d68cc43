"""How an input becomes arguments, without a box."""

import ast
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.runtime.arguments import BadInput, choose_function, match_arguments, top_level_functions

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


def test_functions_are_found_in_order_at_the_top_level_only() -> None:
    code = (
        "class C:\n def m(self): pass\nif x:\n async def b(): pass\nelse:\n def c(): pass\ndef a():\n def inner(): pass"
    )
    assert top_level_functions(ast.parse(code)) == ["b", "c", "a"]


def test_main_comes_first_if_it_can_be_called() -> None:
    assert choose_function({"main": print, "f": len}, ["f", "main"], None) == ("main", print)
    assert choose_function({"main": 5, "f": len}, ["f"], None) == ("f", len)
