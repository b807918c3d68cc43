"""What the executor tells of itself."""

import subprocess
from pathlib import Path

import httpx
import pytest

from executor.settings import CONTROL_NAMES
from tests.executor.conftest import BASE_IMAGE, Executor, running

pytestmark = pytest.mark.docker


def test_health_is_ok_as_text_and_more_as_json(executor: Executor) -> None:
    answer = httpx.get(f"{executor.url}/health")
    assert (answer.status_code, answer.text, answer.headers["vary"]) == (200, "ok", "Accept")
    told = executor.health()
    assert told["status"] == "healthy"
    assert told["controls"] == dict.fromkeys(CONTROL_NAMES, "passed")
    assert told["engine"]["runtime"]
    assert told["images"]["base"]["ready"] is True
    assert told["pool"]["base"]["target"] >= 1


@pytest.mark.parametrize("path", ["/health", "/metrics"])
def test_what_is_open_is_so_with_a_slash_at_its_end_and_for_those_who_want_the_head_alone(
    executor: Executor, path: str
) -> None:
    with httpx.Client(base_url=executor.url) as client:
        assert client.get(f"{path}/").status_code == 200
        heads = [client.head(path), client.head(f"{path}/")]
        assert [(head.status_code, head.content) for head in heads] == [(200, b"")] * 2
        assert {head.headers["content-type"] for head in heads} == {client.get(path).headers["content-type"]}


def test_answers_bear_no_empty_headers(executor: Executor) -> None:
    assert all(httpx.get(f"{executor.url}/health").headers.values())


def test_limits_tell_the_policy_and_what_the_images_hold(executor: Executor) -> None:
    with executor.client() as client:
        told = client.get("/limits").json()
    assert told["defaults"] == {"image": "base", "timeout_seconds": 10, "memory_mb": 256, "cpus": 1}
    assert told["maxima"]["timeout_seconds"] == 60
    assert told["images"]["base"]["python"].startswith("3.")
    assert isinstance(told["images"]["base"]["packages"], dict)
    assert 24 <= told["images"]["base"]["least_memory_mb"] <= 48
    assert set(told["controls"]) == set(CONTROL_NAMES)


def test_metrics_have_the_names_of_the_contract(executor: Executor) -> None:
    executor.execute("1")
    text = httpx.get(f"{executor.url}/metrics").text
    for line in (
        'sandbox_pool_ready{image="base"}',
        'sandbox_pool_target{image="base"}',
        'sandbox_start_seconds_count{image="base"}',
        'executions_total{status="ok"}',
        "execution_duration_seconds_count",
        "execution_queue_seconds_count",
        "executions_active 0.0",
    ):
        assert f"\n{line}" in text


def test_a_missing_image_is_named_and_the_others_are_served(tmp_path: Path) -> None:
    images = f"base={BASE_IMAGE},data=no-such-image:1"
    with running(tmp_path, ready=False, SANDBOX_IMAGES=images, POOL_SIZE="base=0,data=1") as executor:
        executor.wait(lambda: executor.health()["images"]["base"]["ready"])
        assert executor.health()["status"] == "unhealthy"
        answer = httpx.get(f"{executor.url}/health")
        assert answer.status_code == 503
        assert "no-such-image:1" in answer.text
        with executor.client() as client:
            refused = client.post("/execute", json={"code": "1", "image": "data"})
        assert (refused.status_code, refused.json()["code"]) == (503, "sandbox_unavailable")
        assert "no-such-image:1" in refused.json()["message"]
        assert executor.execute("1 + 1")["result"] == 2


def test_a_missing_module_is_told_with_the_image_that_has_it(tmp_path: Path) -> None:
    dockerfile = f"FROM {BASE_IMAGE}\nUSER 0\nENV PYTHONPATH=/extra\nCOPY . /extra\nUSER 65534:65534\n"
    (tmp_path / "Dockerfile").write_text(dockerfile)
    (tmp_path / "abacus.py").write_text("beads = 10\n")
    metadata = tmp_path / "abacus-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: abacus\nVersion: 1.0\n")
    (metadata / "top_level.txt").write_text("abacus\n")
    image = "sandgate-test-extra:1"
    subprocess.run(["docker", "build", "--quiet", "--tag", image, str(tmp_path)], check=True, capture_output=True)
    try:
        with running(
            tmp_path, SANDBOX_IMAGES=f"base={BASE_IMAGE},extra={image}", POOL_SIZE="base=0,extra=0"
        ) as executor:
            lacking = executor.execute("import abacus")
            assert lacking["error"]["type"] == "ModuleNotFoundError"
            assert '"image": "extra"' in lacking["error"]["hint"]
            assert executor.execute("import abacus\nabacus.beads", image="extra")["result"] == 10
            with executor.client() as client:
                assert client.get("/limits").json()["images"]["extra"]["packages"]["abacus"] == "1.0"
    finally:
        subprocess.run(["docker", "rmi", "--force", image], check=True, capture_output=True)


def test_a_runtime_that_the_engine_lacks_is_told(tmp_path: Path) -> None:
    with running(tmp_path, ready=False, SANDBOX_RUNTIME="no-such-runtime") as executor:
        executor.wait(lambda: "no-such-runtime" in (executor.health().get("message") or ""))
        with executor.client() as client:
            assert client.post("/execute", json={"code": "1"}).status_code == 503


def test_an_engine_that_is_not_there_is_told_and_refuses_at_once(tmp_path: Path) -> None:
    with running(tmp_path, ready=False, DOCKER_HOST=f"unix://{tmp_path}/none.sock") as executor:
        executor.wait(lambda: "cannot be reached" in (executor.health().get("message") or ""))
        with executor.client() as client:
            refused = client.post("/execute", json={"code": "1"})
        assert (refused.status_code, refused.json()["error"]) == (503, "Service Unavailable")
        assert refused.json()["code"] == "sandbox_unavailable"
