"""Every operation that takes something shows an example of it, also those whose paths are the provider's."""

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.api import openapi
from gateway.app import list_endpoints
from gateway.configuration import load
from tests.gateway.serving import gateway

pytestmark = pytest.mark.anyio

ANYTHING = ("/{provider}/{path}", "/v1/{path}")


def document(folder: Path) -> dict[str, Any]:
    loaded = load([], {}, folder)
    written: dict[str, Any] = json.loads(json.dumps(openapi.write_document(list_endpoints(loaded), loaded)))
    return written


def filled(path: str, operation: dict[str, Any]) -> str:
    for parameter in operation["parameters"]:
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", parameter["example"])
    return path


async def test_whatever_takes_a_body_shows_one(tmp_path: Path) -> None:
    for path, item in document(tmp_path)["paths"].items():
        for method, operation in item.items():
            for media in operation.get("requestBody", {}).get("content", {}).values():
                assert media.get("examples"), (method, path)


async def test_paths_of_providers_show_an_example_of_the_path_and_of_the_answer(tmp_path: Path) -> None:
    paths = document(tmp_path)["paths"]
    for path in ANYTHING:
        for method, operation in paths[path].items():
            assert "{" not in filled(path, operation), (method, path)
            assert operation["responses"]["default"]["content"]["*/*"]["example"]


async def test_the_examples_of_a_providers_paths_are_answered(tmp_path: Path) -> None:
    paths = document(tmp_path)["paths"]
    operation = paths["/{provider}/{path}"]
    async with gateway(tmp_path) as client:
        listed = await client.get(filled("/{provider}/{path}", operation["get"]))
        body = operation["post"]["requestBody"]["content"]["*/*"]["examples"]["chat"]["value"]
        told = await client.post(filled("/{provider}/{path}", operation["post"]), json=body)
    shown = operation["get"]["responses"]["default"]["content"]["*/*"]["example"]
    assert listed.json()["data"][0] == shown["data"][0]
    assert (told.status_code, told.json()["choices"][0]["message"]["role"]) == (200, "assistant")
