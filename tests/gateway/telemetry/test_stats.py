import random
import time

import pytest

from gateway.errors import InvalidRequest
from gateway.telemetry.database import Bounds, Database
from gateway.telemetry.records import Call
from gateway.telemetry.stats import Statistics, find_slot

NOW = 1_795_254_005.0


@pytest.fixture
def database(tmp_path):
    made = Database(tmp_path / "calls.sqlite3")
    yield made
    made.close()


def ended(seconds_ago, **facts):
    duration = facts.pop("duration_ms", 100.0)
    facts = {"request_id": "r", "path": "/llm", "status": 200, "provider": "openai", "model": "gpt"} | facts
    return Call(time=NOW - seconds_ago - duration / 1000, duration_ms=duration, **facts)


def read(database, *calls, window=60.0, buckets=6):
    database.write(calls, [])
    return Statistics(database).read(window, buckets, NOW)


def test_calls_errors_and_tokens_are_counted_by_step(database):
    stats = read(
        database,
        ended(1, prompt_tokens=5, completion_tokens=2),
        ended(2, status=500, error="broke"),
        ended(3, status=499, error="the client left", partial=True),
        ended(31, prompt_tokens=1),
        ended(3600),
    )
    assert stats["calls"]["series"]["calls"] == [0, 0, 1, 0, 0, 3]
    assert stats["calls"]["series"]["errors"] == [0, 0, 0, 0, 0, 1]
    assert stats["calls"]["series"]["prompt_tokens"] == [None, None, 1, None, None, 5]
    total = stats["calls"]["total"]
    assert (total["calls"], total["errors"], total["cancelled"], total["partial"]) == (4, 1, 1, 1)
    assert (total["error_rate"], total["prompt_tokens"], total["without_usage"]) == (0.25, 6, 2)
    assert stats["bucket_seconds"] == 10
    assert stats["time"][-1] <= NOW < stats["time"][-1] + 10


def test_usage_that_nobody_reported_is_unknown_not_zero(database):
    total = read(database, ended(1))["calls"]["total"]
    assert (total["prompt_tokens"], total["completion_tokens"], total["cached_tokens"]) == (None, None, None)


def test_a_long_call_counts_when_it_ended(database):
    stats = read(database, ended(1, duration_ms=300_000.0))
    assert stats["calls"]["series"]["calls"] == [0, 0, 0, 0, 0, 1]


@pytest.mark.parametrize("times", [[0.1], [250.0], [1.0, 2.0], [0.0, 99.9, 100.0, 999.0], [12_300.0, 4_560_000.0]])
def test_percentiles_are_the_nearest_rank_of_few_times(database, times):
    total = read(database, *(ended(1, duration_ms=ms, ttft_ms=ms) for ms in times), window=3600.0)["calls"]["total"]
    ordered = sorted(times)
    assert total["latency_p50_ms"] == total["ttft_p50_ms"]
    assert total["latency_p50_ms"] == pytest.approx(ordered[(len(times) + 1) // 2 - 1], rel=0.01, abs=0.05)
    assert total["latency_p95_ms"] == pytest.approx(ordered[-1], rel=0.01, abs=0.05)


def test_percentiles_of_any_times_are_right_to_one_percent(database):
    chance = random.Random(7)
    times = sorted(chance.lognormvariate(5, 2) for _ in range(3000))
    total = read(database, *(ended(1, duration_ms=ms) for ms in times), window=864000.0)["calls"]["total"]
    assert total["latency_p50_ms"] == pytest.approx(times[1499], rel=0.01, abs=0.05)
    assert total["latency_p95_ms"] == pytest.approx(times[2849], rel=0.01, abs=0.05)
    assert total["ttft_p50_ms"] is None


def test_a_time_beyond_all_bounds_does_not_break_the_figures(database):
    total = read(database, ended(-1, duration_ms=1e12), window=60.0)["calls"]["total"]
    assert total["latency_p50_ms"] == pytest.approx(10_000_000, rel=0.01)


def test_figures_come_by_provider_and_by_model_and_executions_apart(database):
    stats = read(
        database,
        ended(1),
        ended(1, model="mini"),
        ended(1, provider="ollama", model="llama"),
        ended(1, kind="execution", provider=None, model=None, path="/execute"),
    )
    assert [(part["provider"], part["total"]["calls"]) for part in stats["providers"]] == [("ollama", 1), ("openai", 2)]
    assert [(part["provider"], part["model"]) for part in stats["models"]] == [
        ("ollama", "llama"),
        ("openai", "gpt"),
        ("openai", "mini"),
    ]
    assert stats["calls"]["total"]["calls"] == 3
    assert stats["executions"]["total"]["calls"] == 1


def test_a_refresh_sees_new_calls_and_a_cleared_log(database):
    statistics = Statistics(database)
    database.write([ended(40), ended(1)], [])
    assert statistics.read(60.0, 6, NOW)["calls"]["total"]["calls"] == 2
    database.write([ended(0.5)], [])
    assert statistics.read(60.0, 6, NOW)["calls"]["total"]["calls"] == 3
    database.clear()
    assert statistics.read(60.0, 6, NOW)["calls"]["total"]["calls"] == 0


@pytest.mark.parametrize(("window", "buckets"), [(0, 6), (1e9, 6), (60, 0), (60, 100_000), (float("nan"), 6)])
def test_a_window_out_of_range_is_refused(database, window, buckets):
    with pytest.raises(InvalidRequest, match="window"):
        Statistics(database).read(window, buckets)


SPANS = [
    (60, 60),
    (300, 60),
    (900, 60),
    (3600, 60),
    (6 * 3600, 60),
    (24 * 3600, 60),
    (7 * 24 * 3600, 60),
    (77, 500),
]


@pytest.mark.parametrize(("window", "buckets"), SPANS)
def test_what_was_added_up_is_what_each_call_by_itself_comes_to(database, window, buckets):
    chance = random.Random(7)
    moments = [NOW - chance.random() * 1.2 * window for _ in range(3000)]
    statuses = [chance.choice([200, 200, 499, 500]) for _ in moments]
    for some in range(0, 3000, 300):
        database.write(
            [
                ended(NOW - moment, status=status, model=f"m{status % 7}", prompt_tokens=3, duration_ms=0.0)
                for moment, status in zip(moments[some : some + 300], statuses[some : some + 300], strict=True)
            ],
            [],
        )
    stats = Statistics(database).read(window, buckets, NOW)
    for name, wanted in (("calls", {200, 499, 500}), ("errors", {500}), ("cancelled", {499})):
        those = [moment for moment, status in zip(moments, statuses, strict=True) if status in wanted]
        steps = [sum(begin <= moment < begin + stats["bucket_seconds"] for moment in those) for begin in stats["time"]]
        assert stats["calls"]["series"][name] == steps
        assert sum(row["total"][name] for row in stats["models"]) == stats["calls"]["total"][name] == sum(steps)


def test_steps_that_fit_no_slots_miss_and_repeat_no_call(database):
    database.write([ended(second) for second in range(3000)], [])
    stats = Statistics(database).read(3500.0, 93, NOW)
    assert stats["calls"]["total"]["calls"] == sum(stats["calls"]["series"]["calls"]) == 3000


def test_every_window_of_the_page_is_read_from_slots():
    assert [find_slot(window / 60, window) for window, _ in SPANS[:7]] == [1, 5, 5, 60, 60, 720, 720]


def test_a_window_of_a_hundred_thousand_calls_reads_none_of_them(database):
    chance = random.Random(7)
    for _ in range(20):
        calls = [
            ended(
                chance.random() * 900, provider=f"p{n % 4}", model=f"m{n % 8}", duration_ms=chance.lognormvariate(6, 1)
            )
            for n in range(5000)
        ]
        database.write(calls, [])
    asked = []
    database.connection.set_trace_callback(asked.append)
    assert Statistics(database).read(960.0, 64, NOW)["calls"]["total"]["calls"] == 100_000
    assert len(asked) < 70
    assert not [statement for statement in asked if "segments" in statement]


def test_figures_outlive_the_calls_but_not_their_age_nor_a_full_disk(tmp_path):
    database = Database(tmp_path / "calls.sqlite3")
    now = time.time()
    database.write([ended(NOW - now + second) for second in (*range(2000), *range(90_000, 90_010))], [])
    count = "SELECT count(*) FROM figures WHERE width = "
    assert database.connection.execute(f"{count} 1").fetchone() == (2010,)
    database.prune(Bounds(calls=10))
    assert database.connection.execute(f"{count} 1").fetchone() == (2000,)
    assert Statistics(database).read(900.0, 60)["calls"]["total"]["calls"] == pytest.approx(900, abs=15)
    assert database.connection.execute("SELECT sum(calls) FROM figures WHERE width = 720").fetchone() == (2010,)
    database.prune(Bounds(age_seconds=80_000))
    assert database.connection.execute("SELECT sum(calls) FROM figures WHERE width = 720").fetchone() == (2000,)
    database.prune(Bounds(size=1))
    assert database.read_calls(1, None, {}, None) == ([], None)
    assert database.connection.execute("SELECT count(*) FROM figures WHERE slot < ?", (now - 1500,)).fetchone() == (0,)
    database.close()
