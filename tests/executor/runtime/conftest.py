"""Boxes that are ready when a test wants one."""

from collections.abc import Iterator

import pytest

from tests.attacks.box import Boxes


@pytest.fixture(scope="session")
def boxes() -> Iterator[Boxes]:
    boxes = Boxes()
    yield boxes
    assert boxes.close() == []
