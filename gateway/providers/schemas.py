"""JSON Schemas made fit for vendors that follow no references."""

from typing import Any

from gateway.providers import lenient

MAX_NODES = 20_000
"""A schema that grows beyond this when its references are written out is left as it is."""


def inline_references(schema: dict[str, Any]) -> dict[str, Any]:
    """Write what local references (`#/$defs/…`) point to in their place, with what stands beside them.

    References that lead back into themselves stay, and the definitions with them.
    """
    inliner = _Inliner(schema)
    try:
        inlined: dict[str, Any] = inliner.write_out(schema, ())
    except _TooLargeError:
        return schema
    if not inliner.kept:
        for name in ("$defs", "definitions"):
            inlined.pop(name, None)
    return inlined


class _TooLargeError(Exception):
    """The schema has grown beyond `MAX_NODES`."""


class _Inliner:
    """The walk through one schema; `kept` says whether a reference had to stay."""

    def __init__(self, root: dict[str, Any]) -> None:
        self.kept = False
        self._root = root
        self._nodes = 0

    def write_out(self, node: Any, path: tuple[str, ...]) -> Any:
        self._nodes += 1
        if self._nodes > MAX_NODES or len(path) > 64:
            raise _TooLargeError
        if isinstance(node, list):
            return [self.write_out(entry, path) for entry in node]
        if not isinstance(node, dict):
            return node
        reference = node.get("$ref")
        if not isinstance(reference, str) or not reference.startswith("#/"):
            return self._write_out_all(node, path)
        target = self._target(reference)
        if reference in path or target is None:
            self.kept = True
            return node
        beside = {name: value for name, value in node.items() if name != "$ref"}
        beside = self._write_out_all(beside, path, is_root=node is self._root)
        return {**self.write_out(target, (*path, reference)), **beside}

    def _write_out_all(self, node: dict[str, Any], path: tuple[str, ...], *, is_root: bool = False) -> dict[str, Any]:
        """Write out all that an object holds, but for the root's definitions: those are where references lead."""
        kept = {"$defs", "definitions"} if is_root or node is self._root else set()
        return {name: value if name in kept else self.write_out(value, path) for name, value in node.items()}

    def _target(self, reference: str) -> dict[str, Any] | None:
        found: Any = self._root
        for step in reference.removeprefix("#/").split("/"):
            found = lenient.mapping(found).get(step.replace("~1", "/").replace("~0", "~"))
        return found if isinstance(found, dict) else None
