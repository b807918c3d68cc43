"""Single answers of a running system, looked at before or after it is under load."""

import http.client
import json
import time
from contextlib import closing
from statistics import median
from typing import Any

from scripts.benchmarks.systems import System
from scripts.benchmarks.terminal import CannotMeasure

WORD = "Seine"  # of mock_provider.c
TIMES = 5
STATS = "/api/stats?window=1h"
LOG = "/api/logs/api-calls"
QUERIES = {
    "newest page": LOG,
    "1,000 newest": f"{LOG}?limit=1000",
    "by provider": f"{LOG}?provider=openai",
    "by model": f"{LOG}?model=gpt-4o-mini",
    "by status": f"{LOG}?status=ok",
    "errors": f"{LOG}?status=error",
    "by user": f"{LOG}?user=bench",
    "by request id, none such": f"{LOG}?request_id=none-such",
    "search, found": f"{LOG}?q=gpt-4o",
    "search, nothing found": f"{LOG}?q=none-such",
    "charts of 15 minutes": "/api/stats?window=15m",
}


def check(system: System, provider: str) -> None:
    """See that an answer is the mock provider's, in OpenAI's shape: an error can be fast, too."""
    request = system.ask(provider)
    with closing(http.client.HTTPConnection("127.0.0.1", system.port, timeout=60)) as connection:
        connection.request(
            "POST", request.path, json.dumps(request.body), {"content-type": "application/json", **request.headers}
        )
        answer = connection.getresponse().read()
    try:
        right = WORD in json.loads(answer)["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError):
        right = False
    if not right:
        raise CannotMeasure(f"{system.name} does not answer as it should: {answer[:300]!r}")


def query_log(system: System) -> dict[str, Any]:
    """Ask Sandgate's call log in every way it can be asked.

    Gives `calls`, how many it knows of the last hour, and `ms`, by query the median time of its answer.
    """
    with closing(http.client.HTTPConnection("127.0.0.1", system.port, timeout=60)) as connection:
        counted = _ask(connection, system, STATS)
        taken = {name: _time(connection, system, path) for name, path in QUERIES.items()}
    return {"calls": counted["calls"]["total"]["calls"], "ms": taken}


def _time(connection: http.client.HTTPConnection, system: System, path: str) -> float:
    """The median time of an answer, in ms."""
    taken = []
    for _ in range(TIMES):
        began = time.perf_counter()
        _ask(connection, system, path)
        taken.append((time.perf_counter() - began) * 1000)
    return median(taken)


def _ask(connection: http.client.HTTPConnection, system: System, path: str) -> Any:
    connection.request("GET", path, headers=dict(system.headers))
    response = connection.getresponse()
    answer = response.read()
    if response.status != 200:
        raise CannotMeasure(f"{system.name} does not answer {path}: {answer[:300]!r}")
    return json.loads(answer)
