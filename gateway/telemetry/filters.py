"""What a list of calls is narrowed down to, as SQL: filters, and a search among the calls that they leave."""

from typing import Any

from gateway.errors import Detail, InvalidRequest

MOST_SEARCHED = 200
_LIKE = r"{} LIKE ? ESCAPE '\'"

# A call that failed; one whose client left (499) is no failure of ours.
FAILED = "(error IS NOT NULL OR status >= 400) AND status <> 499"
REFUSED = "status >= 400"
# What a call has in common with others is looked for among the labels, of which there are few.
LABELLED = ("kind", "provider", "model", "user")
SEARCHED = ("path", "provider", "model", "user", "finish_reason")


def make_where(before: int | None, filters: dict[str, str | None], query: str | None) -> tuple[list[str], list[Any]]:
    """The conditions and their values: older than the id `before`, each filter that is not empty, and the search.

    `status` is a number (404), a class (4xx), `ok` or `error`. Raises InvalidRequest.
    """
    conditions: list[str] = []
    values: list[Any] = []
    if before is not None:
        conditions.append("calls.id < ?")
        values.append(before)
    if request_id := filters.get("request_id"):
        conditions.append("request_id = ?")
        values.append(request_id)
    if status := filters.get("status"):
        condition, bounds = _status_is(status)
        conditions.append(condition)
        values += bounds
    if wanted := [name for name in LABELLED if filters.get(name)]:
        conditions.append(_labelled(" AND ".join(f"{name} = ?" for name in wanted)))
        values += [filters[name] for name in wanted]
    if query:
        if len(query) > MOST_SEARCHED:
            raise InvalidRequest.naming([Detail("q", f"is longer than {MOST_SEARCHED} characters")])
        escaped = query.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        labels = _labelled(" OR ".join(_LIKE.format(name) for name in SEARCHED))
        conditions.append(f"({labels} OR {_LIKE.format('request_id')} OR {_LIKE.format('error')})")
        values += [f"%{escaped}%"] * (len(SEARCHED) + 2)
    return conditions, values


def _labelled(condition: str) -> str:
    return f"label IN (SELECT labels.id FROM labels WHERE {condition})"  # noqa: S608


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
