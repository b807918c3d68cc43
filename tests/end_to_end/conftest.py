from collections.abc import Iterator

import pytest

from tests.conftest import free_port
from tests.end_to_end.pair import UP_SECONDS, Pair, make_pair


@pytest.fixture(scope="session")
def pair() -> Iterator[Pair]:
    """Gateway and executor, up and healthy, started as a user would start them."""
    pair = make_pair(free_port())
    try:
        told = pair.run("scripts/up", seconds=UP_SECONDS)
        assert pair.url in told
        yield pair
    finally:
        pair.run("scripts/down")
        pair.run("docker", "volume", "rm", "--force", f"{pair.project}_secret")
