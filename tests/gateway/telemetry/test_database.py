import random
import sqlite3
import time

import pytest

from gateway.telemetry import segments
from gateway.telemetry.database import Bounds, Database
from gateway.telemetry.records import Call, ServerEvent


@pytest.fixture
def database(tmp_path):
    made = Database(tmp_path / "db")
    yield made
    made.close()


def call(**facts):
    known = {"request_id": "req-1", "path": "/v1/chat/completions", "status": 200, "duration_ms": 12.5}
    return Call(**(known | {"provider": "openai", "model": "gpt-4o"} | facts))


def test_the_oldest_calls_go_when_there_are_too_many_or_they_are_too_old(database):
    now = time.time()
    database.write([call(request_id=f"r{n}", time=now - 60 * (100 - n)) for n in range(100)], [])
    assert database.prune(Bounds(calls=60, age_seconds=7 * 24 * 3600)) == 40
    assert database.prune(Bounds(calls=60, age_seconds=30 * 60)) == pytest.approx(30, abs=2)
    left, _ = database.read_calls(100, None, {}, None)
    assert left[0].request_id == "r99"
    assert len(left) == pytest.approx(30, abs=2)


def test_the_log_stays_within_its_size_and_gives_the_space_back(tmp_path):
    database = Database(tmp_path / "db")
    database.write([call(request_id=f"r{n}", request_body="x" * 3900) for n in range(1000)], [])
    assert 300 <= database.prune(Bounds(size=2_500_000)) <= 700
    assert database.read_calls(1, None, {}, None)[0][0].request_id == "r999"
    database.clear()
    database.close()
    assert (tmp_path / "db").stat().st_size < 100_000


def test_events_are_bounded_too(database):
    database.write([], [ServerEvent(kind="k", message=str(n)) for n in range(50)])
    database.prune(Bounds(events=10))
    assert [event.message for event in database.read_events(100, None)[0]] == [str(n) for n in reversed(range(40, 50))]


SCANNED = [
    {"kind": "execution"},
    {"provider": "none"},
    {"model": "none"},
    {"user": "none"},
    {"provider": "p0", "model": "none"},
]
PASSED_OVER = [
    {"status": "404"}, {"status": "5xx"}, {"status": "error"},
    {"status": "error", "model": "m"}, {"status": "error", "model": "none"},
]  # fmt: skip


@pytest.mark.parametrize("filters", [*PASSED_OVER, *SCANNED[1:]], ids=str)
def test_segments_that_cannot_have_what_is_looked_for_are_passed_over(database, filters, monkeypatch):
    for number in range(10):
        facts = {"status": 502, "error": "broke", "model": "m"} if number == 3 else {}
        database.write([call(request_id=f"r{number}-{n}", **facts) for n in range(5)], [])
    read = []
    unpack = segments._unpack
    monkeypatch.setattr(segments, "_unpack", lambda first, packed: read.append(first) or unpack(first, packed))
    found, _ = database.read_calls(100, None, filters, None)
    expected = filters in ({"status": "error"}, {"status": "5xx"}, {"status": "error", "model": "m"})
    assert len(found) == 5 * expected
    assert len(read) <= 1


def test_each_query_over_a_hundred_thousand_calls_is_quick(database):
    chance = random.Random(7)
    batch = [call(request_id=f"r{n}", model=f"m{n % 8}", status=chance.choice([200, 200, 500])) for n in range(10_000)]
    for _ in range(10):
        database.write(batch, [])
    queries: list[tuple[int | None, dict[str, str | None], str | None]] = [
        (None, {}, None), (50_000, {}, None), (None, {"status": "ok", "model": "none"}, None),
        (None, {}, "100% nothing"),
        (None, {"status": "error"}, "100% nothing"), *((None, dict(one), None) for one in (*PASSED_OVER, *SCANNED)),
    ]  # fmt: skip
    for before, filters, query in queries:
        began = time.thread_time()  # what others take of the machine does not count
        database.read_calls(100, before, filters, query)
        assert time.thread_time() - began < 0.5, (before, filters, query)


# The tables as the first two versions made them.
EARLIER = {
    1: """
CREATE TABLE calls (id INTEGER PRIMARY KEY AUTOINCREMENT, ended REAL NOT NULL, time, kind, request_id, method, path,
status, duration_ms, ttft_ms, provider, model, stream, user, prompt_tokens, completion_tokens, cached_tokens,
finish_reason, partial, error);
CREATE INDEX calls_by_end ON calls (ended);
CREATE TABLE bodies (id INTEGER PRIMARY KEY, request TEXT, response TEXT);
CREATE TABLE events (id INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL, kind TEXT, message TEXT, facts TEXT);
CREATE TABLE generation (number INTEGER NOT NULL);
INSERT INTO generation VALUES (1);
PRAGMA user_version = 1;
""",
    2: """
CREATE INDEX calls_by_request ON calls (request_id);
CREATE INDEX calls_of_other_kinds ON calls (kind) WHERE kind <> 'llm';
CREATE INDEX calls_refused ON calls (status) WHERE status >= 400;
CREATE INDEX calls_failed ON calls (id) WHERE (error IS NOT NULL OR status >= 400) AND status <> 499;
CREATE TABLE figures (width INTEGER, slot INTEGER, kind TEXT, provider TEXT, model TEXT, calls INTEGER,
errors INTEGER, cancelled INTEGER, partial INTEGER, without_usage INTEGER, prompt_tokens INTEGER,
completion_tokens INTEGER, cached_tokens INTEGER, latency BLOB, ttft BLOB);
CREATE UNIQUE INDEX figures_by_slot ON figures (width, slot, kind, provider, model);
PRAGMA user_version = 2;
""",
}
# What the third one made of them: calls that point to labels.
LABEL = "kind, method, path, provider, model, stream, user, finish_reason, partial"
THIRD = f"""
ALTER TABLE calls RENAME TO calls_before;
DROP INDEX calls_by_end; DROP INDEX calls_by_request; DROP INDEX calls_of_other_kinds;
DROP INDEX calls_refused; DROP INDEX calls_failed; DROP TABLE generation;
CREATE TABLE calls (id INTEGER PRIMARY KEY AUTOINCREMENT, ended, time, request_id, label, status, duration_ms, ttft_ms,
prompt_tokens, completion_tokens, cached_tokens, error);
CREATE INDEX calls_by_end ON calls (ended);
CREATE TABLE labels (id INTEGER PRIMARY KEY AUTOINCREMENT, {LABEL});
CREATE INDEX labels_by_model ON labels (model, path, user);
CREATE TABLE generation (number INTEGER NOT NULL, swept INTEGER NOT NULL);
INSERT INTO generation VALUES (1, 1);
INSERT INTO labels ({LABEL}) SELECT DISTINCT {LABEL} FROM calls_before;
INSERT INTO calls SELECT old.id, ended, time, request_id, labels.id, status, duration_ms, ttft_ms, prompt_tokens,
completion_tokens, cached_tokens, error
FROM calls_before AS old JOIN labels ON ({LABEL.replace("kind", "labels.kind").replace(", ", ", labels.")})
IS ({LABEL.replace("kind", "old.kind").replace(", ", ", old.")});
UPDATE sqlite_sequence SET seq = 50 WHERE name = 'calls';
DROP TABLE calls_before;
PRAGMA user_version = 3;
"""


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_log_of_an_earlier_version_is_kept(tmp_path, version):
    earlier = sqlite3.connect(tmp_path / "db", isolation_level=None)
    earlier.executescript("".join(script for number, script in EARLIER.items() if number <= version))
    for number in range(1, 51):
        values = (
            number + 0.25, float(number), "llm", f"r{number}", "POST", "/llm", 200 + 300 * (number % 2), 250.0, None,
            "openai", f"m{number % 3}", number % 2, None, 7, None, None, "stop", 0, "boom" if number % 2 else None,
        )  # fmt: skip
        earlier.execute(f"INSERT INTO calls VALUES (NULL{', ?' * 19})", values)
    earlier.execute("INSERT INTO bodies VALUES (49, 'asked', 'told')")
    earlier.execute("DELETE FROM calls WHERE id IN (20, 50)")
    if version == 3:
        earlier.executescript(THIRD)
    earlier.close()
    database = Database(tmp_path / "db")
    assert database.newest() == (50, 0)
    database.write([call(model="new")], [])
    found, _ = database.read_calls(100, None, {}, None)
    assert [one.id for one in found] == [51, *range(49, 20, -1), *range(19, 0, -1)]
    assert found[1] == call(
        id=49, time=49.0, request_id="r49", path="/llm", status=500, duration_ms=250.0, model="m1", stream=True,
        prompt_tokens=7, finish_reason="stop", error="boom", request_body="asked", response_body="told",
    )  # fmt: skip
    assert {one.model for one in database.read_calls(100, None, {"model": "m2"}, None)[0]} == {"m2"}
    assert database.connection.execute("SELECT count(*) FROM labels").fetchone() == (7,)
    added = 48 if version == 1 else 0  # the second one has added up its own
    assert database.connection.execute("SELECT sum(calls) FROM figures WHERE width = 60").fetchone() == (added + 1,)
    database.close()


@pytest.mark.parametrize("content", [b"this is no database " * 100, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_file_is_set_aside_not_lost(tmp_path, content):
    (tmp_path / "db").write_bytes(content)
    database = Database(tmp_path / "db")
    database.write([call()], [])
    database.close()
    (aside,) = tmp_path.glob("db.aside-*")
    assert aside.read_bytes() == content


def test_a_file_of_a_later_version_is_set_aside(tmp_path):
    later = sqlite3.connect(tmp_path / "db")
    later.execute("PRAGMA user_version = 99")
    later.close()
    database = Database(tmp_path / "db")
    assert database.read_calls(1, None, {}, None) == ([], None)
    database.close()
    assert len(list(tmp_path.glob("db.aside-*"))) == 1
