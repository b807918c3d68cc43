"""The docs are complete: every endpoint stands in a valid document, and a live gateway does only what it says."""

import asyncio
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from gateway.api import openapi
from gateway.app import list_endpoints
from gateway.configuration import load
from tests.gateway.serving import GATEWAY_KEY, gateway
from tests.pacing import PATIENCE
from tests.secret_watch import MARK

pytestmark = pytest.mark.anyio


def document(folder: Path, *argv: str, **environ: str) -> dict[str, Any]:
    loaded = load(argv, environ, folder)
    written: dict[str, Any] = json.loads(json.dumps(openapi.write_document(list_endpoints(loaded), loaded)))
    return written


async def test_the_document_is_valid_openapi(tmp_path: Path) -> None:
    OpenAPIV31SpecValidator(document(tmp_path)).validate()
    OpenAPIV31SpecValidator(document(tmp_path, API_PREFIX="/llms/v2")).validate()


async def test_every_endpoint_is_documented(tmp_path: Path) -> None:
    loaded = load([], {}, tmp_path)
    paths = document(tmp_path)["paths"]
    for endpoint in list_endpoints(loaded):
        shown = endpoint.path.replace("<path:path>", "{path}").replace(":path>", "}").replace(":str>", "}")
        shown = shown.replace("<", "{")
        if shown.removesuffix("/{path}")[1:] in loaded.providers:
            shown = "/{provider}/{path}"
        documented = {method.upper() for method in paths[shown]}
        assert set(endpoint.methods.split()) - {"HEAD"} <= documented, endpoint.path


async def test_an_endpoint_that_nothing_is_said_of_is_refused(tmp_path: Path) -> None:
    loaded = load([], {}, tmp_path)
    known = list_endpoints(loaded)[0]
    with pytest.raises(LookupError, match="/unheard-of"):
        openapi.write_document([dataclasses.replace(known, path="/unheard-of")], loaded)


async def test_the_document_follows_the_prefix_but_the_dashboards_data_does_not(tmp_path: Path) -> None:
    paths = document(tmp_path, API_PREFIX="/llms")["paths"]
    assert {"/llms/chat", "/llms/ping", "/api/config", "/api/logs"} <= set(paths)
    assert "/api/chat" not in paths


async def test_who_may_call_stands_at_each_operation(tmp_path: Path) -> None:
    written = document(tmp_path, "--key", f"sk-{MARK}-of-some-length")
    for path, item in written["paths"].items():
        for operation in item.values():
            assert bool(operation["security"]) == ("Scope: `" in operation["description"]), path
    assert {} in document(tmp_path)["paths"]["/llm"]["post"]["security"]


async def test_operation_ids_are_unique(tmp_path: Path) -> None:
    listed = [one["operationId"] for item in document(tmp_path)["paths"].values() for one in item.values()]
    assert len(listed) == len(set(listed))


async def test_examples_of_requests_are_accepted(tmp_path: Path) -> None:
    written = document(tmp_path)
    async with gateway(tmp_path) as client:
        for path, item in written["paths"].items():
            if path in ("/execute", "/api/passthrough"):
                continue
            body = item.get("post", {}).get("requestBody", {}).get("content", {}).get("application/json", {})
            for name, example in body.get("examples", {}).items():
                answer = await client.post(path, json=example["value"], headers={"authorization": "Bearer unused"})
                assert answer.status_code == 200, (path, name, answer.text)


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json"])
async def test_the_docs_are_open_even_with_auth_on(tmp_path: Path, path: str) -> None:
    async with gateway(tmp_path, "--key", f"sk-{MARK}-of-some-length") as client:
        answer = await client.get(path)
        assert answer.status_code == 200
        assert (await client.head(path)).status_code == 200


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
async def test_the_pages_load_nothing_from_elsewhere_and_run_no_inline_script(tmp_path: Path, path: str) -> None:
    async with gateway(tmp_path) as client:
        answer = await client.get(path)
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "default-src 'none'" in policy
    assert "http" not in answer.text.replace("https://json-schema", "")
    assert answer.text.count("<script") == answer.text.count("<script src=")


CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = settings(
    deadline=None, database=None, derandomize=True, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("options", "key", "examples"),
    [((), None, 16), (("--key", GATEWAY_KEY), GATEWAY_KEY, 6), (("--key", GATEWAY_KEY), None, 2)],
    ids=["open", "with a key", "without the key"],
)
async def test_a_live_gateway_answers_as_documented(
    tmp_path: Path, options: tuple[str, ...], key: str | None, examples: int
) -> None:
    async with gateway(tmp_path, *options, USE_PLACEHOLDER_MODE="true") as client:
        written = (await client.get("/openapi.json")).json()
        await asyncio.to_thread(try_all, written, str(client.base_url), key, examples)


def try_all(written: dict[str, Any], url: str, key: str | None, examples: int) -> None:
    schema = schemathesis.openapi.from_dict(written)
    headers = {"authorization": f"Bearer {key}"} if key else {}
    for found in schema.exclude(path_regex=r"\{path\}|/stream$").get_all_operations():

        @settings(EXAMPLES, max_examples=examples)
        @given(case=found.ok().as_strategy())
        def try_one(case: Any) -> None:
            answer = case.call(base_url=url, timeout=PATIENCE, headers=headers)
            assert answer.status_code != 500, (case.as_curl_command(), answer.text)
            case.validate_response(answer, checks=CHECKS)

        try_one()
