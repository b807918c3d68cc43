"""What a list of calls is narrowed down to, as SQL: filters, and a search among the calls that they leave."""

from typing import Any

from gateway.errors import Detail, InvalidRequest

MOST_SEARCHED = 200

# A call that failed; one whose client left (499) is no failure of ours.
FAILED = "(error IS NOT NULL OR status >= 400) AND status <> 499"
REFUSED = "status >= 400"
UNUSUAL = "kind <> 'llm'"
# The filters with an index, from the one that leaves the fewest calls to the one that leaves the most.
SELECTIVE = ("request_id", "kind")
SEARCHED = ("request_id", "path", "provider", "model", "user", "error", "finish_reason")


def make_where(before: int | None, filters: dict[str, str | None], query: str | None) -> tuple[list[str], list[Any]]:
    """The conditions and their values: older than the id `before`, each filter that is not empty, and the search.

    `status` is a number (404), a class (4xx), `ok` or `error`. Raises InvalidRequest.
    """
    conditions: list[str] = []
    values: list[Any] = []
    if before is not None:
        conditions.append("calls.id < ?")
        values.append(before)
    narrowest = next((name for name in SELECTIVE if filters.get(name)), None)
    for name, value in filters.items():
        if value and name == "status":
            condition, bounds = _status_is(value)
            conditions.append(condition)
            values += bounds
        elif value:
            sign = "" if name == narrowest else "+"  # keeps SQLite, which knows no better, from taking its index
            conditions.append(_through(f"{sign}{name} = ?", UNUSUAL, name == "kind" and value != "llm"))
            values.append(value)
    if query:
        if len(query) > MOST_SEARCHED:
            raise InvalidRequest.naming([Detail("q", f"is longer than {MOST_SEARCHED} characters")])
        pattern = query.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        conditions.append("(" + " OR ".join(rf"{name} LIKE ? ESCAPE '\'" for name in SEARCHED) + ")")
        values += [f"%{pattern}%"] * len(SEARCHED)
    return conditions, values


def _status_is(value: str) -> tuple[str, list[int]]:
    match value:
        case "error":
            return f"({FAILED})", []
        case "ok":
            return f"NOT ({FAILED})", []
        case _ if len(value) == 3 and value[0] in "12345" and value[1:].lower() == "xx":
            hundred = int(value[0]) * 100
            return _through("status BETWEEN ? AND ?", REFUSED, hundred >= 400), [hundred, hundred + 99]
        case _ if len(value) == 3 and value.isascii() and value.isdecimal():
            return _through("status = ?", REFUSED, int(value) >= 400), [int(value)]
    raise InvalidRequest.naming([Detail("status", "is not a status (404), a class (4xx), 'ok' or 'error'")])


def _through(condition: str, partial: str, implied: bool) -> str:  # noqa: FBT001 (is the second implied by the first)
    """The condition, with that of a partial index if that one holds as well, since SQLite looks for its very words."""
    return f"{condition} AND {partial}" if implied else condition
