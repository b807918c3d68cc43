"""What was seen of an execution, and what that comes to: one verdict (API.md 4.1)."""

from __future__ import annotations

import json
import os

from executor.runtime import signals

TYPE_CHECKING = False  # for types only: see `executor.runtime`
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

CLAIMS = frozenset({"ok", "error", "syntax_error", "exit", "bad_input"})
MAX_TEXT = 256 * 1024
MAX_DEPTH = 250


class Seen:
    """What the supervisor saw of one execution.

    `status` is the wait status of its main process, None if that could not be had; `stopped` says why the supervisor
    ended it, if it did; `end` is what the process handed over, not to be trusted. `begun` is whether the user's code
    could run by then.
    """

    begun: bool = True

    stdout_dropped: int = 0
    stderr_dropped: int = 0
    wall_seconds: float = 0.0
    cpu_seconds: float | None = None
    displays_dropped: int = 0

    def __init__(
        self,
        status: int | None = None,
        stopped: str | None = None,
        end: bytes | None = None,
        *,
        memory_peak: int | None = None,
        oom_kills: int = 0,
        processes_refused: bool | None = None,
    ) -> None:
        self.status = status
        self.stopped = stopped
        self.end = end
        self.memory_peak = memory_peak
        self.oom_kills = oom_kills
        self.processes_refused = processes_refused

    @property
    def ended_by_itself(self) -> bool:
        """Whether the main process exited, and was not killed."""
        return self.stopped is None and self.status is not None and os.WIFEXITED(self.status)


class Taken:
    """What came of taking files out: names that did not fit the caps, and names passed over with the reason."""

    def __init__(self) -> None:
        self.omitted: list[str] = []
        self.skipped: list[tuple[str, str]] = []


def judge(seen: Seen, taken: Taken, job: Mapping[str, Any]) -> dict[str, Any]:
    """Give the verdict, as the payload of a V frame."""
    claim = read_claim(seen.end, job["limits"])
    verdict = _judge_end(seen, claim, job)
    verdict.setdefault("exit_code", None)
    verdict.setdefault("signal", None)
    handed = claim if claim is not None and verdict["status"] in ("ok", "error") else {}
    return verdict | {
        "result": handed.get("result"),
        "result_repr": handed.get("result_repr"),
        "show_result": handed.get("show_result", False),
        "truncated": {
            "stdout": seen.stdout_dropped,
            "stderr": seen.stderr_dropped,
            "result": handed.get("result_truncated", False),
            "files": taken.omitted,
            "displays": seen.displays_dropped,
            "skipped": [{"path": path, "reason": reason} for path, reason in taken.skipped],
        },
        "usage": {
            "wall_ms": round(seen.wall_seconds * 1000, 3),
            "cpu_ms": None if seen.cpu_seconds is None else round(seen.cpu_seconds * 1000, 3),
            "memory_peak_mb": None if seen.memory_peak is None else round(seen.memory_peak / 1048576, 1),
        },
        "oom_kills": seen.oom_kills,
    }


def _judge_end(seen: Seen, claim: dict[str, Any] | None, job: Mapping[str, Any]) -> dict[str, Any]:
    if seen.stopped is not None:
        return _limit(seen.stopped, job, {})
    if seen.status is None:
        return _limit("cancelled", job, {})
    if os.WIFSIGNALED(seen.status):
        number = os.WTERMSIG(seen.status)
        if number == signals.SIGKILL and seen.oom_kills:
            return _limit("out_of_memory", job, {}) | {"signal": "SIGKILL"}
        return _signalled(number)
    code = os.WEXITSTATUS(seen.status)
    if claim is None or claim["exit_code"] != code or not _is_possible(claim["status"], seen, job):
        return _left_without_end(code)
    limit = _limit_hit(claim, seen)
    if limit is not None:
        return _limit(limit, job, claim["error"] or {})
    found = {"status": claim["status"], "error": claim["error"]}
    return found | {"exit_code": code} if claim["status"] == "exit" else found


def _is_possible(status: str, seen: Seen, job: Mapping[str, Any]) -> bool:
    if status == "syntax_error":
        return not seen.begun
    if status == "bad_input":
        return "input" in job or "inputs" in job or bool(job.get("entrypoint"))
    return True


def _limit_hit(claim: Mapping[str, Any], seen: Seen) -> str | None:
    limit = claim.get("limit")
    if claim["status"] != "error":
        return None
    # A request that is far too large is refused without being counted anywhere, so that the process's word must do. It
    # can gain nothing by it: to ask for too much is as easy as to lie about it.
    if limit == "out_of_memory" or (limit == "out_of_memory?" and seen.oom_kills):
        return "out_of_memory"
    if limit == "process_limit" and seen.processes_refused is not False:
        return "process_limit"
    return None


def _limit(status: str, job: Mapping[str, Any], error: Mapping[str, Any]) -> dict[str, Any]:
    limits = job["limits"]
    message = {
        "timeout": f"The code ran longer than {job['timeout_seconds']:g} s; `timeout_seconds` sets the limit.",
        "out_of_memory": f"The code needed more than {job['memory_mb']} MB of memory; `memory_mb` sets the limit.",
        "process_limit": (
            f"The code started more than {limits['processes']} processes and threads; "
            "the executor's MAX_PROCESSES sets the limit."
        ),
        "output_limit": (
            f"The code wrote more than {limits['output_bytes']} bytes to stdout and stderr together, "
            "which no field raises; files named in `outputs` can hold more."
        ),
        "cancelled": "The run was cancelled.",
    }[status]
    kept = {key: error[key] for key in ("line", "traceback") if key in error}
    return {"status": status, "error": {"type": status, "message": message, "line": None, "traceback": ""} | kept}


def _signalled(number: int) -> dict[str, Any]:
    import signal  # late: only here are the names of signals wanted

    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"SIG{number}"
    reasons = {
        "SIGSEGV": "a crash in native code, or a recursion that outgrew the stack",
        "SIGABRT": "native code gave up",
        "SIGBUS": "memory that could not be had, as in a full /dev/shm",
        "SIGSYS": "a system call that the sandbox does not have",
    }
    reason = f" ({reasons[name]})" if name in reasons else ""
    error = {"type": name, "message": f"The process was ended by {name}{reason}.", "line": None, "traceback": ""}
    return {"status": "signal", "signal": name, "error": error | {"signal": name}}


def _left_without_end(code: int) -> dict[str, Any]:
    message = f"The process left with status {code} before it handed over its end, as os._exit does."
    error = {"type": "SystemExit", "message": message, "line": None, "traceback": "", "exit_code": code}
    return {"status": "exit", "exit_code": code, "error": error}


def read_claim(end: bytes | None, limits: Mapping[str, Any]) -> dict[str, Any] | None:
    """Read what a process handed over; None unless it has exactly the shape that our own side writes."""
    if end is None:
        return None
    try:
        found = json.loads(end, parse_constant=_refuse_constant)
        if not isinstance(found, dict) or found.get("status") not in CLAIMS:
            return None
        code = found.get("exit_code")
        error = found.get("error")
        if type(code) is not int or (error is None) != (found["status"] == "ok"):
            return None
        return {
            "status": found["status"],
            "exit_code": code,
            "error": None if error is None else _read_error(error),
            "limit": found.get("limit") if isinstance(found.get("limit"), str) else None,
            "result": found.get("result") if _is_shallow(found.get("result")) else None,
            "result_repr": _text(found.get("result_repr"), limits["repr_bytes"]),
            "show_result": found.get("show_result") is True,
            "result_truncated": found.get("result_truncated") is True,
        }
    except (ValueError, RecursionError, TypeError):
        return None


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)


def _read_error(error: Any) -> dict[str, Any]:
    if not isinstance(error, dict):
        raise TypeError
    read: dict[str, Any] = {
        "type": _text(error.get("type"), 1000) or "Exception",
        "message": _text(error.get("message"), MAX_TEXT) or "",
        "line": error["line"] if type(error.get("line")) is int and 0 < error["line"] < 2**31 else None,
        "traceback": _text(error.get("traceback"), MAX_TEXT) or "",
    }
    for name in ("hint", "module"):
        text = _text(error.get(name), 1000)
        if text:
            read[name] = text
    if type(error.get("exit_code")) is int:
        read["exit_code"] = error["exit_code"] & 0xFF
    return read


def _text(value: Any, limit: int) -> str | None:
    return value[:limit] if isinstance(value, str) else None


def _is_shallow(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return True
    return False
