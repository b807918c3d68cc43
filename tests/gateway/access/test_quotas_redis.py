"""Limits over several machines: a real Redis in a container, several quotas that share it."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.access.quotas import Quotas
from gateway.settings import LimitSettings

pytestmark = [pytest.mark.anyio, pytest.mark.docker, pytest.mark.timeout(300)]

IMAGE = "sandgate-test-redis"
DOCKERFILE = """
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
RUN apt-get update && apt-get install -y --no-install-recommends redis-server && rm -rf /var/lib/apt/lists/*
CMD ["redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--save", ""]
"""


@pytest.fixture(scope="module")
def redis_uri() -> Iterator[str]:
    os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy

    scripts = Path(__file__).parents[3] / "scripts"
    base = (
        os.environ.get("SANDGATE_BASE_IMAGE")
        or subprocess.run([scripts / "base-image"], stdout=subprocess.PIPE, text=True, check=True)
        .stdout.strip()
        .splitlines()[-1]
    )
    subprocess.run(
        ["docker", "build", "-q", "-t", IMAGE, "--build-arg", f"BASE_IMAGE={base}", "-"],
        input=DOCKERFILE,
        text=True,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    started = DockerContainer(IMAGE).with_exposed_ports(6379)
    with started.waiting_for(LogMessageWaitStrategy("Ready to accept connections")) as redis:
        yield f"redis://{redis.get_container_host_ip()}:{redis.get_exposed_port(6379)}/0"


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What becomes of requests when Redis is slow is tested elsewhere."""
    monkeypatch.setattr("gateway.access.quotas.STORAGE_SECONDS", 20.0)


def share(uri: str, requests: str) -> Quotas:
    return Quotas(LimitSettings(enabled=True, requests=requests, executions=requests, storage_uri=uri))


async def test_of_200_requests_at_4_gateways_exactly_60_pass_a_limit_of_60(redis_uri: str) -> None:
    gateways = [share(redis_uri, "60/minute") for _ in range(4)]
    taken = []
    for _ in range(10):
        taken += await asyncio.gather(*(gateway.hit("requests", "alice") for gateway in gateways for _ in range(5)))
    assert sum(allowance is not None and allowance.allowed for allowance in taken) == 60
    assert all(allowance is not None for allowance in taken)
    assert taken[-1] is not None
    assert 0 < taken[-1].retry_after <= 60
    for gateway in gateways:
        await gateway.close()


async def test_a_request_refused_by_one_window_uses_up_nothing_of_the_other(redis_uri: str) -> None:
    quotas = share(redis_uri, "2/hour;5/day")
    taken = [await quotas.hit("requests", "bob") for _ in range(10)]
    assert [allowance.allowed for allowance in taken if allowance] == [True, True] + [False] * 8
    day = share(redis_uri, "5/day")
    left = await day.hit("requests", "bob")
    assert left is not None
    assert left.remaining == 2
    await quotas.close()
    await day.close()


async def test_quotas_and_callers_are_counted_apart(redis_uri: str) -> None:
    quotas = share(redis_uri, "1/day")
    for quota, who in (("requests", "carol"), ("executions", "carol"), ("requests", "dave")):
        first = await quotas.hit(quota, who)
        assert first is not None
        assert (first.allowed, first.limit, first.remaining) == (True, 1, 0)
    await quotas.close()
