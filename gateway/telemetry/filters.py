"""What a list of calls is narrowed down to: filters, and a search among the calls that they leave.

What a call has in common with others is looked for among the labels, by SQL; the rest call by call.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence

from gateway.errors import Detail, InvalidRequest
from gateway.telemetry.segments import Columns, Segment

MOST_SEARCHED = 200
LABELLED = ("kind", "provider", "model", "user")
SEARCHED = ("path", "provider", "model", "user", "finish_reason")
_ANY_OF_SEARCHED = " OR ".join(rf"{name} LIKE ? ESCAPE '\'" for name in SEARCHED)

Judge = Callable[[int, str | None], bool]


class Selection:
    """The calls that are looked for, over the labels of a database. Raises InvalidRequest.

    `status` is a number (404), a class (4xx), `ok` or `error`; a filter that is empty is none. `refused` tells that
    only calls with a status of 400 or more or an error can be among them, `labels` which labels they have, if not any.
    """

    def __init__(self, connection: sqlite3.Connection, filters: dict[str, str | None], query: str | None) -> None:
        self._request_id = filters.get("request_id") or None
        self._judge, self.refused = _read_status(filters.get("status"))
        self.labels: frozenset[int] | None = None
        if wanted := [name for name in LABELLED if filters.get(name)]:
            condition = " AND ".join(f"{name} = ?" for name in wanted)
            self.labels = _find_labels(connection, condition, [filters[name] for name in wanted])
        self._sought = fold(query) if query else None
        self._found = frozenset[int]()
        if query:
            if len(query) > MOST_SEARCHED:
                raise InvalidRequest.naming([Detail("q", f"is longer than {MOST_SEARCHED} characters")])
            escaped = query.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
            self._found = _find_labels(connection, _ANY_OF_SEARCHED, [f"%{escaped}%"] * len(SEARCHED))

    def choose(self, segment: Segment, before: int | None) -> Iterator[int]:
        """Give where in the segment calls stand that are looked for and have ids below `before`, newest first."""
        columns = segment.columns
        end = len(columns.time) if before is None else min(len(columns.time), before - segment.first)
        places: Sequence[int] = range(end - 1, -1, -1)
        if self._request_id is not None:
            places = [place for place in places if columns.request_id[place] == self._request_id]
        if self.labels is not None:
            places = [place for place in places if columns.label[place] in self.labels]
        if (judge := self._judge) is not None:
            places = [place for place in places if judge(columns.status[place], columns.error[place])]
        if self._sought is not None:
            places = self._search(columns, self._sought, places)
        return iter(places)

    def _search(self, columns: Columns, sought: str, places: Sequence[int]) -> Sequence[int]:
        found = self._found
        # Most segments have nothing of it at all.
        if (
            found.isdisjoint(columns.label)
            and sought not in fold("\n".join(columns.request_id))
            and columns.error.count(None) == len(columns.error)
        ):
            return ()
        return [
            place
            for place in places
            if columns.label[place] in found
            or sought in fold(columns.request_id[place])
            or sought in fold(columns.error[place] or "")
        ]


def fold(text: str) -> str:
    """The text with its ASCII letters in lower case, as SQLite compares."""
    return (
        text.lower()
        if text.isascii()
        else text.encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass")
    )


def has_failed(status: int, error: str | None) -> bool:
    """Whether a call failed; one whose client left (499) is no failure of ours."""
    return (error is not None or status >= 400) and status != 499


def _find_labels(connection: sqlite3.Connection, condition: str, values: Sequence[str | None]) -> frozenset[int]:
    found = connection.execute(f"SELECT id FROM labels WHERE {condition}", values)  # noqa: S608
    return frozenset(number for (number,) in found)


def _read_status(value: str | None) -> tuple[Judge | None, bool]:
    """How a call is judged by its status and error, None if all are good, and whether all that are were refused."""
    match value:
        case None | "":
            return None, False
        case "error":
            return has_failed, True
        case "ok":
            return lambda status, error: not has_failed(status, error), False
        case _ if len(value) == 3 and value[0] in "12345" and value[1:].lower() == "xx":
            hundred = int(value[0]) * 100
            return lambda status, _: hundred <= status <= hundred + 99, hundred >= 400
        case _ if len(value) == 3 and value.isascii() and value.isdecimal():
            number = int(value)
            return lambda status, _: status == number, number >= 400
    raise InvalidRequest.naming([Detail("status", "is not a status (404), a class (4xx), 'ok' or 'error'")])
