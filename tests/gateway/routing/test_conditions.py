from gateway.routing.conditions import FAILURES_UNTIL_REST, Conditions


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_provider_is_rested_after_its_fifth_failure_in_a_row_and_asked_again_later() -> None:
    clock = Clock()
    conditions = Conditions(30.0, clock=clock)
    for _ in range(FAILURES_UNTIL_REST - 1):
        conditions.note_failure("p", reachable=False)
    assert conditions.rest_left("p") == 0
    conditions.note_failure("p", reachable=False)
    assert conditions.rest_left("p") == 30
    clock.now += 31
    assert conditions.rest_left("p") == 0


def test_an_answer_in_between_starts_the_count_anew() -> None:
    conditions = Conditions(30.0)
    for _ in range(FAILURES_UNTIL_REST - 1):
        conditions.note_failure("p", reachable=False)
    conditions.note_answer("p")
    conditions.note_failure("p", reachable=False)
    assert conditions.rest_left("p") == 0


def test_zero_seconds_switch_resting_off() -> None:
    conditions = Conditions(0.0)
    for _ in range(FAILURES_UNTIL_REST * 2):
        conditions.note_failure("p", reachable=False)
    assert conditions.rest_left("p") == 0


def test_each_turn_is_reported_once_and_being_well_from_the_start_is_no_news() -> None:
    turns: list[tuple[str, bool]] = []
    conditions = Conditions(30.0, report=lambda name, up: turns.append((name, up)))
    conditions.note_answer("p")
    conditions.note_failure("p", reachable=False)
    conditions.note_failure("p", reachable=False)
    conditions.note_answer("p")
    assert turns == [("p", False), ("p", True)]


def test_what_was_never_tried_is_not_known() -> None:
    assert Conditions(30.0).of("p").reachable is None


def test_a_rest_is_reported_when_it_begins_and_when_it_ends_early() -> None:
    rests: list[tuple[str, float]] = []
    clock = Clock()
    conditions = Conditions(30.0, clock=clock, report_rest=lambda name, seconds: rests.append((name, seconds)))
    for _ in range(FAILURES_UNTIL_REST + 3):
        conditions.note_failure("p", reachable=False)
    assert rests == [("p", 30)]
    clock.now += 31
    conditions.note_failure("p", reachable=False)
    assert rests == [("p", 30), ("p", 30)]
    conditions.note_answer("p")
    conditions.note_answer("p")
    assert rests == [("p", 30), ("p", 30), ("p", 0)]


def test_how_a_provider_is_reached_is_reported_and_changes_nothing_about_its_rest() -> None:
    turns: list[tuple[str, bool]] = []
    conditions = Conditions(30.0, report=lambda name, up: turns.append((name, up)))
    for _ in range(FAILURES_UNTIL_REST * 2):
        conditions.note_reach("p", reachable=False)
    assert (conditions.of("p").reachable, conditions.rest_left("p")) == (False, 0)
    for _ in range(FAILURES_UNTIL_REST - 1):
        conditions.note_failure("p", reachable=False)
    conditions.note_reach("p", reachable=True)
    conditions.note_failure("p", reachable=True)
    assert conditions.rest_left("p") > 0
    assert turns == [("p", False), ("p", True)]
