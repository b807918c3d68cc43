"""Files of the call log that earlier versions wrote, brought over. Ids go on where they were.

Versions 1 to 3 had a row for each call: the first two with all that is told of it, the third one with its label beside
it. The first one kept no figures.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any

from gateway.telemetry import figures, labels, segments
from gateway.telemetry.labels import Label, Labels
from gateway.telemetry.segments import Columns, Segment

_CALLS_AT_ONCE = 1000
_LABEL = ", ".join(Label._fields)
_LABELLED = f"""
{labels.SCHEMA};
INSERT INTO labels ({_LABEL}) SELECT DISTINCT {_LABEL} FROM calls
"""  # noqa: S608
# In the order of `segments.Columns`, after the id.
_READ = """
SELECT calls.id, coalesce(time, ended), coalesce(request_id, ''), {label}, coalesce(status, 0),
coalesce(duration_ms, 0.0), ttft_ms, prompt_tokens, completion_tokens, cached_tokens, error FROM calls {joined}
ORDER BY calls.id
"""
_JOINED = " AND ".join(f"labels.{name} IS calls.{name}" for name in Label._fields)
_ANEW = """
DROP TABLE calls;
DROP TABLE generation
"""


def upgrade(connection: sqlite3.Connection, version: int, generation: str) -> None:
    """Put the calls of a file of that version into the tables of this one; the caller has begun a transaction.

    `generation` makes the table of that name anew.
    """
    newest = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'calls'").fetchone()
    run_all(connection, segments.SCHEMA)
    if version == 1:
        run_all(connection, figures.SCHEMA)
    label, joined = "label", ""
    if version < 3:
        run_all(connection, _LABELLED)
        label, joined = "labels.id", f"JOIN labels ON {_JOINED}"
    find_label = Labels(connection).read
    for run in _runs(connection.execute(_READ.format(label=label, joined=joined))):
        columns = Columns(*list(zip(*run, strict=True))[1:])
        segments.put(connection, Segment(run[0][0], columns))
        if version == 1:
            figures.add_calls(connection, columns, find_label)
    run_all(connection, f"{_ANEW};{generation}")
    if newest is not None:
        connection.execute("UPDATE generation SET newest = max(newest, ?)", newest)


def run_all(connection: sqlite3.Connection, statements: str) -> None:
    """Execute statements one by one: as a script they would end the transaction."""
    for statement in filter(str.strip, statements.split(";")):
        connection.execute(statement)


def _runs(rows: Iterable[Any]) -> Iterator[list[Any]]:
    """Give rows together whose ids, which stand first, follow one another."""
    run: list[Any] = []
    for row in rows:
        if run and (row[0] != run[-1][0] + 1 or len(run) == _CALLS_AT_ONCE):
            yield run
            run = []
        run.append(row)
    if run:
        yield run
