"""OpenAI's list of models (API reference, "Models")."""

from collections.abc import Sequence
from typing import Any


def write_model(model_id: str, created: int, owned_by: str) -> dict[str, Any]:
    """Write one model; `created` is a Unix time in seconds."""
    return {"id": model_id, "object": "model", "created": created, "owned_by": owned_by}


def write_list(listed: Sequence[tuple[str, int, str]]) -> dict[str, Any]:
    """Write a list of (id, created, owned_by)."""
    return {"object": "list", "data": [write_model(*entry) for entry in listed]}
