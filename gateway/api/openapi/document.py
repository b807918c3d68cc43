"""The document, put together from the endpoints there are and what the YAML files beside this one say of each.

A file holds one family: its `tag`, the form of its `errors`, its `schemas`, and its `operations` under `METHOD /path`,
where `{prefix}` stands for API_PREFIX. Of an operation it says what is special: `request`, `answer`, `stream`,
`statuses`, and under `paths`, by method, an example of each parameter of its path; what follows from who may use an
endpoint is added here. HEAD goes with every GET and is not listed.
"""

import copy
import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec
import yaml

from gateway import __version__
from gateway.api.errors import STATUSES
from gateway.api.guard import Endpoint
from gateway.settings import Settings
from gateway.telemetry.calls import Call, ServerEvent

FAMILIES = ("service", "llm", "openai", "responses", "anthropic", "ollama", "talks", "proxying", "execute", "dashboard")
BARE = {
    "name": "Without /v1",
    "description": "The same as under `/v1`, for clients whose base URL lacks it.",
}
_PARAMETER = re.compile(r"<(\w+):\w+>")
_REFERENCE = "#/components/schemas/"
_ERRORS = {"plain": "Error", "openai": "OpenAIError", "anthropic": "AnthropicError", "ollama": "OllamaError"}
_MEANINGS: dict[int | str, str] = {
    400: "The request is malformed, or a value in it is wrong; every field at fault is named.",
    401: "A credential is wanted, or the one given is not good.",
    403: "The credential lacks the scope or the model asked for; with auth off: the host or origin is a stranger's.",
    404: "There is no such thing, or no provider has this model.",
    413: "The body is larger than MAX_REQUEST_BYTES.",
    415: "The body is not declared as application/json.",
    429: "A limit is reached, the gateway's or the provider's; `Retry-After` says when to come back.",
    500: "A bug in the gateway.",
    502: "The provider answered with something unusable, or refused the gateway's credentials.",
    503: "The provider or the executor is not reachable.",
    504: "The provider or the executor took too long.",
    529: "The provider is overloaded.",
    "4XX": "A provider's own refusal, passed on with its status.",
}
_ASKS_PROVIDER = (404, 413, 429, 502, 503, 504, 529)


def write_document(endpoints: Sequence[Endpoint], settings: Settings) -> dict[str, Any]:
    """Write the document of `endpoints`. Raises LookupError for one that nothing is said of."""
    operations, tags, schemas = _read_families()
    paths: dict[str, Any] = {}
    for endpoint in endpoints:
        shown, written = _find_path(endpoint, settings)
        for method in endpoint.methods.split():
            if method == "HEAD":
                continue
            described = _find(operations, method, written)
            item = paths.setdefault(shown, {})
            item[method.lower()] = _write_operation(described, method, shown, endpoint, settings)
    used = {tag for item in paths.values() for operation in item.values() for tag in operation["tags"]}
    return {
        "openapi": "3.1.0",
        "info": {**_read("document")["info"], "version": __version__},
        "servers": [{"url": "/", "description": "this gateway"}],
        "tags": [tag for tag in (*tags, BARE) if tag["name"] in used],
        "paths": paths,
        "components": {
            "schemas": {**schemas, **_own_schemas()},
            "responses": _error_answers(paths),
            "securitySchemes": _read("document")["securitySchemes"],
            "headers": _read("document")["headers"],
        },
    }


@cache
def _read(name: str) -> Any:
    text = (files(__package__) / f"{name}.yaml").read_text("utf-8")
    return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506  # both are the safe loader


def _read_families() -> tuple[dict[str, Any], list[dict[str, str]], dict[str, Any]]:
    operations: dict[str, Any] = {}
    schemas: dict[str, Any] = dict(_read("document")["schemas"])
    tags = []
    for name in FAMILIES:
        family = _read(name)
        tags.append(family["tag"])
        schemas |= family.get("schemas", {})
        for key, operation in family["operations"].items():
            operations[key] = {"tag": family["tag"]["name"], "errors": family["errors"], **operation}
    return operations, tags, schemas


def _own_schemas() -> dict[str, Any]:
    """Give the schemas of what the call log holds, from the structs themselves."""
    _, schemas = msgspec.json.schema_components((Call, ServerEvent), ref_template=f"{_REFERENCE}{{name}}")
    return schemas


def _find_path(endpoint: Endpoint, settings: Settings) -> tuple[str, str]:
    """Give an endpoint's path as the document shows it, and as the files write it."""
    shown = _PARAMETER.sub(r"{\1}", endpoint.path)
    if shown.removesuffix("/{path}").lstrip("/") in settings.providers and shown.endswith("/{path}"):
        return "/{provider}/{path}", "/{provider}/{path}"
    prefix = f"{settings.api_prefix}/"
    return shown, f"{{prefix}}/{shown.removeprefix(prefix)}" if shown.startswith(prefix) else shown


def _find(operations: dict[str, Any], method: str, written: str) -> dict[str, Any]:
    fixed = written.replace("{prefix}", "/api", 1)
    for key in (f"{method} {written}", f"{method} {fixed}", f"ANY {written}"):
        if key in operations:
            return dict(operations[key])
    if f"{method} /v1{written}" in operations:
        return {**operations[f"{method} /v1{written}"], "tag": BARE["name"]}
    raise LookupError(f"nothing is said of {method} {written}")


def _write_operation(
    described: dict[str, Any], method: str, shown: str, endpoint: Endpoint, settings: Settings
) -> dict[str, Any]:
    access = endpoint.access
    slug = re.sub(r"[^A-Za-z0-9]+", "_", shown).strip("_") or "page"
    operation: dict[str, Any] = {
        "tags": [described["tag"]],
        "operationId": f"{method.lower()}_{slug}",
        "summary": described["summary"],
        "description": described.get("description", "") + (f"\n\nScope: `{access.scope}`." if access.scope else ""),
        "parameters": [
            *_write_path_parameters(shown, settings, described.get("paths", {}).get(method, {})),
            *copy.deepcopy(described.get("parameters", [])),
        ],
        "responses": _write_answers(described, endpoint),
        "security": [],
    }
    if access.scope is not None:
        schemes = ["bearer", "apiKey", *described.get("security", [])]
        operation["security"] = [{scheme: []} for scheme in schemes] + ([] if settings.auth.enabled else [{}])
    if "request" in described and method not in ("GET", "DELETE"):
        operation["requestBody"] = _write_body(described)
    return operation


def _write_path_parameters(shown: str, settings: Settings, examples: dict[str, str]) -> list[dict[str, Any]]:
    parameters = []
    for name in re.findall(r"{(\w+)}", shown):
        schema: dict[str, Any] = {"type": "string", "minLength": 1}
        if name == "provider":
            schema = {"type": "string", "enum": list(settings.providers)}
        parameter = {"name": name, "in": "path", "required": True, "schema": schema}
        parameters.append({**parameter, "example": examples[name]} if name in examples else parameter)
    return parameters


def _write_body(described: dict[str, Any]) -> dict[str, Any]:
    named = {name: {"value": value} for name, value in described.get("examples", {}).items()}
    examples = {"examples": named} if named else {}
    if described["request"] == "any":
        return {"required": False, "content": {"*/*": examples}}
    content: dict[str, Any] = {"schema": {"$ref": _REFERENCE + described["request"]}, **examples}
    return {"required": True, "content": {"application/json": content}}


def _write_answers(described: dict[str, Any], endpoint: Endpoint) -> dict[str, Any]:
    headers = {"x-request-id": {"$ref": "#/components/headers/RequestId"}}
    if endpoint.access.quota is not None:
        names = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")
        headers |= {name: {"$ref": f"#/components/headers/{name.replace('-', '')}"} for name in names}
    answers: dict[str, Any] = {}
    for status, answer in described["answers"].items():
        answers[str(status)] = _write_answer(answer, headers)
    if "default" in answers:
        return answers  # whatever a provider says, in its own form
    for status in sorted(_list_statuses(described, endpoint)):
        answers.setdefault(str(status), {"$ref": f"#/components/responses/{_ERRORS[described['errors']]}{status}"})
    if described.get("asks_provider"):
        answers["4XX"] = {"$ref": f"#/components/responses/{_ERRORS[described['errors']]}4XX"}
    return answers


def _error_answers(used: Any) -> dict[str, Any]:
    """Give the answers to all errors in all forms, as far as `used` refers to them."""
    referred = set(re.findall(r"#/components/responses/(\w+)", str(used)))
    return {
        f"{name}{status}": {
            "description": meaning,
            "headers": {"x-request-id": {"$ref": "#/components/headers/RequestId"}},
            "content": {"application/json": {"schema": {"$ref": _REFERENCE + name}}},
        }
        for name in _ERRORS.values()
        for status, meaning in _MEANINGS.items()
        if f"{name}{status}" in referred
    }


def _write_answer(answer: dict[str, Any], headers: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for media_type, told in answer.get("content", {}).items():
        entry: dict[str, Any] = {}
        if isinstance(told, str):
            entry["schema"] = {"$ref": _REFERENCE + told}
        elif told:
            entry = dict(told)
        content[media_type] = entry
    written = {"description": answer["description"], "headers": headers}
    return {**written, "content": content} if content else written


def _list_statuses(described: dict[str, Any], endpoint: Endpoint) -> set[int]:
    """List the errors that an endpoint can end with: from who may use it, and from what it does."""
    access = endpoint.access
    statuses = {500, *described.get("statuses", [])}
    if not access.any_host:
        statuses.add(403)
    if access.scope is not None:
        statuses.add(401)
    if access.json:
        statuses |= {400, 413, 415}
    if access.quota is not None:
        statuses.add(429)
    if described.get("asks_provider"):
        statuses |= set(_ASKS_PROVIDER)
    known = {verdict.status for verdict in STATUSES.values()} | {529}
    unknown = statuses - known
    if unknown:
        raise LookupError(f"no error has the status {unknown}")
    return statuses
