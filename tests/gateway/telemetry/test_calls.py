import asyncio
import itertools
import sqlite3

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from gateway.errors import InvalidRequest
from gateway.settings import Settings
from gateway.telemetry import calls as calls_module
from gateway.telemetry.calls import Bounds, CallLog
from gateway.telemetry.masking import mask
from tests.gateway.telemetry.call_log import call, opened
from tests.pacing import PATIENCE

pytestmark = pytest.mark.anyio


async def ids(log, **filters):
    page, _ = await log.calls(**filters)
    return [one.request_id for one in page]


async def test_a_recorded_call_is_found_with_all_its_fields(log):
    made = call(
        time=1_795_254_005.25,
        ttft_ms=3.5,
        stream=True,
        user="alice",
        prompt_tokens=5,
        completion_tokens=2,
        cached_tokens=1,
        finish_reason="stop",
        partial=True,
        error="cut short",
    )
    log.record(made)
    (found,), following = await log.calls()
    made.id = found.id
    assert found == made
    assert following is None
    assert (found.stream, found.partial) == (True, True)


async def test_unknown_usage_is_null_never_zero(log):
    log.record(call())
    (found,), _ = await log.calls()
    assert (found.prompt_tokens, found.completion_tokens, found.cached_tokens) == (None, None, None)


async def test_calls_come_newest_first_page_by_page(log):
    for n in range(25):
        log.record(call(request_id=f"r{n}"))
    seen, before = [], None
    for _ in itertools.count():
        page, before = await log.calls(10, before)
        seen += page
        if before is None:
            break
    assert [one.request_id for one in seen] == [f"r{n}" for n in reversed(range(25))]
    assert [one.id for one in seen] == sorted((one.id for one in seen), reverse=True)


async def test_a_page_that_ends_exactly_has_no_next(log):
    for n in range(10):
        log.record(call(request_id=f"r{n}"))
    assert (await log.calls(10))[1] is None
    assert (await log.calls(9))[1] is not None


async def test_filters_narrow_and_combine(log):
    log.record(call(request_id="a"))
    log.record(call(request_id="b", provider="ollama", model="llama3:8b", status=404, user="bob"))
    log.record(call(request_id="c", provider="ollama", status=502, error="broke"))
    log.record(call(request_id="d", status=200, error="cut short", partial=True))
    log.record(call(request_id="e", status=499, error="the client left"))
    log.record(call(request_id="f", kind="execution", provider=None, model=None))
    assert await ids(log, provider="ollama") == ["c", "b"]
    assert await ids(log, provider="ollama", model="llama3:8b") == ["b"]
    assert await ids(log, status="404") == ["b"]
    assert await ids(log, status="5xx") == ["c"]
    assert await ids(log, status="error") == ["d", "c", "b"]
    assert await ids(log, status="ok") == ["f", "e", "a"]
    assert await ids(log, user="bob", provider="openai") == []
    assert await ids(log, kind="execution") == ["f"]
    assert await ids(log, request_id="c") == ["c"]
    assert len(await ids(log, provider="", model=None, q="")) == 6


@pytest.mark.parametrize("status", ["abc", "20", "2000", "6xx", "200 OR 1=1", "²⁰⁰"])
async def test_a_status_that_is_none_is_refused(log, status):
    with pytest.raises(InvalidRequest, match="status"):
        await log.calls(status=status)


async def test_search_finds_text_anywhere_in_any_case(log):
    log.record(call(request_id="a", error="Connection REFUSED by peer"))
    log.record(call(request_id="b", user="alice"))
    assert await ids(log, q="refused") == ["a"]
    assert await ids(log, q="ALIC") == ["b"]
    assert await ids(log, q="nothing") == []
    with pytest.raises(InvalidRequest):
        await log.calls(q="x" * 201)


@pytest.mark.parametrize("text", ["100%", "a_b", "back\\slash", "it's", '"; DROP TABLE calls; --', "%", "_"])
async def test_wildcards_and_quotes_in_a_search_are_just_text(log, text):
    log.record(call(request_id="hit", error=f"before {text} after"))
    log.record(call(request_id="miss", error="100 aXb back its", path="/llm"))
    assert await ids(log, q=text) == ["hit"]


@examples(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.text(alphabet=st.characters(), max_size=40), st.integers(), st.floats())
async def test_nothing_a_provider_sends_makes_the_log_lose_a_call(log, text, tokens, seconds):
    log.record(call(request_id="odd", model=text, error=text, user=text, prompt_tokens=tokens, duration_ms=seconds))
    log.event("odd", text, fact=text)
    (found, *_), _ = await log.calls()
    assert found.request_id == "odd"
    assert log.dropped == 0


async def test_secrets_are_masked_in_every_text(log):
    mask("hush-hush-secret")
    jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.abcDEF_123"
    for secret in ("hush-hush-secret", "sk-abcdefghijklmnop", jwt):
        log.record(call(request_id=secret, model=secret, user=secret, error=f"x {secret} y", path=f"/p/{secret}"))
        log.event("provider_down", f"with {secret}", key=secret)
    rows, _ = await log.calls()
    events, _ = await log.events()
    assert len(rows) == len(events) == 3
    for secret in ("hush-hush", "sk-abc", "eyJ"):
        assert secret not in f"{[(one.model, one.user, one.error, one.path) for one in rows]}{events}"
    assert not [one for one in rows if one.request_id.startswith(("sk-", "eyJ"))]


async def test_bodies_are_kept_only_when_asked_for(tmp_path):
    async with opened(tmp_path / "off") as log:
        log.record(call(request_body="question", response_body="answer"))
        (found,), _ = await log.calls()
        assert (found.request_body, found.response_body) == (None, None)
    async with opened(tmp_path / "on", log_bodies=True) as log:
        log.record(call(request_id="bare"))
        log.record(call(request_body="question", response_body="answer sk-abcdefghijklmnop"))
        (found, bare), _ = await log.calls()
        assert (found.request_body, found.response_body) == ("question", "answer ***")
        assert bare.request_body is None
        assert await log.call(found.id) == found


async def test_a_body_is_cut_at_64_kb_without_cutting_a_secret_open(tmp_path):
    async with opened(tmp_path, log_bodies=True) as log:
        log.record(call(request_body="é" * 200_000, response_body="x" * 65_530 + " sk-" + "s" * 60))
        (found,), _ = await log.calls()
    assert len(found.request_body.encode()) <= 64 * 1024 + 3
    assert "sk-s" not in found.response_body


async def test_a_page_of_large_bodies_ends_early_and_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr("gateway.telemetry.database.MOST_PAGE_BYTES", 1000)
    async with opened(tmp_path, log_bodies=True) as log:
        for n in range(5):
            log.record(call(request_id=f"r{n}", request_body="x" * 400))
        seen, before = [], None
        while len(seen) < 5:
            page, before = await log.calls(100, before)
            assert 1 <= len(page) <= 2
            seen += [one.request_id for one in page]
    assert seen == ["r4", "r3", "r2", "r1", "r0"]
    assert before is None


async def test_events_are_kept_beside_the_calls(log):
    log.event("start", "the gateway has started", workers=2)
    log.event("provider_down", "openai is failing", provider="openai")
    (newest, oldest), following = await log.events()
    assert (newest.kind, newest.facts, oldest.facts) == ("provider_down", {"provider": "openai"}, {"workers": 2})
    assert following is None
    (again,), following = await log.events(1)
    assert (await log.events(1, following))[0] == [oldest]
    assert again == newest


async def test_what_is_recorded_is_written_without_anybody_asking(log, tmp_path):
    log.record(call())
    await written(tmp_path, 1)


async def written(folder, count):
    """Wait until a reader from outside sees so many calls."""
    reader = sqlite3.connect(folder / "calls.sqlite3")
    async with asyncio.timeout(PATIENCE):
        while reader.execute("SELECT total(last - first + 1) FROM segments").fetchone()[0] < count:
            await asyncio.sleep(0.02)
    reader.close()


async def test_stopping_writes_the_last_calls_and_events(tmp_path):
    async with opened(tmp_path) as log:
        log.record(call())
        log.event("stop", "the gateway has stopped")
    async with opened(tmp_path) as log:
        assert len((await log.calls())[0]) == len((await log.events())[0]) == 1


async def test_without_a_data_dir_the_log_goes_with_the_process():
    async with opened() as log:
        log.record(call())
        assert len((await log.calls())[0]) == 1
        (path,) = [row[2] for row in log._database.connection.execute("PRAGMA database_list")]
    with pytest.raises(sqlite3.OperationalError):
        sqlite3.connect(f"file:{path}?mode=ro", uri=True).execute("SELECT 1 FROM segments")


async def test_several_workers_need_somewhere_to_share():
    with pytest.raises(ValueError, match="DATA_DIR"):
        CallLog(Settings(providers={}, workers=2))


async def test_the_file_is_private(log, tmp_path):
    assert [path.stat().st_mode & 0o077 for path in tmp_path.iterdir()] == [0] * len(list(tmp_path.iterdir()))


async def test_a_folder_that_cannot_be_used_is_named_at_the_start(tmp_path):
    (tmp_path / "calls.sqlite3").mkdir()
    log = CallLog(Settings(providers={}, data_dir=tmp_path))
    with pytest.raises(OSError, match=r"calls\.sqlite3"):
        await log.start()
    await log.stop()


async def test_clearing_deletes_all_and_ids_go_on(log):
    log.record(call())
    log.event("start", "x")
    ((first,), _), _ = await log.calls(), await log.events()
    log.record(call(request_id="pending"))
    await log.clear()
    assert (await log.calls(), await log.events()) == (([], None), ([], None))
    log.record(call())
    ((second,), _) = await log.calls()
    assert second.id > first.id


async def test_pruning_happens_in_the_background(tmp_path):
    async with opened(tmp_path, bounds=Bounds(calls=10)) as log:
        for _ in range(50):
            log.record(call())
        async with asyncio.timeout(PATIENCE):
            while len((await log.calls())[0]) != 10:
                await asyncio.sleep(0.02)


async def test_when_the_disk_does_not_keep_up_the_oldest_go_and_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(calls_module, "MOST_PENDING", 10)
    told = []
    log = CallLog(Settings(providers={}, data_dir=tmp_path), on_dropped=told.append)
    for n in range(25):
        log.record(call(request_id=f"r{n}"))
    await log.start()
    assert await ids(log) == [f"r{n}" for n in reversed(range(15, 25))]
    assert log.dropped == sum(told) == 15
    await log.stop()


async def test_bodies_that_wait_are_bounded_by_their_size(tmp_path, monkeypatch):
    monkeypatch.setattr(calls_module, "MOST_PENDING_BYTES", 1000)
    log = CallLog(Settings(providers={}, data_dir=tmp_path, log_bodies=True))
    for _ in range(10):
        log.record(call(request_body="x" * 300))
    assert log.dropped == 7


async def test_calls_wait_while_the_file_is_locked_and_are_written_after(log, tmp_path, monkeypatch, caplog):
    log._database.connection.execute("PRAGMA busy_timeout = 10")
    blocker = sqlite3.connect(tmp_path / "calls.sqlite3", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    log.record(call())
    await log.flush()
    assert (await log.calls())[0] == []
    assert "cannot be written" in caplog.text
    blocker.execute("ROLLBACK")
    blocker.close()
    assert len((await log.calls())[0]) == 1


async def test_a_reader_that_gives_up_does_not_lose_calls(log):
    for _ in range(20):
        log.record(call())
        reading = asyncio.create_task(log.calls())
        await asyncio.sleep(0)
        reading.cancel()
    assert len((await log.calls())[0]) == 20


async def test_two_workers_in_one_folder_see_each_others_calls(tmp_path):
    async with opened(tmp_path) as one, opened(tmp_path) as two:
        one.record(call(request_id="from one"))
        two.record(call(request_id="from two"))
        await one.flush()
        await two.flush()
        assert sorted(await ids(one)) == sorted(await ids(two)) == ["from one", "from two"]
