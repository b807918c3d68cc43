from pathlib import Path

import pytest

from gateway import __version__
from tests.gateway.serving import gateway
from tests.secret_watch import MARK

pytestmark = pytest.mark.anyio


async def test_health_is_the_two_letters_ok(tmp_path: Path) -> None:
    async with gateway(tmp_path) as client:
        answer = await client.get("/health")
    assert (answer.status_code, answer.text) == (200, "ok")
    assert answer.headers["content-type"].startswith("text/plain")
    assert "Accept" in answer.headers["vary"]


async def test_health_is_json_for_a_client_that_names_it(tmp_path: Path) -> None:
    async with gateway(tmp_path) as client:
        answer = await client.get("/health", headers={"accept": "application/json"})
    report = answer.json()
    assert report["status"] == "healthy"
    assert report["service"] == "sandgate"
    assert report["version"] == __version__
    assert report["timestamp"].endswith("Z")
    assert "Accept" in answer.headers["vary"]


async def test_health_answers_any_origin_and_any_host(tmp_path: Path) -> None:
    async with gateway(tmp_path) as client:
        answer = await client.get(
            "/health", headers={"origin": "https://elsewhere.example", "host": "evil.example.com"}
        )
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"


async def test_health_can_be_asked_by_head(tmp_path: Path) -> None:
    async with gateway(tmp_path) as client:
        answer = await client.head("/health")
    assert (answer.status_code, answer.content) == (200, b"")


async def test_healthz_tells_what_is_known_without_asking(tmp_path: Path) -> None:
    async with gateway(tmp_path, OPENAI_API_KEY=f"sk-{MARK}-of-the-test", RATE_LIMIT="7/minute") as client:
        report = (await client.get("/healthz")).json()
    assert report["version"] == __version__
    assert report["uptime_seconds"] >= 0
    assert report["providers"]["openai"]["configured"] is True
    assert report["providers"]["anthropic"] == {"configured": False, "reachable": None, "resting_seconds": 0.0}
    assert report["rate_limit"]["enabled"] is True
    assert report["auth"] == {"enabled": False, "modes": []}
    assert set(report["executor"]) == {"reachable", "ready_sandboxes"}
    assert f"sk-{MARK}-of-the-test" not in str(report)


async def test_healthz_is_degraded_when_the_executor_is_known_to_be_away(tmp_path: Path) -> None:
    async with gateway(tmp_path) as client:
        await client.post("/execute", json={"code": "1"})
        report = (await client.get("/healthz")).json()
    assert report["status"] == "degraded"
    assert report["executor"]["reachable"] is False
