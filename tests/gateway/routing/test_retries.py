"""What is worth another try, how long is waited before, and how many retries are too many."""

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import (
    CredentialsRefused,
    GatewayError,
    InvalidRequest,
    ModelNotFound,
    ProviderError,
    ProviderNotConfigured,
    TimedOut,
    Unavailable,
    UnusableAnswer,
)
from gateway.routing.retries import (
    BUDGET_FLOOR,
    BUDGET_SHARE,
    BUDGET_WINDOW,
    RetryBudget,
    may_pass,
    may_succeed_elsewhere,
    pause_before,
    read_retry_after,
)

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("error", "again", "elsewhere"),
    [
        *((ProviderError("", status=status), True, True) for status in (408, 429, 500, 502, 503, 504, 529)),
        *((ProviderError("", status=status), False, False) for status in (400, 402, 404, 409, 413, 422)),
        (Unavailable(""), True, True),
        (TimedOut(""), False, True),
        (UnusableAnswer(""), False, True),
        (CredentialsRefused(""), False, True),
        (ProviderNotConfigured(""), False, True),
        (ModelNotFound(""), False, False),
        (InvalidRequest(""), False, False),
        (GatewayError(""), False, False),
    ],
)
def test_what_is_tried_again_and_where(error: GatewayError, again: bool, elsewhere: bool) -> None:
    assert (may_pass(error), may_succeed_elsewhere(error)) == (again, elsewhere)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "3"}, 3),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "0"}, 0),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "1"}, 1),
        ({"retry-after": format_datetime(datetime.fromtimestamp(NOW + 90, UTC), usegmt=True)}, 90),
        ({"retry-after": format_datetime(datetime.fromtimestamp(NOW - 90, UTC), usegmt=True)}, 0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "1e99"}, None),
        ({"retry-after": "later"}, None),
        ({"retry-after": "Mon, 01 Jan 9999 00:00:00 GMT"}, None),
        ({"retry-after": ""}, None),
        ({}, None),
    ],
)
def test_a_providers_retry_after_is_read_in_all_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    assert read_retry_after(headers, lambda: NOW) == seconds


def test_pauses_grow_up_to_a_bound_and_are_never_all_the_same() -> None:
    for attempt in range(12):
        pauses = [pause_before(attempt) for _ in range(50)]
        longest = min(4, 0.25 * 2**attempt)
        assert longest / 2 <= min(pauses) < max(pauses) <= longest


def test_a_retry_after_is_never_cut_short_and_callers_do_not_come_back_all_at_once() -> None:
    pauses = [pause_before(0, 2.0) for _ in range(50)]
    assert 2.0 <= min(pauses) < max(pauses) <= 2.3


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_retries_are_a_fifth_of_the_requests_and_some_hundreds() -> None:
    budget = RetryBudget(Clock())
    for _ in range(100):
        budget.note_request()
    assert sum(budget.take() for _ in range(2 * BUDGET_FLOOR)) == BUDGET_FLOOR + 20


def test_a_budget_fills_again_with_time() -> None:
    clock = Clock()
    budget = RetryBudget(clock)
    while budget.take():
        pass
    clock.now += BUDGET_WINDOW * 1.5
    assert sum(budget.take() for _ in range(2 * BUDGET_FLOOR)) == BUDGET_FLOOR


@given(st.lists(st.tuples(st.floats(0, 20), st.integers(0, 30), st.integers(0, 400)), max_size=40))
def test_retries_never_outgrow_their_share_of_what_came_lately(
    steps: list[tuple[float, int, int]],
) -> None:
    clock = Clock()
    budget = RetryBudget(clock)
    requests: list[float] = []
    retries: list[float] = []
    for pause, asked, wanted in steps:
        clock.now += pause
        for _ in range(asked):
            budget.note_request()
            requests.append(clock.now)
        retries += [clock.now for _ in range(wanted) if budget.take()]
        lately = sum(moment >= clock.now - 1.5 * BUDGET_WINDOW for moment in requests)
        just_now = sum(moment > clock.now - BUDGET_WINDOW / 2 for moment in retries)
        assert just_now <= BUDGET_FLOOR + BUDGET_SHARE * lately
