import random
import time

import pytest

from gateway.errors import InvalidRequest
from gateway.telemetry.database import Database
from gateway.telemetry.records import Call
from gateway.telemetry.stats import Statistics

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
def test_percentiles_of_round_times_are_exact(database, times):
    total = read(database, *(ended(1, duration_ms=ms, ttft_ms=ms) for ms in times), window=3600.0)["calls"]["total"]
    ordered = sorted(times)
    assert total["latency_p50_ms"] == total["ttft_p50_ms"] == ordered[(len(times) + 1) // 2 - 1]
    assert total["latency_p95_ms"] == total["ttft_p95_ms"] == ordered[-1]


def test_percentiles_of_any_times_are_right_to_one_percent(database):
    chance = random.Random(7)
    times = sorted(chance.lognormvariate(5, 2) for _ in range(3000))
    total = read(database, *(ended(1, duration_ms=ms) for ms in times), window=864000.0)["calls"]["total"]
    assert total["latency_p50_ms"] == pytest.approx(times[1499], rel=0.011, abs=0.1)
    assert total["latency_p95_ms"] == pytest.approx(times[2849], rel=0.011, abs=0.1)
    assert total["ttft_p50_ms"] is None


def test_a_time_beyond_all_bounds_does_not_break_the_figures(database):
    total = read(database, ended(-1, duration_ms=1e12), window=60.0)["calls"]["total"]
    assert total["latency_p50_ms"] == pytest.approx(9_990_000, rel=0.01)


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


def test_a_window_of_a_hundred_thousand_calls_is_read_in_a_moment(database):
    chance = random.Random(7)
    calls = [
        ended(chance.random() * 86400, provider=f"p{n % 4}", model=f"m{n % 8}", duration_ms=chance.lognormvariate(6, 1))
        for n in range(20_000)
    ]
    for _ in range(5):
        database.write(calls, [])
    statistics = Statistics(database)
    began = time.perf_counter()
    assert statistics.read(90000.0, 60, NOW)["calls"]["total"]["calls"] == 100_000
    first = time.perf_counter() - began
    began = time.perf_counter()
    statistics.read(90000.0, 60, NOW)
    assert first < 5
    assert time.perf_counter() - began < first
