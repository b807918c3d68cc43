"""Ollama's lists of models and what it tells of one (docs/api.md: tags, show, ps, version)."""

from collections.abc import Sequence
from typing import Any

from gateway.dialects.ollama import write_time
from gateway.dialects.reading import open_body
from gateway.messages.models import Model

VERSION = "0.12.0"
"""The version of Ollama whose API this is: its clients ask, and compare."""

_EMPTY_DETAILS: dict[str, Any] = {
    "parent_model": "",
    "format": "",
    "family": "",
    "families": [],
    "parameter_size": "",
    "quantization_level": "",
}


def write_tag(name: str, model: Model, provider: str, languages: Sequence[str]) -> dict[str, Any]:
    """Write one model under the name it is called by here; what the provider does not tell is empty."""
    told = model.details
    details = told.get("details")
    return {
        "name": name,
        "model": name,
        "modified_at": told.get("modified_at") or write_time(model.created),
        "size": told.get("size") or 0,
        "digest": told.get("digest") or "",
        "details": {**_EMPTY_DETAILS, **(details if isinstance(details, dict) else {"family": provider})},
        "provider": provider,
        "languages": list(languages),
    }


def parse_show(body: bytes) -> str:
    """Read which model is asked about; `name` is its older name."""
    fields = open_body(body)
    model = fields.text("model", empty=False) or fields.text("name", empty=False)
    if model is None and not fields.complaints:
        fields.complain("model", "is required")
    fields.check()
    return model or ""


def write_show(model: Model, provider: str) -> dict[str, Any]:
    """Write what is known of one model; tools and vision are not known of most, and not claimed to be missing."""
    tag = write_tag(model.id, model, provider, ())
    told = model.details.get("capabilities")
    return {
        "license": "",
        "modelfile": "",
        "parameters": "",
        "template": "",
        "details": tag["details"],
        "model_info": {"general.architecture": tag["details"]["family"], "general.basename": model.id},
        "capabilities": told if isinstance(told, list) else ["completion", "tools", "vision"],
        "modified_at": tag["modified_at"],
    }


def write_version() -> dict[str, str]:
    """Write the version."""
    return {"version": VERSION}
