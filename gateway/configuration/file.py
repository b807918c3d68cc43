"""The config file: YAML or JSON, `${NAME}` replaced from the environment, and the place of everything in it.

Every complaint names the file, the line where YAML gives it, the path of keys and what was expected.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from gateway.configuration.values import BadSetting, Parser

KeyPath = tuple[str, ...]

_VARIABLE = re.compile(r"\$\{([^}]*)\}")


class Section:
    """A mapping of the config file that is being read: hands out its entries typed, complains with their place."""

    def __init__(self, name: str, content: Mapping[str, Any], lines: Mapping[KeyPath, int], path: KeyPath = ()) -> None:
        self._name = name
        self._content = content
        self._lines = lines
        self._path = path

    def __contains__(self, key: str) -> bool:
        return self._content.get(key) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self._content)

    def place(self, key: str | None = None) -> str:
        """Name an entry of this section, or the section: `sandgate.yaml:7: providers.work.kind`."""
        return self.at(() if key is None else (key,))

    def at(self, below: KeyPath) -> str:
        """Name the entry that lies `below` this section."""
        path = (*self._path, *below)
        line = self._lines.get(path)
        file = f"{self._name}:{line}" if line else self._name
        return f"{file}: {'.'.join(path)}" if path else file

    def refuse(self, key: str | None, expected: str) -> BadSetting:
        """Make the complaint about an entry: what was expected there."""
        return BadSetting(f"{self.place(key)}: expected {expected}")

    def value(self, key: str) -> Any:
        """Give an entry as it stands; None where there is none."""
        return self._content.get(key)

    def section(self, key: str) -> "Section":
        """Give an entry that is a mapping; an empty one where there is none."""
        value = self._content.get(key)
        if value is None:
            value = {}
        if not isinstance(value, dict):
            raise self.refuse(key, "a mapping")
        return Section(self._name, value, self._lines, (*self._path, key))

    def text(self, key: str, parse: Parser | None = None, expected: str = "a text") -> Any:
        """Give a text, read by `parse` where one is given; None where there is none."""
        value = self._content.get(key)
        if value is None:
            return None
        if not isinstance(value, str) or not value.strip():
            raise self.refuse(key, expected if isinstance(value, str) else f"{expected} (in quotes)")
        try:
            return parse(value.strip()) if parse else value.strip()
        except ValueError:
            raise self.refuse(key, expected) from None

    def number(self, key: str, low: float, high: float, *, whole: bool = False) -> Any:
        """Give a number from `low` to `high`, also one that was put in by `${NAME}`; None where there is none."""
        value = self._content.get(key)
        if value is None:
            return None
        expected = f"{'a whole' if whole else 'a'} number from {low:g} to {high:g}"
        if isinstance(value, str):
            try:
                value = int(value) if whole else float(value)
            except ValueError:
                raise self.refuse(key, expected) from None
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            raise self.refuse(key, expected)
        if not math.isfinite(value) or not low <= value <= high:
            raise self.refuse(key, expected)
        return value

    def texts(self, key: str, expected: str = "a list of texts") -> tuple[str, ...]:
        """Give a list of texts; empty where there is none."""
        value = self._content.get(key)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(entry, str) and entry.strip() for entry in value):
            raise self.refuse(key, expected)
        return tuple(entry.strip() for entry in value)

    def known(self, *keys: str) -> None:
        """Refuse an entry whose key is none of `keys`."""
        for key in self._content:
            if key not in keys:
                raise BadSetting(f"{self.place(key)}: unknown key; expected one of {', '.join(keys)}")


def read_file(file: Path, environ: Mapping[str, str]) -> Section:
    """Read a config file, `.json` as JSON and anything else as YAML, into its outermost section."""
    try:
        content = file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise BadSetting(f"{file}: expected a file in UTF-8") from None
    except OSError as error:
        raise BadSetting(f"{file}: cannot be read: {error.strerror}") from None
    lines: dict[KeyPath, int] = {}
    name = str(file)
    document = _read_json(name, content) if file.suffix == ".json" else _read_yaml(name, content, lines)
    if document is None:
        document = {}
    if not isinstance(document, dict):
        raise BadSetting(f"{name}: expected a mapping")
    return Section(name, _fill_in(document, environ, Section(name, {}, lines), ()), lines)


def _read_json(name: str, content: str) -> Any:
    def once(entries: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(entries)
        if len(found) != len(entries):
            twice = next(key for key in found if sum(key == other for other, _ in entries) > 1)
            raise BadSetting(f"{name}: {twice}: the key stands there twice; expected it once")
        return found

    try:
        return json.loads(content, object_pairs_hook=once) if content.strip() else None
    except json.JSONDecodeError as error:
        raise BadSetting(f"{name}:{error.lineno}: expected JSON ({error.msg}, column {error.colno})") from None
    except RecursionError:
        raise BadSetting(f"{name}: expected JSON that is not so deeply nested") from None


def _read_yaml(name: str, content: str, lines: dict[KeyPath, int]) -> Any:
    try:
        loader = yaml.SafeLoader(content)
        try:
            node = loader.get_single_node()
            return None if node is None else _build(name, loader, node, (), lines)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise BadSetting(f"{name}{line}: expected YAML ({error.problem or error.context})") from None
    except (yaml.YAMLError, ValueError):
        raise BadSetting(f"{name}: expected YAML") from None
    except RecursionError:
        raise BadSetting(f"{name}: expected YAML that does not contain itself") from None


def _build(name: str, loader: yaml.SafeLoader, node: yaml.Node, path: KeyPath, lines: dict[KeyPath, int]) -> Any:
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        return [_build(name, loader, one, (*path, str(index)), lines) for index, one in enumerate(node.value)]
    if not isinstance(node, yaml.MappingNode):
        return loader.construct_object(node)
    own = {id(key) for key, _ in node.value}
    loader.flatten_mapping(node)
    mapping: dict[str, Any] = {}
    stated: set[str] = set()
    for key_node, value_node in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            raise BadSetting(f"{name}:{key_node.start_mark.line + 1}: expected a text as key")
        key = str(key_node.value)
        if key in stated:
            raise BadSetting(f"{name}:{key_node.start_mark.line + 1}: {key}: the key stands there twice")
        if id(key_node) in own:
            stated.add(key)
        lines[(*path, key)] = key_node.start_mark.line + 1
        mapping[key] = _build(name, loader, value_node, (*path, key), lines)
    return mapping


def _fill_in(value: Any, environ: Mapping[str, str], root: Section, path: KeyPath) -> Any:
    """Replace each `${NAME}` in the texts of `value`; a name that is not set is refused."""
    if isinstance(value, dict):
        return {key: _fill_in(inner, environ, root, (*path, key)) for key, inner in value.items()}
    if isinstance(value, list):
        return [_fill_in(inner, environ, root, (*path, str(index))) for index, inner in enumerate(value)]
    if not isinstance(value, str):
        return value

    def replace(match: re.Match[str]) -> str:
        variable = match.group(1)
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", variable):
            raise BadSetting(f"{root.at(path)}: expected the name of a variable in {match.group(0)}")
        if not environ.get(variable):
            raise BadSetting(f"{root.at(path)}: expected the environment variable {variable} to be set")
        return environ[variable]

    return _VARIABLE.sub(replace, value)
