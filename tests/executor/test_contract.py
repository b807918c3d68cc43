"""The wire between the two services, held to the golden exchanges of `tests/contract/executor`.

Each file is one exchange: `request`, `status`, and the `answer` (or the `events` of a stream). What differs from run
to run (ids, times, versions) counts by its type alone. The gateway's tests may serve the answers as they stand.
"""

import json
import time
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from executor.api.guard import AUDIENCE, MAX_AHEAD_SECONDS, read_token
from tests.executor.conftest import Executor

CONTRACT = Path(__file__).resolve().parents[1] / "contract" / "executor"
EXCHANGES = sorted(CONTRACT.glob("exchanges/*.json"))
VARYING = {"id", "request_id", "wall_ms", "cpu_ms", "memory_peak_mb", "queue_ms", "python", "warm", "runtime"}


def steady(value: Any, key: str = "") -> Any:
    """The value with what varies replaced by the name of its type."""
    if key in VARYING:
        return type(value).__name__.replace("int", "float")
    if isinstance(value, dict):
        return {name: steady(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [steady(inner) for inner in value]
    return value


def read_events(text: str) -> list[dict[str, Any]]:
    """The events of a stream; texts of one stream that follow each other are one, however they were cut."""
    events: list[dict[str, Any]] = []
    for block in text.strip().split("\n\n"):
        name, data = (line.partition(": ")[2] for line in block.splitlines())
        told = {"event": name, "data": json.loads(data)}
        if events and name in ("stdout", "stderr") and events[-1]["event"] == name:
            events[-1]["data"]["text"] += told["data"]["text"]
        else:
            events.append(told)
    return events


def test_there_are_exchanges() -> None:
    assert len(EXCHANGES) >= 8


@pytest.mark.docker
@pytest.mark.parametrize("path", EXCHANGES, ids=lambda path: path.stem)
def test_an_exchange_is_as_agreed(executor: Executor, path: Path) -> None:
    exchange = json.loads(path.read_text())
    asked = exchange["request"]
    headers = {"authorization": f"Bearer {executor.token()}"} if asked.get("token", True) else {}
    answer = httpx.request(
        asked["method"], f"{executor.url}{asked['path']}", json=asked.get("body"), headers=headers, timeout=30
    )
    assert answer.status_code == exchange["status"]
    if "events" in exchange:
        assert steady(read_events(answer.text)) == steady(exchange["events"])
    else:
        assert steady(answer.json()) == steady(exchange["answer"])


def test_a_service_token_is_as_agreed() -> None:
    agreed = json.loads((CONTRACT / "token.json").read_text())
    assert agreed["algorithm"] == "HS256"
    assert agreed["exp_at_most_ahead_seconds"] == MAX_AHEAD_SECONDS
    assert agreed["claims"]["aud"] == AUDIENCE
    claims = agreed["claims"] | {"exp": int(time.time()) + agreed["exp_at_most_ahead_seconds"]}
    token = jwt.encode(claims, agreed["secret"], agreed["algorithm"])
    assert read_token(token, agreed["secret"]) == agreed["claims"]["sub"]
