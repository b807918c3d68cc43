"""The body of `POST /execute` (API.md 4.1), checked field by field into a `Run`: every bad field is named at once."""

import base64
import binascii
import math
from collections.abc import Callable, Mapping
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """What a request may ask for: the default policy of each image, and the maxima."""

    policies: Mapping[str, Policy]
    default_image: str
    max_timeout_seconds: float
    max_memory_mb: int
    max_cpus: float


class _Complaint(Exception):
    """What is wrong with a field; `path` leads on from the field's name."""

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.path = path


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
            self.details.append(Detail(name + complaint.path, complaint.message))
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
        body.decode()  # raw fields are passed on as they are, so what is not UTF-8 has to be found here
        return _fields.decode(body)
    except msgspec.ValidationError:
        raise InvalidRequest("The body must be a JSON object.") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidJson(f"The body is not valid JSON: {error}.") from None
    except RecursionError:
        raise InvalidJson("The body is nested too deeply.") from None


def _value(raw: msgspec.Raw, kind: type[T], expected: str) -> T:
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, RecursionError):
        raise _Complaint(f"must be {expected}") from None


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
    return None if raw is None else _checked("input", raw, body)


def _checked(path: str, raw: msgspec.Raw, body: _Body) -> msgspec.Raw:
    """Make sure that a value passed on as it is can be read in the box."""
    try:
        msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        body.details.append(Detail(path, "must be JSON that is not nested too deeply"))
    return raw.copy()


def _inputs(raw: msgspec.Raw) -> list[msgspec.Raw]:
    values = _value(raw, list[msgspec.Raw], "a list")
    if not values:
        raise _Complaint("must not be empty")
    if len(values) > MAX_INPUTS:
        raise _Complaint(f"must have at most {MAX_INPUTS} values")
    for index, value in enumerate(values):
        try:
            msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError):
            raise _Complaint("must be JSON that is not nested too deeply", f"[{index}]") from None
    return [value.copy() for value in values]


def _number(least: float, most: float) -> Callable[[msgspec.Raw], float]:
    def check(raw: msgspec.Raw) -> float:
        value = _value(raw, float, "a number")
        if not math.isfinite(value) or not least <= value <= most:
            raise _Complaint(f"must be from {least:g} to {most:g}")
        return value

    return check


def _whole(least: int, most: int) -> Callable[[msgspec.Raw], int]:
    def check(raw: msgspec.Raw) -> int:
        value = _value(raw, int, "a whole number")
        if not least <= value <= most:
            raise _Complaint(f"must be from {least} to {most}")
        return value

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
    read: list[str] = []
    for index, pattern in enumerate(patterns):
        try:
            read.append(_relative(_text(pattern)))
        except _Complaint as complaint:
            raise _Complaint(complaint.message, f"[{index}]") from None
    return read


def _files(raw: msgspec.Raw) -> list[InputFile]:
    entries = _value(raw, list[msgspec.Raw], "a list of files")
    if len(entries) > MAX_FILES:
        raise _Complaint(f"must have at most {MAX_FILES} files")
    read: list[InputFile] = []
    for index, entry in enumerate(entries):
        try:
            read.append(_file(entry))
        except _Complaint as complaint:
            raise _Complaint(complaint.message, f"[{index}]{complaint.path}") from None
    _refuse_clashes([file.path for file in read])
    return read


def _file(raw: msgspec.Raw) -> InputFile:
    fields = _value(raw, dict[str, msgspec.Raw], "an object with path and content or content_base64")
    for name in fields:
        if name not in ("path", "content", "content_base64"):
            raise _Complaint("is not a field of a file", f".{name}")
    given = {name: value for name, value in fields.items() if bytes(value) != _NULL}
    if "path" not in given:
        raise _Complaint("is required", ".path")
    if ("content" in given) == ("content_base64" in given):
        raise _Complaint("must have either content or content_base64")
    try:
        path = _relative(_text(given["path"]))
    except _Complaint as complaint:
        raise _Complaint(complaint.message, ".path") from None
    name = "content" if "content" in given else "content_base64"
    try:
        return InputFile(path=path, content_base64=_content(name, given[name]))
    except _Complaint as complaint:
        raise _Complaint(complaint.message, f".{name}") from None


def _content(name: str, raw: msgspec.Raw) -> str:
    text = _text(raw)
    if name == "content":
        return base64.b64encode(text.encode()).decode()
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _Complaint("must be base64") from None
    return text


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


def _refuse_clashes(paths: list[str]) -> None:
    seen: set[str] = set()
    for index, path in enumerate(paths):
        if path in seen:
            raise _Complaint("is there twice", f"[{index}].path")
        seen.add(path)
    for index, path in enumerate(paths):
        parts = path.split("/")
        if any("/".join(parts[:count]) in seen for count in range(1, len(parts))):
            raise _Complaint("lies in what is a file as well", f"[{index}].path")
