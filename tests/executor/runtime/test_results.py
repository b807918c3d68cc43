"""Values as JSON and as repr, without a box."""

import json
import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from executor.runtime.results import cut, encode_repr, encode_result

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(JSON)
def test_json_values_survive(value: Any) -> None:
    text, truncated = encode_result(value, 1 << 20)
    assert text is not None
    assert (json.loads(text), truncated) == (value, False)


@given(st.lists(st.floats()))
def test_what_json_cannot_say_is_null(values: list[float]) -> None:
    text, _ = encode_result(values, 1 << 20)
    assert text is not None
    assert json.loads(text) == [value if math.isfinite(value) else None for value in values]


@given(JSON, st.integers(0, 60))
def test_the_limit_is_on_what_the_answer_writes(value: Any, limit: int) -> None:
    written = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    text, truncated = encode_result(value, limit)
    assert truncated is (text is None) is (len(written) > limit)


@given(st.text(), st.integers(10, 200))
def test_a_cut_text_fits_and_begins_as_it_did(text: str, limit: int) -> None:
    short = cut(text, limit)
    assert short == text or (len(short.encode()) <= limit and text.startswith(short[:-1]))


def test_a_huge_value_is_told_by_its_beginning() -> None:
    assert encode_result("x" * 3_000_000, 1 << 20) == (None, True)
    assert encode_repr("x" * 3_000_000, 1000).startswith("'xxx")
    assert encode_repr({n: n for n in range(100_000)}, 100).startswith("{0: 0, 1: 1")
    assert encode_repr(list(range(100_000)), 100).endswith("…")


def test_depth_counts_brackets_outside_of_texts() -> None:
    assert encode_result(["[" * 500], 1 << 20)[0] is not None
    deep: Any = 0
    for _ in range(300):
        deep = {"a": deep}
    assert encode_result(deep, 1 << 20) == (None, False)
