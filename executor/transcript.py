"""What a box tells, put together into an outcome. Pure: no clock, no streams."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from executor.runs import (
    MAX_STREAM_BYTES,
    MAX_WRITTEN_BYTES,
    Began,
    Display,
    Event,
    Output,
    OutputFile,
    Part,
    Run,
    Status,
    Truncated,
    Usage,
    Verdict,
)


@dataclass(slots=True)
class Transcript:
    """Collects the events of one run. `begun` says whether the user's code has started."""

    run: Run
    begun: bool = False
    parts: list[Part] = field(default_factory=list)
    displays: list[Display] = field(default_factory=list)
    files: list[OutputFile] = field(default_factory=list)
    whole: Verdict | None = None
    _stdout: list[bytes] = field(default_factory=list)
    _stderr: list[bytes] = field(default_factory=list)
    _preface: tuple[str, str] = ("", "")

    def take(self, event: Event) -> Part | None:
        """Note an event; gives the part that it completes, in a batch."""
        if isinstance(event, Output):
            (self._stdout if event.stream == "stdout" else self._stderr).append(event.data)
        elif isinstance(event, Verdict):
            return self._conclude(event)
        elif isinstance(event, Began):
            if not self.begun and self.run.inputs is not None:
                self._preface = self._written()
            self.begun = True
        elif isinstance(event, Display):
            self.displays.append(event)
        elif isinstance(event, OutputFile):
            self.files.append(event)
        return None

    @property
    def complete(self) -> bool:
        """Whether there is a verdict for everything that was asked."""
        return self.whole is not None or (self.run.inputs is not None and len(self.parts) >= len(self.run.inputs))

    def end_with(self, status: Status, *, wall_ms: float | None = None) -> Part | None:
        """Give what has no verdict yet this one: the box can tell no more."""
        lost = status == "signal"
        index = len(self.parts) if self.run.inputs is not None and self.begun else None
        verdict = Verdict(
            status=status,
            index=index,
            signal="SIGKILL" if lost else None,
            error={"type": "SIGKILL", "message": _LOST, "line": None, "traceback": ""} if lost else None,
            usage=Usage(wall_ms=wall_ms),
        )
        return self._conclude(verdict)

    def finish(self) -> tuple[Part, list[Part] | None]:
        """Give the run's own part, and in a batch one for each input: all of them, whatever came.

        The run's own part of a batch has what was written in all, in the order of the inputs, cut as of any run.
        """
        inputs = self.run.inputs
        if inputs is None:
            assert self.whole is not None
            return Part(verdict=explain(self.whole, self.run), **self._texts()), None
        last = self.whole or (self.parts[-1].verdict if self.parts else Verdict(status="signal"))
        never_ran = replace_verdict(last, result=msgspec.Raw(b"null"), usage=Usage(), truncated=Truncated())
        missing = Part(verdict=explain(never_ran, self.run))
        parts = self.parts + [missing] * (len(inputs) - len(self.parts))
        verdict = explain(self.whole, self.run) if self.whole else summarise(parts)
        return self._joined(verdict), parts

    def _texts(self) -> dict[str, str]:
        stdout, stderr = self._written()
        return {"stdout": self._preface[0] + stdout, "stderr": self._preface[1] + stderr}

    def _joined(self, verdict: Verdict) -> Part:
        """Give the run's own part of a batch: what came before the inputs, of each of them, and after the last."""
        rest = self._written()
        stdout, left_out = join([self._preface[0], *(part.stdout for part in self.parts), rest[0]])
        stderr, left_err = join([self._preface[1], *(part.stderr for part in self.parts), rest[1]])
        lost = verdict.truncated
        lost = msgspec.structs.replace(lost, stdout=lost.stdout + left_out, stderr=lost.stderr + left_err)
        return Part(verdict=replace_verdict(verdict, truncated=lost), stdout=stdout, stderr=stderr)

    def _conclude(self, verdict: Verdict) -> Part | None:
        if verdict.index is None or self.run.inputs is None:
            self.whole = verdict
            return None
        stdout, stderr = self._written()
        part = Part(verdict=explain(verdict, self.run), stdout=stdout, stderr=stderr)
        self.parts.append(part)
        return part

    def _written(self) -> tuple[str, str]:
        texts = b"".join(self._stdout).decode(errors="replace"), b"".join(self._stderr).decode(errors="replace")
        self._stdout.clear()
        self._stderr.clear()
        return texts


_LOST = "The sandbox was ended from outside while the code ran."


def join(texts: list[str]) -> tuple[str, int]:
    """Give the first bytes of texts put together, as many as are kept of one stream, and how many are left out."""
    data = "".join(texts).encode()
    return data[:MAX_STREAM_BYTES].decode(errors="ignore"), max(0, len(data) - MAX_STREAM_BYTES)


def replace_verdict(verdict: Verdict, **changes: Any) -> Verdict:
    """Give a copy of a verdict with some fields changed."""
    return msgspec.structs.replace(verdict, **changes)


def explain(verdict: Verdict, run: Run) -> Verdict:
    """Give the verdict with an error that a person or a model can act on: which limit, its value, what raises it."""
    message = limit_message(verdict.status, run)
    if message is None:
        return verdict
    kept = {
        key: value for key, value in (verdict.error or {}).items() if value and key in ("line", "traceback", "hint")
    }
    error = {"type": verdict.status, "message": message, "line": None, "traceback": ""} | kept
    return replace_verdict(verdict, error=error)


def limit_message(status: Status, run: Run) -> str | None:
    """Say which limit ended a run, its value, and what raises it; None for what is not a limit."""
    policy = run.policy
    messages: Mapping[str, str] = {
        "timeout": f"The code ran longer than {policy.timeout_seconds:g} s; raise timeout_seconds.",
        "out_of_memory": f"The code used more than {policy.memory_mb} MiB of memory; raise memory_mb.",
        "process_limit": (
            f"The code had more than {policy.processes} processes and threads; the operator can raise MAX_PROCESSES."
        ),
        "output_limit": (
            f"The code wrote more than {MAX_WRITTEN_BYTES // 1024 // 1024} MiB to standard output and standard error; "
            "print less, or write a file and name it in outputs."
        ),
        "cancelled": "The run was cancelled.",
    }
    return messages.get(status)


def summarise(parts: list[Part]) -> Verdict:
    """Give the verdict on a batch: ok if all are, else the first that is not, and what they used together."""
    failed = [part.verdict for part in parts if part.verdict.status != "ok"]
    whole = Verdict(status="ok", usage=_total_usage(parts), truncated=_total_truncated(parts))
    if not failed:
        return whole
    first = failed[0]
    error = first.error or {"type": first.status, "line": None, "traceback": ""}
    message = f"{len(failed)} of {len(parts)} inputs were not ok, see results."
    if reason := error.get("message"):
        message += f" The first: {reason}"
    return replace_verdict(
        whole,
        status=first.status,
        exit_code=first.exit_code,
        signal=first.signal,
        error={**error, "message": message},
    )


def _total_usage(parts: list[Part]) -> Usage:
    usages = [part.verdict.usage for part in parts]
    peaks = [usage.memory_peak_mb for usage in usages if usage.memory_peak_mb is not None]
    return Usage(
        wall_ms=_total([usage.wall_ms for usage in usages]),
        cpu_ms=_total([usage.cpu_ms for usage in usages]),
        memory_peak_mb=max(peaks, default=None),
    )


def _total_truncated(parts: list[Part]) -> Truncated:
    each = [part.verdict.truncated for part in parts]
    return Truncated(
        stdout=sum(truncated.stdout for truncated in each),
        stderr=sum(truncated.stderr for truncated in each),
        result=any(truncated.result for truncated in each),
        files=[path for truncated in each for path in truncated.files],
        skipped=[file for truncated in each for file in truncated.skipped],
    )


def _total(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(sum(known), 3) if known else None
