"""How much a model is to think is understood, whoever's word for it was used."""

from typing import Any

import pytest

from gateway.errors import InvalidRequest
from gateway.messages.chat import Options
from gateway.providers.reasoning import budget_of, effort_of, understood_wish, wish_of


@pytest.mark.parametrize(
    ("options", "effort", "budget"),
    [
        ({"reasoning_effort": "high"}, "high", 16384),
        ({"reasoning_effort": "none"}, "none", 0),
        ({"extra": {"think": True}}, "medium", 8192),
        ({"extra": {"think": "low"}}, "low", 2048),
        ({"extra": {"think": False}}, "none", 0),
        ({"extra": {"thinking": {"type": "enabled", "budget_tokens": 1500}}}, "low", 1500),
        ({"extra": {"thinking": {"type": "enabled", "budget_tokens": 64000}}}, "high", 64000),
        ({"extra": {"thinking": {"type": "disabled"}}}, "none", 0),
        ({"extra": {"thinking": {"type": "adaptive"}}, "reasoning_effort": "max"}, "max", 32768),
        ({"extra": {"thinking": True}}, "medium", 8192),
    ],
)
def test_each_vendors_word_is_understood(options: dict[str, Any], effort: str, budget: int):
    wish = wish_of(Options(**options))
    assert wish is not None
    assert (effort_of(wish), budget_of(wish)) == (effort, budget)


def test_no_wish_is_no_wish():
    assert wish_of(Options()) is None
    assert wish_of(Options(extra={"thinking": 17, "think": None})) is None


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"reasoning_effort": "zzz"}, "reasoning_effort"),
        ({"reasoning_effort": "zzz", "effort_at": "reasoning.effort"}, "reasoning.effort"),
        ({"reasoning_effort": "zzz", "extra": {"think": True}}, "reasoning_effort"),
        ({"extra": {"think": "zzz"}}, "think"),
        ({"extra": {"think": 17}}, "think"),
        ({"extra": {"think": {"type": "enabled"}}}, "think"),
        ({"extra": {"thinking": "zzz"}}, "thinking"),
        ({"extra": {"thinking": ["high"]}}, "thinking"),
        ({"extra": {"thinking": {"type": "zzz"}}}, "thinking"),
        ({"extra": {"thinking": {"type": "enabled", "budget_tokens": "many"}}}, "thinking"),
    ],
)
def test_a_wish_that_nobody_understands_is_refused_by_name(options: dict[str, Any], field: str):
    with pytest.raises(InvalidRequest) as refused:
        understood_wish(Options(**options))
    assert [detail.field for detail in refused.value.details] == [field]


@pytest.mark.parametrize("effort", ["none", "minimal", "low", "medium", "high", "xhigh", "max"])
def test_every_effort_that_a_vendor_has_is_understood(effort: str):
    assert understood_wish(Options(reasoning_effort=effort)) == wish_of(Options(reasoning_effort=effort))
    assert understood_wish(Options(extra={"think": effort})) is not None


def test_an_object_that_the_vendor_gets_as_it_is_is_left_to_the_vendor():
    assert understood_wish(Options(extra={"thinking": {"type": "newest"}}), objects=False) is not None
    assert understood_wish(Options(extra={"think": ""})) is None
