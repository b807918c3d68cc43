"""The plainest value that a JSON Schema allows, always the same one."""

from typing import Any

from gateway.providers import lenient

MAX_DEPTH = 16
"""From here on only what is required is filled in, and lists stay as short as they may be."""
MAX_VALUES = 10_000
"""A schema that wants more values than this gets empty ones for the rest."""

_STRINGS = {
    "date-time": "2024-01-01T00:00:00Z",
    "date": "2024-01-01",
    "time": "00:00:00Z",
    "email": "stub@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "127.0.0.1",
    "ipv6": "::1",
    "hostname": "example.com",
}


def instance_of(schema: Any) -> Any:
    """Give a value that fits `schema` (local references followed; patterns are not looked at)."""
    return _Builder(lenient.mapping(schema)).build(schema, 0)


class _Builder:
    """Builds the value of one schema; `left` bounds how many values it may hold."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._left = MAX_VALUES

    def build(self, schema: Any, depth: int) -> Any:
        self._left -= 1
        schema = _resolve(lenient.mapping(schema), self._root)
        for name in ("const", "default"):
            if name in schema:
                return schema[name]
        if lenient.sequence(schema.get("enum")):
            return schema["enum"][0]
        for name in ("anyOf", "oneOf"):
            if options := lenient.sequence(schema.get(name)):
                return self._build_one_of(options, depth + 1)
        if lenient.sequence(schema.get("allOf")):
            schema = _merge(schema, self._root)
        return self._build_type(_type_of(schema), schema, depth)

    def _build_one_of(self, options: list[Any], depth: int) -> Any:
        """Take the first option; deep down one that leads nowhere else, if there is one."""
        if depth < MAX_DEPTH and self._left > 0:
            return self.build(options[0], depth)
        ends = (option for option in options if "$ref" not in lenient.mapping(option))
        return self.build(next(ends, None), depth)

    def _build_type(self, kind: str, schema: dict[str, Any], depth: int) -> Any:
        if kind == "object":
            return self._build_object(schema, depth)
        if kind == "array":
            least = lenient.integer(schema.get("minItems")) or 0
            count = max(least, 1 if depth < MAX_DEPTH else 0) if "items" in schema else 0
            return [self.build(schema.get("items"), depth + 1) for _ in range(min(count, max(self._left, 0)))]
        if kind == "string":
            text = _STRINGS.get(lenient.text(schema.get("format")), "text")
            least = min(lenient.integer(schema.get("minLength")) or 0, MAX_VALUES)
            most = lenient.integer(schema.get("maxLength"))
            return text.ljust(least, "x")[: most if most is not None and most >= 0 else None]
        if kind in {"integer", "number"}:
            return _number(schema, whole=kind == "integer")
        return True if kind == "boolean" else None

    def _build_object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        properties = lenient.mapping(schema.get("properties"))
        required = lenient.sequence(schema.get("required"))
        built: dict[str, Any] = {}
        for name, value in properties.items():
            if self._left > 0 and depth < 2 * MAX_DEPTH and (depth < MAX_DEPTH or name in required):
                built[name] = self.build(value, depth + 1)
        return built


def _number(schema: dict[str, Any], *, whole: bool) -> int | float:
    least, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    most, below = schema.get("maximum"), schema.get("exclusiveMaximum")
    value: int | float = 1
    if isinstance(least, int | float):
        value = max(value, least)
    if isinstance(above, int | float) and not isinstance(above, bool):
        value = max(value, above + 1)
    if isinstance(most, int | float):
        value = min(value, most)
    if isinstance(below, int | float) and not isinstance(below, bool):
        value = min(value, below - 1)
    step = schema.get("multipleOf")
    if isinstance(step, int | float) and step > 0:
        value = -(-value // step) * step
    return int(value) if whole else value


def _type_of(schema: dict[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((name for name in kind if name != "null"), "null")
    if isinstance(kind, str):
        return kind
    if "properties" in schema:
        return "object"
    return "array" if "items" in schema else "string"


def _resolve(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    for _ in range(MAX_DEPTH):
        reference = schema.get("$ref")
        if not isinstance(reference, str) or not reference.startswith("#"):
            return schema
        found: Any = root
        for step in reference.lstrip("#").strip("/").split("/"):
            found = lenient.mapping(found).get(step.replace("~1", "/").replace("~0", "~"), {}) if step else found
        schema = lenient.mapping(found)
    return {}


def _merge(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    merged = {name: value for name, value in schema.items() if name != "allOf"}
    properties = dict(lenient.mapping(merged.get("properties")))
    for part in schema["allOf"]:
        resolved = _resolve(lenient.mapping(part), root)
        properties.update(lenient.mapping(resolved.get("properties")))
        merged = {**resolved, **merged}
    return {**merged, "properties": properties} if properties else merged
