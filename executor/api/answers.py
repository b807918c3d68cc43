"""The answer to a run (API.md 4.1), and how answers of all kinds are written."""

import re
import secrets
from collections.abc import Mapping
from typing import Any

import msgspec
from sanic import HTTPResponse, Request

from executor.runs import Outcome, OutputFile, Part, Policy, Verdict

_encoder = msgspec.json.Encoder()
_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
ID_HEADER = "x-request-id"


def request_id(request: Request) -> str:
    """Give the request's id: the inbound one if it is sane, else a new one, the same each time it is asked for."""
    known: str | None = getattr(request.ctx, "request_id", None)
    if known is None:
        inbound = request.headers.getone(ID_HEADER, "")
        known = inbound if _SANE_ID.fullmatch(inbound) else secrets.token_hex(12)
        request.ctx.request_id = known
    return known


def respond(
    request: Request, body: object, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> HTTPResponse:
    """Answer with JSON and the request's id."""
    return HTTPResponse(
        encode(body),
        status=status,
        headers={ID_HEADER: request_id(request), **(headers or {})},
        content_type="application/json",
    )


def encode(body: object) -> bytes:
    """Write JSON."""
    return _encoder.encode(body)


def answer(outcome: Outcome) -> dict[str, Any]:
    """Give the answer object of a run."""
    body: dict[str, Any] = {"id": outcome.run.id, **describe_part(outcome.whole)}
    verdict = outcome.whole.verdict
    truncated = verdict.truncated
    body["truncated"] |= {"files": truncated.files} if truncated.files else {}
    body["truncated"] |= {"skipped": truncated.skipped} if truncated.skipped else {}
    body |= {
        "files": outcome.files,
        "displays": outcome.displays,
        "usage": usage(verdict) | {"queue_ms": round(outcome.queue_ms, 3)},
        "policy": describe_policy(outcome.run.policy, outcome.runtime),
        "sandbox": {"python": outcome.python, "warm": outcome.warm},
    }
    if outcome.parts is not None:
        body["results"] = [describe_part(part) for part in outcome.parts]
    return body


def describe_part(part: Part) -> dict[str, Any]:
    """Give what one execution of the code came to."""
    verdict = part.verdict
    return {
        "success": verdict.status == "ok",
        "status": verdict.status,
        "result": verdict.result,
        "result_repr": verdict.result_repr,
        "output": _output(part),
        "stdout": part.stdout,
        "stderr": part.stderr,
        "error": _error(verdict),
        "truncated": {
            "stdout": verdict.truncated.stdout,
            "stderr": verdict.truncated.stderr,
            "result": verdict.truncated.result,
        },
        "usage": usage(verdict),
    }


def usage(verdict: Verdict) -> dict[str, float | None]:
    """Give what an execution used; null where it cannot be known."""
    used = verdict.usage
    return {"wall_ms": _rounded(used.wall_ms), "cpu_ms": _rounded(used.cpu_ms), "memory_peak_mb": used.memory_peak_mb}


def describe_policy(policy: Policy, runtime: str | None) -> dict[str, Any]:
    """Give the policy that a run was under."""
    return {
        "timeout_seconds": policy.timeout_seconds,
        "memory_mb": policy.memory_mb,
        "cpus": policy.cpus,
        "processes": policy.processes,
        "network": "none",
        "image": policy.image,
        "runtime": policy.runtime or runtime,
    }


def describe_file(file: OutputFile) -> dict[str, Any]:
    """Give what a stream tells of a file: all but what it holds."""
    return {"path": file.path, "size": file.size, "mime": file.mime}


def _output(part: Part) -> str:
    shown = part.verdict.result_repr if part.verdict.show_result else None
    if shown is None:
        return part.stdout
    gap = "\n" if part.stdout and not part.stdout.endswith("\n") else ""
    return f"{part.stdout}{gap}{shown}"


def _error(verdict: Verdict) -> dict[str, Any] | None:
    if verdict.status == "ok":
        return None
    error = {"type": verdict.status, "message": "", "line": None, "traceback": ""} | (verdict.error or {})
    if verdict.exit_code is not None and verdict.status == "exit":
        error = {**error, "type": "SystemExit", "exit_code": verdict.exit_code}
    if verdict.signal is not None:
        kind = verdict.signal if verdict.status == "signal" else verdict.status  # of a limit, its name is the type
        error = {**error, "type": kind, "signal": verdict.signal}
    return error


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
