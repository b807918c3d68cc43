"""Keeps the garbage collector out of the way while a server starts."""

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def no_collection() -> Iterator[None]:
    """CPython 3.11 fails in `ast.parse` when a collection runs in it, and Sanic's router is made by it."""
    gc.disable()
    yield
    gc.enable()
