"""What travels between the rooms: a run, the policy it runs under, what its sandbox tells, what came of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

Status = Literal[
    "ok",
    "error",
    "syntax_error",
    "exit",
    "signal",
    "timeout",
    "out_of_memory",
    "process_limit",
    "output_limit",
    "cancelled",
    "bad_input",
]
StopReason = Literal["timeout", "cancelled"]

LEAST_MEMORY_MB = 32
MAX_CODE_BYTES = 1024 * 1024
MAX_STREAM_BYTES = 1024 * 1024
MAX_WRITTEN_BYTES = 10 * 1024 * 1024
MAX_RESULT_BYTES = 1024 * 1024
MAX_REPR_BYTES = 10_000
MAX_FILES_RETURNED = 100
MAX_FILES_BYTES = 10 * 1024 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """What one sandbox may do, and which image and OCI runtime it is made from. Sizes in MiB, times in seconds.

    `reference` is the engine's name of the image, `image` the one that requests use; `runtime` None is the engine's.
    """

    image: str
    reference: str
    runtime: str | None = None
    timeout_seconds: float = 10.0
    memory_mb: int = 256
    cpus: float = 1.0
    processes: int = 64
    open_files: int = 256
    file_mb: int = 64
    workdir_mb: int = 64
    tmp_mb: int = 64
    shm_mb: int = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class InputFile:
    """A file to be laid into the working directory: a relative path inside it, and what it holds, as base64."""

    path: str
    content_base64: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One request to run code, checked. `input` and `inputs` are JSON texts; None means that there is none."""

    id: str
    user: str
    code: str
    policy: Policy
    input: msgspec.Raw | None = None
    inputs: Sequence[msgspec.Raw] | None = None
    entrypoint: str | None = None
    stdin: str | None = None
    files: Sequence[InputFile] = ()
    outputs: Sequence[str] = ()
    stream: bool = False
    request_id: str = ""


class Began(msgspec.Struct, frozen=True):
    """The user's code starts now; `index` counts the inputs of a batch."""

    index: int | None = None


class Output(msgspec.Struct, frozen=True):
    """Bytes as the code wrote them."""

    stream: Literal["stdout", "stderr"]
    data: bytes


class Display(msgspec.Struct, frozen=True):
    """A rich representation: text, or base64 for a binary type."""

    mime: str
    data: str


class OutputFile(msgspec.Struct, frozen=True):
    """A file that the code left and the request asked for."""

    path: str
    size: int
    mime: str
    content_base64: str


class Skipped(msgspec.Struct, frozen=True):
    """A file that a pattern matches and that is not returned, and why: it is a link, or no regular file."""

    path: str
    reason: str


class Truncated(msgspec.Struct, frozen=True, omit_defaults=False):
    """What was left out: bytes of each stream, whether the result was too big, files that were not returned.

    `files` did not fit the caps, `skipped` are never returned whatever the caps.
    """

    stdout: int = 0
    stderr: int = 0
    result: bool = False
    files: list[str] = []
    skipped: list[Skipped] = []


class Usage(msgspec.Struct, frozen=True):
    """What a run used; None where it cannot be known."""

    wall_ms: float | None = None
    cpu_ms: float | None = None
    memory_peak_mb: float | None = None


class Verdict(msgspec.Struct, frozen=True):
    """What came of the code, or of one input of a batch, as the supervisor saw it from outside the user's process.

    `result` is the JSON text of the value, `b"null"` where there is none. `error` has the shape of API.md 4.1.
    """

    status: Status
    index: int | None = None
    exit_code: int | None = None
    signal: str | None = None
    error: dict[str, Any] | None = None
    result: msgspec.Raw = msgspec.Raw(b"null")
    result_repr: str | None = None
    show_result: bool = True
    truncated: Truncated = Truncated()
    usage: Usage = Usage()
    oom_kills: int = 0


class Ended(msgspec.Struct, frozen=True):
    """Nothing more comes: the supervisor said so, or (`broken`) its stream ended before that."""

    broken: bool = False


Event = Began | Output | Display | OutputFile | Verdict | Ended


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """What one execution of the code gave: its verdict and what it wrote."""

    verdict: Verdict
    stdout: str = ""
    stderr: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What came of a run. `whole` is the run's own part; `parts` has one for each input of a batch, else None."""

    run: Run
    whole: Part
    parts: Sequence[Part] | None = None
    displays: Sequence[Display] = ()
    files: Sequence[OutputFile] = ()
    python: str | None = None
    runtime: str | None = None
    warm: bool = False
    queue_ms: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageReport:
    """What an image holds: its Python, its distributions (name -> version), its top-level modules.

    `least_memory_mb` is what a box of it needs to run anything at all.
    """

    python: str
    packages: Mapping[str, str] = field(default_factory=dict)
    modules: frozenset[str] = frozenset()
    least_memory_mb: int = LEAST_MEMORY_MB
