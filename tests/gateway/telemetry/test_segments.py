"""Calls that are packed together are found as if each had a row of its own."""

import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.telemetry import segments
from gateway.telemetry.database import Bounds, Database
from gateway.telemetry.records import Call

NAMES = st.sampled_from([None, "openai", "Ollama", "ą"])
CALLS = st.builds(
    Call, request_id=st.sampled_from(["a-1", "A-2", "b-3"]), path=st.just("/llm"),
    status=st.sampled_from([200, 201, 404, 499, 500, 502]), duration_ms=st.sampled_from([1.0, 2500.0]),
    time=st.sampled_from([1e9, 1e9 + 1, 1e9 + 2]), ttft_ms=st.sampled_from([None, 0.25]), provider=NAMES, user=NAMES,
    prompt_tokens=st.sampled_from([None, 0, 7]), error=st.sampled_from([None, "Broke off", "ÄRGER"]),
    kind=st.sampled_from(["llm", "execution"]),
)  # fmt: skip
CHOICES = [
    ("provider", "openai"), ("user", "Ollama"), ("user", "ą"), ("kind", "llm"), ("status", "ok"), ("status", "error"),
    ("status", "200"), ("status", "2xx"), ("status", "4xx"), ("status", "5xx"), ("status", "502"),
    ("request_id", "a-1"), ("request_id", "none"),
]  # fmt: skip
FILTERS = st.lists(st.sampled_from(CHOICES), max_size=2).map(dict)
SEARCHES = st.sampled_from([None, None, None, "a-", "BROKE", "Är", "är", "olla", "ą", "none", "%", "-1\nA"])


def is_wanted(call, filters, sought):
    """What the filters mean, said once more and for one call."""
    named = ("provider", "user", "kind", "request_id")
    if any(filters.get(name) not in (None, getattr(call, name)) for name in named):
        return False
    failed = (call.error is not None or call.status >= 400) and call.status != 499
    status = filters.get("status")
    if status in ("ok", "error"):
        if failed != (status == "error"):
            return False
    elif status and not str(call.status).startswith(status.rstrip("x")):
        return False
    texts = (call.request_id, call.path, call.provider, call.user, call.error)
    return not sought or any(_plain(sought) in _plain(text) for text in texts if text)


def _plain(text):
    return "".join(letter.lower() if letter.isascii() else letter for letter in text)


def read_pages(database, size, filters, sought):
    found, before = [], None
    for _ in range(100):
        page, before = database.read_calls(size, before, filters, sought)
        found += page
        if before is None:
            return found
    raise AssertionError("there is always one page more")


@settings(max_examples=150, deadline=None)
@given(
    batches=st.lists(st.lists(CALLS, min_size=1, max_size=12), min_size=1, max_size=5),
    dropped=st.integers(0, 15),
    size=st.integers(1, 5),
    asked=st.lists(st.tuples(FILTERS, SEARCHES), min_size=1, max_size=4),
    merged=st.booleans(),
)
def test_calls_are_found_as_if_each_were_looked_at(tmp_path_factory, batches, dropped, size, asked, merged):
    folder = tmp_path_factory.mktemp("segments")
    one, other = Database(folder / "db"), Database(folder / "db")
    kept = []
    for number, batch in enumerate(batches):
        (one, other)[number % 2].write(batch, [])
        kept += batch
    for identity, call in enumerate(kept, 1):
        call.id = identity
    while segments.drop_through(one.connection, dropped):
        pass
    if merged:
        segments.merge(other.connection)
    kept = kept[dropped:]
    for filters, sought in asked:
        expected = [call for call in reversed(kept) if is_wanted(call, filters, sought)]
        assert read_pages(one, size, filters, sought) == expected
    assert one.read_after(dropped + 2, 0, 3)[0] == kept[2:][-3:]
    assert [one.read_call(call.id) for call in kept] == kept
    assert one.read_call(dropped) is None
    one.close()
    other.close()


@pytest.fixture
def connection():
    made = sqlite3.connect(":memory:", isolation_level=None)
    made.execute(segments.SCHEMA)
    return made


def some(first, count, *, ended=0.0):
    columns = ([ended] * count, [f"r{first + n}" for n in range(count)], [3] * count, [200] * count, [0.0] * count)
    return segments.Segment(first, segments.Columns(*columns, *[[None] * count] * 5))


def bounds(connection):
    return connection.execute("SELECT first, last FROM segments ORDER BY first").fetchall()


def test_small_neighbours_are_put_together_up_to_a_size(connection):
    for first, count in ((1, 300), (301, 1), (302, 400), (702, 499), (1201, 2000), (3201, 5), (3300, 5)):
        segments.put(connection, some(first, count))
    segments.merge(connection)
    # Not the large one, nor two that have a gap between them.
    assert bounds(connection) == [(1, 701), (702, 1200), (1201, 3200), (3201, 3205), (3300, 3304)]
    (merged,) = segments.newest_first(connection, before=702)
    assert merged.columns.request_id == [f"r{n}" for n in range(1, 702)]


def test_what_is_too_old_goes_from_the_front_of_a_segment_on(connection):
    for first, ended in ((1, 10.0), (11, 20.0), (21, 5.0)):
        segments.put(connection, some(first, 10, ended=ended))
    mixed = some(31, 10)
    mixed.columns.time[:] = [14.0] * 4 + [30.0] + [14.0] * 5
    segments.put(connection, mixed)
    dropped = []
    while some_more := segments.drop_ended_before(connection, 15.0):
        dropped += some_more
    assert sorted((ids[0], ids[-1]) for ids in dropped) == [(1, 10), (21, 30), (31, 34)]
    assert bounds(connection) == [(11, 20), (35, 40)]


def test_a_log_that_is_written_call_by_call_does_not_become_many_segments(tmp_path):
    database = Database(tmp_path / "db")
    for number in range(200):
        database.write([Call(request_id=f"r{number}", path="/llm", status=200, duration_ms=1.0)], [])
    assert database.prune(Bounds()) == 0
    assert bounds(database.connection) == [(1, 200)]
    database.close()
