"""What calls have in common is kept once, and no call ever shows another's."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.telemetry import database as databases
from gateway.telemetry.database import Bounds, Database
from gateway.telemetry.records import Call

TEXTS = st.sampled_from([None, "", "a", "b", "ą", "x" * 2000])
CALLS = st.builds(
    Call, request_id=st.uuids().map(str), path=st.sampled_from(["/llm", "/v1/messages", ""]), status=st.just(200),
    duration_ms=st.just(1.0), time=st.just(1e9), provider=TEXTS, model=TEXTS, user=TEXTS, finish_reason=TEXTS,
    stream=st.booleans(), partial=st.booleans(), kind=st.sampled_from(["llm", "execution"]),
    method=st.sampled_from(["GET", "POST"]),
)  # fmt: skip


def call(**facts):
    return Call(**({"request_id": "r", "path": "/llm", "status": 200, "duration_ms": 1.0} | facts))


def count(database):
    return database.connection.execute("SELECT count(*) FROM labels").fetchone()[0]


def shown(made):
    kept = {name: text if text is None or len(text) < 1024 else text[:1023] + "…"
            for name in ("provider", "model", "user", "finish_reason") for text in [getattr(made, name)]}  # fmt: skip
    return {name: kept.get(name, getattr(made, name)) for name in Call.__struct_fields__ if name != "id"}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(CALLS, max_size=20), max_size=4))
def test_each_call_shows_what_it_was_written_with(tmp_path_factory, batches):
    folder = tmp_path_factory.mktemp("labels")
    one, other = Database(folder / "db"), Database(folder / "db")
    for number, batch in enumerate(batches):
        (one, other)[number % 2].write(batch, [])
    found, _ = one.read_calls(1000, None, {}, None)
    assert [shown(made) for made in reversed(found)] == [shown(made) for batch in batches for made in batch]
    one.close()
    other.close()


def test_two_workers_and_a_later_start_share_one_label(tmp_path):
    first, second = Database(tmp_path / "db"), Database(tmp_path / "db")
    for made in (first, second, first):
        made.write([call(user="alice", model=None)] * 3, [])
    first.close()
    third = Database(tmp_path / "db")
    third.write([call(user="alice", model=None)], [])
    assert count(third) == 1
    second.close()
    third.close()


def test_labels_go_with_their_calls_and_no_worker_uses_one_that_has_gone(tmp_path, monkeypatch):
    monkeypatch.setattr(databases, "MOST_LABELS", 10)
    one, other = Database(tmp_path / "db"), Database(tmp_path / "db")
    other.write([call(path="/kept")], [])
    one.write([call(path=f"/{number}") for number in range(100)], [])
    one.prune(Bounds(calls=5))
    assert count(one) == 5
    other.write([call(path="/kept")], [])
    assert [made.path for made in one.read_calls(6, None, {}, None)[0]] == ["/kept", "/99", "/98", "/97", "/96", "/95"]
    one.clear()
    assert count(one) == 0
    other.write([call(path="/kept")], [])
    assert [made.path for made in one.read_calls(6, None, {}, None)[0]] == ["/kept"]
    one.close()
    other.close()


def test_labels_do_not_fill_the_log(tmp_path):
    database = Database(tmp_path / "db")
    for start in range(0, 2000, 100):
        database.write([call(path=f"/{number}-{'x' * 900}") for number in range(start, start + 100)], [])
    database.prune(Bounds(size=1_000_000))
    left, _ = database.read_calls(2000, None, {}, None)
    assert 300 < len(left) < 1500
    assert count(database) == len(left)
    database.close()


def test_a_write_that_fails_leaves_no_label_behind_that_is_not_there(tmp_path, monkeypatch):
    database = Database(tmp_path / "db")
    with monkeypatch.context() as broken:
        broken.setattr(databases, "make_columns", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            database.write([call(path="/first")], [])
    database.write([call(path="/first")], [])
    assert database.read_calls(1, None, {}, None)[0][0].path == "/first"
    database.close()
