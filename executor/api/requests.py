"""The body of `POST /execute` (API.md 4.1), checked field by field into a `Run`: every bad field is named at once."""

import base64
import binascii
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import msgspec

from executor.errors import Detail, InvalidJson, InvalidRequest
from executor.runs import LEAST_MEMORY_MB, MAX_CODE_BYTES, InputFile, Policy, Run

MAX_INPUTS = 10_000
MAX_FILES = 1000
MAX_PATH_BYTES = 1024
MAX_NAME_BYTES = 255
MAX_DEPTH = 32
MAX_PATTERNS = 100
MAX_ENTRYPOINT = 256
LEAST_TIMEOUT_SECONDS = 0.1
LEAST_CPUS = 0.1

T = TypeVar("T")
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_NULL = b"null"
_HALF_PAIR = re.compile(rb"\\u[dD][89a-fA-F]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """What a request may ask for: the default policy of each image, and the maxima."""

    policies: Mapping[str, Policy]
    default_image: str
    max_timeout_seconds: float
    max_memory_mb: int
    max_cpus: float


class _Complaint(Exception):
    """What is wrong with a value: with itself, or with what is in it, each with the path that leads there."""

    def __init__(self, message: str = "", *, inside: Sequence[Detail] = ()) -> None:
        super().__init__(message)
        self._details = inside or [Detail("", message)]

    def at(self, path: str) -> list[Detail]:
        """Give the details of a value that stands at `path`."""
        return [Detail(path + detail.field, detail.message) for detail in self._details]


class _Body:
    """The fields of one body, and the complaints about them so far."""

    def __init__(self, fields: dict[str, msgspec.Raw]) -> None:
        self.fields = fields
        self.details: list[Detail] = []

    def present(self, name: str) -> bool:
        return name in self.fields and bytes(self.fields[name]) != _NULL

    def read(self, name: str, check: Callable[[msgspec.Raw], T]) -> T | None:
        """Give the field's value; None if it is absent or wrong, the latter noted."""
        if not self.present(name):
            return None
        try:
            return check(self.fields[name])
        except _Complaint as complaint:
            self.details += complaint.at(name)
        return None


def read_run(
    body: bytes,
    bounds: Bounds,
    *,
    run_id: str,
    user: str,
    request_id: str,
    least_memory_mb: Mapping[str, int] | None = None,
) -> Run:
    """Check a body and give the run it asks for. Raises `InvalidJson` or `InvalidRequest`.

    `least_memory_mb` is what each image needs, as far as that is known.
    """
    fields = _Body(_decode(body))
    for name in fields.fields:
        if name not in FIELDS:
            fields.details.append(Detail(name, "is not a field of this request"))
    if not fields.present("code"):
        fields.details.append(Detail("code", "is required"))
    if "input" in fields.fields and fields.present("inputs"):
        fields.details.append(Detail("inputs", "cannot be given together with input"))
    code = fields.read("code", _code)
    policy = _policy(fields, bounds, least_memory_mb or {})
    run = Run(
        id=run_id,
        user=user,
        code=code or "",
        policy=policy,
        input=_input(fields),
        inputs=fields.read("inputs", _inputs),
        entrypoint=fields.read("entrypoint", _entrypoint),
        stdin=fields.read("stdin", _text),
        files=fields.read("files", _files) or (),
        outputs=fields.read("outputs", _outputs) or (),
        stream=fields.read("stream", _flag) or False,
        request_id=request_id,
    )
    if fields.details:
        raise InvalidRequest.naming(fields.details)
    return run


FIELDS = frozenset(
    (
        "code",
        "input",
        "inputs",
        "image",
        "entrypoint",
        "stdin",
        "files",
        "outputs",
        "timeout_seconds",
        "memory_mb",
        "cpus",
        "stream",
    )
)


def _decode(body: bytes) -> dict[str, msgspec.Raw]:
    try:
        text = body.decode()  # raw fields are passed on as they are, so what is not UTF-8 has to be found here
        return _decode_halves(text) if _HALF_PAIR.search(body) else _fields.decode(body)
    except msgspec.ValidationError:
        raise InvalidRequest("The body must be a JSON object.") from None
    except (msgspec.DecodeError, ValueError) as error:
        raise InvalidJson(f"The body is not valid JSON: {error}.") from None
    except RecursionError:
        raise InvalidJson("The body is nested too deeply.") from None


def _decode_halves(text: str) -> dict[str, msgspec.Raw]:
    """Decode a body that may have half of a surrogate pair in it: that is JSON, but to msgspec it is an error.

    Raises what `_fields.decode` raises, or `ValueError`.
    """
    try:
        return _fields.decode(text)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        fields = json.loads(text, parse_constant=_refuse_constant)
    if not isinstance(fields, dict):
        raise msgspec.ValidationError
    return {name.encode(errors="replace").decode(): _encode(value) for name, value in fields.items()}


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _encode(value: object) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value).encode())


def _value(raw: msgspec.Raw, kind: type[T], expected: str) -> T:
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.ValidationError, RecursionError):
        raise _Complaint(f"must be {expected}") from None
    except msgspec.DecodeError:
        raise _Complaint(_HALF) from None


_HALF = "must not hold half of a surrogate pair: that is no character"
_TOO_DEEP = "must not be nested too deeply"


def _text(raw: msgspec.Raw) -> str:
    return _value(raw, str, "a string")


def _flag(raw: msgspec.Raw) -> bool:
    return _value(raw, bool, "true or false")


def _code(raw: msgspec.Raw) -> str:
    code = _text(raw)
    if not code:
        raise _Complaint("must not be empty")
    if len(code) > MAX_CODE_BYTES or len(code.encode()) > MAX_CODE_BYTES:
        raise _Complaint(f"must have at most {MAX_CODE_BYTES} bytes")
    return code


def _entrypoint(raw: msgspec.Raw) -> str:
    name = _text(raw)
    if not name or len(name) > MAX_ENTRYPOINT:
        raise _Complaint("must be the name of a function in the code")
    return name


def _input(body: _Body) -> msgspec.Raw | None:
    raw = body.fields.get("input")
    if raw is None:
        return None
    try:
        return _readable(raw)
    except _Complaint as complaint:
        body.details += complaint.at("input")
    return None


def _inputs(raw: msgspec.Raw) -> list[msgspec.Raw]:
    values = _list(raw)
    if len(values) > MAX_INPUTS:
        raise _Complaint(f"must have at most {MAX_INPUTS} values")
    return _each(values, _readable)


def _list(raw: msgspec.Raw) -> list[msgspec.Raw]:
    try:
        return msgspec.json.decode(raw, type=list[msgspec.Raw])
    except msgspec.ValidationError:
        raise _Complaint("must be a list") from None
    except (msgspec.DecodeError, RecursionError):
        return _list_as_python(raw)


def _list_as_python(raw: msgspec.Raw) -> list[msgspec.Raw]:
    try:
        return [_encode(value) for value in json.loads(bytes(raw))]
    except RecursionError:
        raise _Complaint(_TOO_DEEP) from None


def _readable(raw: msgspec.Raw) -> msgspec.Raw:
    """Make sure that a value passed on as it is can be read in the box, as Python's json reads; gives a copy."""
    try:
        _read_as_python(raw)
    except ValueError:  # what is JSON by now can only be too long a number for Python
        raise _Complaint(f"must not hold an integer of more than {sys.get_int_max_str_digits()} digits") from None
    except RecursionError:
        raise _Complaint(_TOO_DEEP) from None
    return raw.copy()


def _read_as_python(raw: msgspec.Raw) -> None:
    try:
        msgspec.json.decode(raw)
    except msgspec.DecodeError:  # it is quicker, but refuses some of what Python takes, such as 1e999
        json.loads(bytes(raw))


def _each(values: Iterable[msgspec.Raw], check: Callable[[msgspec.Raw], T]) -> list[T]:
    read, wrong = _sift(values, check)
    if wrong:
        raise _Complaint(inside=wrong)
    return list(read.values())


def _sift(values: Iterable[msgspec.Raw], check: Callable[[msgspec.Raw], T]) -> tuple[dict[int, T], list[Detail]]:
    """Check each value of a list: give those that are right by their index, and what is wrong with the others."""
    read: dict[int, T] = {}
    wrong: list[Detail] = []
    for index, value in enumerate(values):
        try:
            read[index] = check(value)
        except _Complaint as complaint:
            wrong += complaint.at(f"[{index}]")
    return read, wrong


def _number(least: float, most: float) -> Callable[[msgspec.Raw], float]:
    def check(raw: msgspec.Raw) -> float:
        text = bytes(raw)
        if text[0] not in b"-0123456789":
            raise _Complaint("must be a number")
        value = float(text)
        if not least <= value <= most:
            raise _Complaint(f"must be from {least:g} to {most:g}")
        return value

    return check


def _whole(least: int, most: int) -> Callable[[msgspec.Raw], int]:
    number = _number(least, most)

    def check(raw: msgspec.Raw) -> int:
        value = number(raw)
        if not value.is_integer():
            raise _Complaint("must be a whole number")
        return int(value)

    return check


def _policy(body: _Body, bounds: Bounds, least_memory_mb: Mapping[str, int]) -> Policy:
    def image(raw: msgspec.Raw) -> str:
        name = _text(raw)
        if name not in bounds.policies:
            raise _Complaint(f"must be one of: {', '.join(bounds.policies)}")
        return name

    policy = bounds.policies[body.read("image", image) or bounds.default_image]
    least = least_memory_mb.get(policy.image, LEAST_MEMORY_MB)
    changes: dict[str, Any] = {
        "timeout_seconds": body.read("timeout_seconds", _number(LEAST_TIMEOUT_SECONDS, bounds.max_timeout_seconds)),
        "memory_mb": body.read("memory_mb", _whole(least, bounds.max_memory_mb)),
        "cpus": body.read("cpus", _number(LEAST_CPUS, bounds.max_cpus)),
    }
    changes = {name: value for name, value in changes.items() if value is not None}
    return replace(policy, **changes) if changes else policy


def _outputs(raw: msgspec.Raw) -> list[str]:
    patterns = _value(raw, list[msgspec.Raw], "a list of patterns")
    if len(patterns) > MAX_PATTERNS:
        raise _Complaint(f"must have at most {MAX_PATTERNS} patterns")
    return _each(patterns, _path)


def _files(raw: msgspec.Raw) -> list[InputFile]:
    entries = _value(raw, list[msgspec.Raw], "a list of files")
    if len(entries) > MAX_FILES:
        raise _Complaint(f"must have at most {MAX_FILES} files")
    files, wrong = _sift(entries, _file)
    wrong += _clashes({index: file.path for index, file in files.items()})
    if wrong:
        raise _Complaint(inside=wrong)
    return list(files.values())


def _file(raw: msgspec.Raw) -> InputFile:
    fields = _value(raw, dict[str, msgspec.Raw], "an object with path and content or content_base64")
    checks = {"path": _path, "content": _plain, "content_base64": _base64}
    wrong = [Detail(f".{name}", "is not a field of a file") for name in fields if name not in checks]
    given = {name: value for name, value in fields.items() if bytes(value) != _NULL}
    if "path" not in given:
        wrong.append(Detail(".path", "is required"))
    if ("content" in given) == ("content_base64" in given):
        wrong.append(Detail("", "must have either content or content_base64"))
    read: dict[str, str] = {}
    for name, check in checks.items():
        try:
            if name in given:
                read[name] = check(given[name])
        except _Complaint as complaint:
            wrong += complaint.at(f".{name}")
    if wrong:
        raise _Complaint(inside=wrong)
    return InputFile(path=read.pop("path"), content_base64=read.popitem()[1])


def _plain(raw: msgspec.Raw) -> str:
    return base64.b64encode(_text(raw).encode()).decode()


def _base64(raw: msgspec.Raw) -> str:
    text = _text(raw)
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _Complaint("must be base64") from None
    return text


def _path(raw: msgspec.Raw) -> str:
    return _relative(_text(raw))


def _relative(path: str) -> str:
    """Give a path inside the working directory without its empty and `.` parts."""
    if path.startswith("/"):
        raise _Complaint("must be a relative path")
    if "\0" in path:
        raise _Complaint("must not hold a NUL character")
    if path.endswith(("/", "/.")):
        raise _Complaint("must name a file, not a folder")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not parts:
        raise _Complaint("must not be empty")
    if ".." in parts:
        raise _Complaint("must stay inside the working directory")
    if len(parts) > MAX_DEPTH or len(path.encode()) > MAX_PATH_BYTES:
        raise _Complaint(f"must have at most {MAX_DEPTH} parts and {MAX_PATH_BYTES} bytes")
    if any(len(part.encode()) > MAX_NAME_BYTES for part in parts):
        raise _Complaint(f"must not have a name of more than {MAX_NAME_BYTES} bytes")
    return "/".join(parts)


def _clashes(paths: Mapping[int, str]) -> list[Detail]:
    """Say which files cannot be there together with another one."""
    wrong: list[Detail] = []
    seen: set[str] = set()
    for index, path in paths.items():
        if path in seen:
            wrong.append(Detail(f"[{index}].path", "is there twice"))
        seen.add(path)
    for index, path in paths.items():
        parts = path.split("/")
        if any("/".join(parts[:count]) in seen for count in range(1, len(parts))):
            wrong.append(Detail(f"[{index}].path", "lies in what is a file as well"))
    return wrong
