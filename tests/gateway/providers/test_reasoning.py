"""How much a model is to think is understood, whoever's word for it was used."""

from typing import Any

import pytest

from gateway.messages.chat import Options
from gateway.providers.reasoning import budget_of, effort_of, wish_of


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
