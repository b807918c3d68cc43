"""One gateway and one set of fakes for the whole matrix, and the table that it prints at the end."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.gateway.serving import GATEWAY_KEY, Town, town

_CELLS: pytest.StashKey[dict[str, dict[str, str]]] = pytest.StashKey()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
async def place(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    async with town(tmp_path_factory.mktemp("matrix"), "--key", GATEWAY_KEY) as served:
        served.client.headers["authorization"] = f"Bearer {GATEWAY_KEY}"
        await served.client.post("/v1/models/refresh", json={})
        yield served
        asked = [str(request) for fake in served.fakes.values() for request in fake.received]
        assert not any(GATEWAY_KEY in request for request in asked), "a provider saw the gateway's credential"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Note how a cell of the table came out."""
    outcome = yield
    report: pytest.TestReport = outcome.get_result()
    cells = dict(report.user_properties)
    if report.when == "call" and "row" in cells:
        rows = item.config.stash.setdefault(_CELLS, {})
        row = rows.setdefault(str(cells["row"]), {})
        column = str(cells["column"])
        row[column] = row.get(column, "") + (str(cells.get("mark", "✓")) if report.passed else "✗")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the table: a row for each client and feature, a column for each provider."""
    rows = config.stash.get(_CELLS, {})
    if not rows:
        return
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    width = max(map(len, rows))
    terminalreporter.section("clients × providers: whole and streamed (✓ works, – refused clearly, ✗ fails)")
    terminalreporter.line(" " * width + "".join(f"{column:>12}" for column in columns))
    for name, row in rows.items():
        terminalreporter.line(f"{name:<{width}}" + "".join(f"{row.get(column, ''):>12}" for column in columns))
