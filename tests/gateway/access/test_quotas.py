"""Limits: exact moving windows, in one process and over many, and what happens when the storage is down."""

import asyncio
import logging
import multiprocessing
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.access.counters import Counter, LocalCounter, SharedCounter, Window
from gateway.access.quotas import STORAGE_REST_SECONDS, WARNING_SECONDS, Allowance, Quotas
from gateway.settings import LimitSettings

pytestmark = pytest.mark.anyio

Clock = Callable[[], float]
MakeCounter = Callable[[Clock], Counter]


def make_shared(clock: Clock) -> Counter:
    folder = TemporaryDirectory()
    counter = SharedCounter(Path(folder.name), clock)
    counter.folder = folder  # type: ignore[attr-defined]  # lives as long as the counter
    return counter


@pytest.fixture(params=[LocalCounter, make_shared], ids=["local", "shared"])
def make_counter(request: pytest.FixtureRequest) -> MakeCounter:
    make: MakeCounter = request.param
    return make


class Model:
    """The promise, written down plainly: a hit fits if no window would hold more than its amount with it."""

    def __init__(self) -> None:
        self.hits: dict[str, list[float]] = {}

    def take(self, who: str, windows: list[Window], now: float) -> tuple[bool, list[int]]:
        hits = self.hits.setdefault(who, [])
        used = [sum(hit + window.seconds > now for hit in hits) for window in windows]
        fits = all(count < window.amount for count, window in zip(used, windows, strict=True))
        if fits:
            hits.append(now)
        return fits, [count + fits for count in used]


STEPS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([0.0, 0.25, 0.5, 1.0, 2.0, 7.0])), max_size=60)
WINDOWS = st.lists(
    st.builds(Window, st.integers(1, 6), st.sampled_from([1, 2, 5])), min_size=1, max_size=3, unique=True
)


@pytest.mark.parametrize("make", [LocalCounter, make_shared], ids=["local", "shared"])
@settings(max_examples=60, deadline=None)
@given(windows=WINDOWS, steps=STEPS)
def test_a_counter_does_what_the_model_does(
    make: MakeCounter, windows: list[Window], steps: list[tuple[str, float]]
) -> None:
    now = [1000.0]
    counter, model = make(lambda: now[0]), Model()
    for who, pause in steps:
        now[0] += pause
        fits, used = model.take(who, windows, now[0])
        tallies = counter.take(who, windows)
        assert [tally.used for tally in tallies] == used
        assert all(tally.wait_seconds == 0 for tally in tallies) == fits
    counter.close()


def test_a_refused_hit_uses_up_nothing_in_any_window(make_counter: MakeCounter) -> None:
    now = [1000.0]
    counter = make_counter(lambda: now[0])
    windows = [Window(2, 1), Window(3, 100)]
    for _ in range(20):
        counter.take("a", windows)
    now[0] += 1
    assert all(tally.wait_seconds == 0 for tally in counter.take("a", windows))
    refused = counter.take("a", windows)
    assert [tally.used for tally in refused] == [1, 3]
    assert [tally.wait_seconds > 0 for tally in refused] == [False, True]


def test_the_wait_is_until_a_hit_fits(make_counter: MakeCounter) -> None:
    now = [1000.0]
    counter = make_counter(lambda: now[0])
    window = [Window(2, 10)]
    counter.take("a", window)
    now[0] += 4
    counter.take("a", window)
    now[0] += 1
    assert counter.take("a", window)[0].wait_seconds == 5
    now[0] += 5
    assert counter.take("a", window)[0].wait_seconds == 0
    assert counter.take("a", window)[0].wait_seconds == 4


def test_the_memory_of_callers_is_bounded_and_forgets_those_of_long_ago_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LocalCounter, "MAXIMUM_CALLERS", 10)
    counter = LocalCounter()
    window = [Window(5, 3600)]
    for number in range(100):
        counter.take(f"user{number}", window)
        counter.take("regular", window)
    assert len(counter._hits[window[0]]) <= 11
    assert counter.take("regular", window)[0].wait_seconds > 0


def test_a_full_file_forgets_those_of_long_ago_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(SharedCounter, "MAXIMUM_CALLERS", 8)
    now = [1000.0]
    counter = SharedCounter(tmp_path, lambda: now[0])
    window = [Window(1, 3600)]
    for number in range(9):
        now[0] += 1
        counter.take(f"user{number}", window)
    assert counter.take("user8", window)[0].wait_seconds > 0
    assert counter.take("user1", window)[0].wait_seconds > 0
    assert counter.take("user0", window)[0].wait_seconds == 0
    counter.close()


def test_a_large_limit_takes_room_for_what_was_used_only(tmp_path: Path) -> None:
    counter = SharedCounter(tmp_path)
    windows = [Window(1_000_000_000, 86400)]
    for _ in range(3):
        assert counter.take("a", windows)[0].wait_seconds == 0
    assert sum(file.stat().st_blocks * 512 for file in tmp_path.iterdir()) < 100_000
    counter.close()


def _hit_many(folder: Path, times: int, results: "multiprocessing.Queue[int]") -> None:
    counter = SharedCounter(folder)
    windows = [Window(60, 60), Window(1000, 86400)]
    results.put(sum(all(t.wait_seconds == 0 for t in counter.take("alice", windows)) for _ in range(times)))


def test_of_200_hits_by_4_processes_exactly_60_fit_a_limit_of_60(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[int] = context.Queue()
    processes = [context.Process(target=_hit_many, args=(tmp_path, 50, results)) for _ in range(4)]
    for process in processes:
        process.start()
    fitting = [results.get(timeout=30) for _ in processes]
    for process in processes:
        process.join()
    assert sum(fitting) == 60


# --- quotas ---


async def take(quotas: Quotas, quota: str, who: str, own: str = "") -> Allowance:
    allowance = await quotas.hit(quota, who, own)
    assert allowance is not None
    return allowance


def limits(**given: object) -> LimitSettings:
    return LimitSettings(**{"enabled": True, "requests": "3/minute", "executions": "1/minute", **given})  # type: ignore[arg-type]


async def test_an_allowance_counts_down_and_then_refuses_with_the_wait() -> None:
    now = [1000.0]
    quotas = Quotas(limits(), clock=lambda: now[0])
    seen = []
    for _ in range(4):
        seen.append(await take(quotas, "requests", "a"))
        now[0] += 10
    assert [(one.limit, one.remaining, one.allowed) for one in seen] == [
        (3, 2, True), (3, 1, True), (3, 0, True), (3, 0, False)
    ]  # fmt: skip
    assert [one.reset_seconds for one in seen] == [60, 50, 40, 30]
    assert seen[-1].retry_after == 30


async def test_callers_and_quotas_are_counted_apart() -> None:
    quotas = Quotas(limits())
    assert (await take(quotas, "executions", "a")).allowed
    assert not (await take(quotas, "executions", "a")).allowed
    assert (await take(quotas, "executions", "b")).allowed
    assert (await take(quotas, "requests", "a")).remaining == 2


async def test_the_window_nearest_to_its_end_is_shown() -> None:
    quotas = Quotas(limits(requests="5/second;3/day"))
    assert (await take(quotas, "requests", "a")).limit == 3


async def test_own_limits_take_the_place_of_the_general_ones() -> None:
    quotas = Quotas(limits())
    assert (await take(quotas, "requests", "a", "1/day")).limit == 1
    assert (await take(Quotas(LimitSettings()), "requests", "a", "1/day")).limit == 1


async def test_without_limits_nothing_is_counted() -> None:
    assert await Quotas(LimitSettings(requests="1/minute")).hit("requests", "a") is None
    assert await Quotas(limits(requests="")).hit("requests", "a") is None


async def test_quotas_of_two_workers_share_their_count(tmp_path: Path) -> None:
    one, two = Quotas(limits(shared_dir=tmp_path)), Quotas(limits(shared_dir=tmp_path))
    taken = [await take(quotas, "requests", "a") for quotas in (one, two, one, two)]
    assert [allowance.allowed for allowance in taken] == [True, True, True, False]
    await one.close()
    await two.close()


async def test_requests_pass_when_the_shared_folder_is_gone_and_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[None] = []
    quotas = Quotas(limits(shared_dir=tmp_path / "gone"), on_unchecked=lambda: told.append(None))
    with caplog.at_level(logging.WARNING):
        assert [await quotas.hit("requests", "a") for _ in range(5)] == [None] * 5
    assert (quotas.unchecked, len(told), len(caplog.records)) == (5, 5, 1)


async def test_requests_pass_when_redis_is_down_with_one_warning_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = [1000.0]
    quotas = Quotas(limits(storage_uri="redis://:hunter2@127.0.0.1:9/0"), clock=lambda: now[0])
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert await quotas.hit("requests", "a") is None
            now[0] += STORAGE_REST_SECONDS + 0.1
        assert len(caplog.records) == 1
        now[0] += WARNING_SECONDS
        await quotas.hit("requests", "a")
    assert len(caplog.records) == 2
    assert "hunter2" not in caplog.text
    assert quotas.unchecked == 4
    await quotas.close()


async def test_a_storage_that_does_not_answer_holds_up_one_request_only() -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    asked: list[None] = []

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(None)
        await say_nothing(reader, writer)

    server = await asyncio.start_server(count, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    quotas = Quotas(limits(storage_uri=f"redis://127.0.0.1:{port}/0"), clock=lambda: 1000.0)
    assert [await quotas.hit("requests", "a") for _ in range(20)] == [None] * 20
    assert len(asked) == 1
    await quotas.close()
    server.close()
    await server.wait_closed()
