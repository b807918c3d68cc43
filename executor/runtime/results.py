"""The value of a run: as JSON, as its repr, and as what a person would want to look at.

Runs in the user's process, on the user's objects: everything may raise, and names may have been patched. What is
needed afterwards is therefore taken beforehand, and nothing here raises.
"""

from __future__ import annotations

import binascii
import builtins
import io
import math
import sys
from json import encoder as json_encoder

TYPE_CHECKING = False  # for types only: see `executor.runtime`
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

# The functions of our modules keep the builtins as they are now, whatever the user's code does to them.
BUILTINS = dict(vars(builtins))
globals()["__builtins__"] = BUILTINS

MAX_DEPTH = 200
_ASCII_RATIO = 3  # at most so much longer is JSON that escapes all but ASCII
MAX_DISPLAYS = 50
MAX_DISPLAY_BYTES = 10 * 1024 * 1024
_REPRESENTATIONS = (
    ("_repr_png_", "image/png"),
    ("_repr_jpeg_", "image/jpeg"),
    ("_repr_svg_", "image/svg+xml"),
    ("_repr_html_", "text/html"),
    ("_repr_latex_", "text/latex"),
)
_make_encoder: Any = getattr(json_encoder, "c_make_encoder")  # noqa: B009 not in typeshed
_write_ascii, _write_unicode = json_encoder.encode_basestring_ascii, json_encoder.encode_basestring
_to_base64 = binascii.b2a_base64
_modules = sys.modules
_bytes, _str, _list, _tuple, _dict, _set, _frozenset = bytes, str, list, tuple, dict, set, frozenset


class _NotJsonError(Exception):
    pass


def _refuse(_value: object) -> Any:
    raise _NotJsonError


def write_json(value: Any, write_string: Callable[[str], str] = _write_ascii) -> str:
    """Write a JSON-serialisable value; NaN and infinities as null. Raises whatever a value that is not one raises."""
    try:
        return _encode(value, write_string)
    except ValueError:
        return _encode(_without_nan(value, 0), write_string)


def _encode(value: Any, write_string: Callable[[str], str] = _write_ascii) -> str:
    # The C encoder itself, not `json.dumps`: nothing that user code can reach by name stands between.
    encoder = _make_encoder({}, _refuse, write_string, None, ":", ",", False, False, False)
    return "".join(encoder(value, 0))


def _answered_size(value: Any) -> int:
    """Measure a value as the answer writes it: in UTF-8, where the way to the supervisor takes ASCII alone."""
    return len(write_json(value, _write_unicode).encode("utf-8", "surrogatepass"))


def _without_nan(value: Any, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise _NotJsonError
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list | tuple):
        return [_without_nan(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {
            repr(key) if isinstance(key, float) else key: _without_nan(item, depth + 1) for key, item in value.items()
        }
    return value


def _depth(text: str) -> int:
    depth = deepest = 0
    outside = text.replace("\\\\", "").replace('\\"', "").split('"')[::2]  # of the texts in it
    for letter in "".join(outside):
        if letter in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif letter in "]}":
            depth -= 1
    return deepest


def encode_result(value: Any, limit: int) -> tuple[str | None, bool]:
    """Give the value's JSON text, None if it has none or it is over `limit` bytes (then the second is true)."""
    try:
        if type(value) in (_str, _list, _tuple, _dict) and len(value) > limit:
            return None, True
        text = write_json(value)
        if len(text) > limit and (len(text) > _ASCII_RATIO * limit or _answered_size(value) > limit):
            return None, True
        if text.count("[") + text.count("{") > MAX_DEPTH and _depth(text) > MAX_DEPTH:
            return None, False
    except BaseException:
        return None, False
    return text, False


def encode_repr(value: Any, limit: int) -> str:
    """Give the value's repr in at most `limit` bytes of UTF-8; of huge plain values only the beginning is made."""
    try:
        text = _str.__str__(repr(_beginning(value, limit)))
    except BaseException:
        text = f"<{_type_name(value)} object, whose repr failed>"
    return cut(text, limit)


def _beginning(value: Any, limit: int) -> Any:
    kind = type(value)
    if kind in (_str, _bytes, _list, _tuple) and len(value) > limit:
        return value[:limit]
    if kind in (_set, _frozenset) and len(value) > limit:
        return kind(item for item, _ in zip(value, range(limit), strict=False))
    if kind is _dict and len(value) > limit:
        return {key: item for (key, item), _ in zip(value.items(), range(limit), strict=False)}
    return value


def _type_name(value: Any) -> str:
    try:
        return _str.__str__(type.__getattribute__(type(value), "__name__"))[:200]
    except BaseException:
        return "unknown"


def cut(text: str, limit: int) -> str:
    """Shorten a text to at most `limit` bytes of UTF-8, ending in an ellipsis where something is missing."""
    if len(text) <= limit // 4:
        return text
    raw = text.encode("utf-8", "replace")
    if len(raw) <= limit:
        return text
    return raw[: max(0, limit - 3)].decode("utf-8", "ignore") + "…"


def displays_of(value: Any) -> Iterator[tuple[str, str]]:
    """Give (mime, data) for each rich representation a value has; binary types as base64."""
    if isinstance(value, type):
        return
    bundle = _call(value, "_repr_mimebundle_")
    if isinstance(bundle, tuple) and bundle:
        bundle = bundle[0]
    if isinstance(bundle, dict):
        for mime, data in bundle.items():
            if isinstance(mime, str) and mime != "text/plain":
                yield from _display(mime, data)
        return
    found = set()
    for method, mime in _REPRESENTATIONS:
        if mime == "image/jpeg" and "image/png" in found:
            continue
        data = _call(value, method)
        if isinstance(data, tuple) and data:
            data = data[0]
        for display in _display(mime, data):
            found.add(mime)
            yield display


def _display(mime: str, data: Any) -> Iterator[tuple[str, str]]:
    if isinstance(data, bytes):
        yield mime, _to_base64(data, newline=False).decode()
    elif isinstance(data, str):
        yield mime, _str.__str__(data)
    elif isinstance(data, dict | list):
        text, _ = encode_result(data, MAX_DISPLAY_BYTES)
        if text is not None:
            yield mime, text


def _call(value: Any, method: str) -> Any:
    try:
        found = getattr(type(value), method, None)
        return found(value) if callable(found) else None
    except BaseException:
        return None


def open_figures(modules: Mapping[str, Any]) -> Iterator[tuple[int, Any]]:
    """Give (identity, figure) for each figure of matplotlib that is open."""
    pyplot = modules.get("matplotlib.pyplot")
    if pyplot is None:
        return
    try:
        figures = [pyplot.figure(number) for number in pyplot.get_fignums()]
    except BaseException:
        return
    for figure in figures:
        yield id(figure), figure


def display_when_shown(send: Callable[[str, str], None], wanted: Callable[[], bool]) -> None:
    """Have pyplot's `show`, where that is imported, end the open figures as in a notebook: each is sent, and closed.

    `wanted` is asked each time; else `show` does what it does by itself.
    """
    pyplot = _modules.get("matplotlib.pyplot")
    if pyplot is None:
        return
    plain_show: Callable[..., None] = pyplot.show

    def show(*arguments: Any, **options: Any) -> None:
        if not wanted():
            plain_show(*arguments, **options)
            return
        for _, figure in open_figures(_modules):
            _send_drawn(figure, send)
        pyplot.close("all")

    show.__doc__ = plain_show.__doc__
    pyplot.show = show  # type: ignore[attr-defined]


def _is_figure(value: Any, modules: Mapping[str, Any]) -> bool:
    module = modules.get("matplotlib.figure")
    try:
        return module is not None and isinstance(value, module.Figure)
    except BaseException:
        return False


def _draw(figure: Any) -> tuple[str, str] | None:
    picture = io.BytesIO()
    try:
        with _modules["warnings"].catch_warnings(record=True) as warnings:
            figure.savefig(picture, format="png", bbox_inches="tight")
        for text in dict.fromkeys(f"{_type_name(found.message)}: {found.message}\n" for found in warnings):
            _warn(text)  # Python's own way to show it would name our line
    except BaseException as error:
        _warn(f"a figure could not be drawn: {_type_name(error)}\n")
        return None
    return "image/png", _to_base64(picture.getvalue(), newline=False).decode()


def _send_drawn(figure: Any, send: Callable[[str, str], None]) -> None:
    picture = _draw(figure)
    if picture:
        send(*picture)


def _warn(text: str) -> None:
    try:
        sys.stderr.write(text)
    except BaseException:
        return


def send_displays(value: Any, send: Callable[[str, str], None]) -> None:
    """Hand over what there is to look at: the value's rich representations, then the open figures."""
    drawn = set()
    if value is not None:
        if _is_figure(value, _modules):
            drawn.add(id(value))
            _send_drawn(value, send)
        else:
            try:
                for mime, data in displays_of(value):
                    send(mime, data)
            except BaseException as error:
                _warn(f"a rich representation failed: {_type_name(error)}\n")
    for identity, figure in open_figures(_modules):
        if identity not in drawn:
            _send_drawn(figure, send)
