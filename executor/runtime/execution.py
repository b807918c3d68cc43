"""A job in terms of the kernel: limits, environment, one run of it, and the frames that tell what came of it."""

from __future__ import annotations

import math
import os
import time

from executor.runtime import workdir
from executor.runtime.processes import WORKDIR, Limits
from executor.runtime.program import input_as_text
from executor.runtime.verdicts import Seen, Taken, judge
from executor.runtime.watch import Box, Caps
from executor.runtime.wire import to_json

TYPE_CHECKING = False  # for types only: see `executor.runtime`
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

FLUSH_SECONDS = 60.0
MAX_OMITTED = 1000
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_PATH = "/usr/local/bin:/usr/bin:/bin"
_KEPT = {name: os.environ[name] for name in os.environ.get("SANDBOX_KEEP_ENV", "").split(",") if name in os.environ}


def limits_of(job: Mapping[str, Any]) -> Limits:
    """Give the limits of the child itself."""
    limits = job["limits"]
    return Limits(limits["open_files"], limits["file_mb"] * 1024 * 1024)


def caps_of(job: Mapping[str, Any]) -> Caps:
    """Give the caps on what an execution writes."""
    limits = job["limits"]
    return Caps(limits["stdout_bytes"], limits["stderr_bytes"], limits["output_bytes"])


def environment_of(cpus: float) -> dict[str, str]:
    """Give the user's environment: fixed, but for the CPUs and what the image says is to be kept."""
    return {
        "PATH": _PATH,
        "HOME": WORKDIR,
        "PWD": WORKDIR,
        "LANG": "C.UTF-8",
        "TMPDIR": "/tmp",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        **thread_counts(cpus),
        **_KEPT,
    }


def thread_counts(cpus: float) -> dict[str, str]:
    """Give the variables by which Python and the numeric libraries count the CPUs that may be used."""
    return dict.fromkeys(("PYTHON_CPU_COUNT", *THREAD_VARIABLES), str(max(1, math.ceil(cpus))))


def feed_of(job: Mapping[str, Any], value: Any) -> bytes:
    """Give what stands on stdin: what was given, else the input, for a script that reads it there."""
    given: str = job.get("stdin") or ""
    return given.encode("utf-8", "replace") or input_as_text(value)


def refuse(box: Box, job: Mapping[str, Any], message: str) -> None:
    """Answer a job that cannot be run as it is."""
    error = {"type": "bad_input", "message": message, "line": None, "traceback": ""}
    verdict = judge(Seen(), Taken(), job) | {"status": "bad_input", "error": error}
    for index in range(len(job["inputs"])) if "inputs" in job else (None,):
        box.wire.send(b"B", _indexed({}, index))
        box.wire.send(b"V", _indexed(verdict, index))


def conclude(box: Box, job: Mapping[str, Any], seen: Seen, index: int | None = None, *, last: bool = True) -> None:
    """Send the verdict, after the files if this is the job's last execution and was not killed."""
    taken = Taken()
    if last and seen.ended_by_itself:
        _send_files(box, job, taken)
    verdict = _indexed(judge(seen, taken, job), index)
    try:
        payload = to_json(verdict)
    except (ValueError, RecursionError):
        payload = to_json(verdict | {"result": None})
    box.wire.send(b"V", payload, more=index is None)  # then the end follows


def _indexed(payload: dict[str, Any], index: int | None) -> dict[str, Any]:
    return payload if index is None else payload | {"index": index}


def _send_files(box: Box, job: Mapping[str, Any], taken: Taken) -> None:
    limits = job["limits"]
    count, left = limits["files_count"], limits["files_bytes"]
    found = workdir.find_outputs(job.get("outputs") or [])
    taken.skipped = found.skipped
    for path, size in found.files:
        if count < 1 or size > left:
            if len(taken.omitted) < MAX_OMITTED:
                taken.omitted.append(path)
            continue
        opened = workdir.open_output(path)
        if opened is None:
            taken.skipped.append((path, "cannot be opened"))
            continue
        descriptor, size = opened
        try:
            _send_file(box, path, descriptor, size)
        finally:
            os.close(descriptor)
        count -= 1
        left -= size


def _send_file(box: Box, path: str, descriptor: int, size: int) -> None:
    head = to_json({"path": path, "size": size, "mime": workdir.guess_mime(path), "content_base64": ""})[:-2]
    length = len(head) + (size + 2) // 3 * 4 + 2

    def pieces() -> Iterator[bytes]:
        yield head
        yield from workdir.read_base64(descriptor, size)
        yield b'"}'

    box.wire.send_pieces(b"F", length, pieces(), deadline=time.monotonic() + FLUSH_SECONDS)
