"""The translation between the vocabulary of runs and the frames of the protocol."""

import json
from typing import Any

import msgspec

from executor import runs
from executor.runs import Began, Display, Ended, Event, Output, OutputFile, Run, StopReason, Verdict
from executor.sandboxes.frames import BrokenFrame, encode

_encoder = msgspec.json.Encoder()
_decoders: dict[bytes, msgspec.json.Decoder[Any]] = {
    b"B": msgspec.json.Decoder(Began),
    b"D": msgspec.json.Decoder(Display),
    b"F": msgspec.json.Decoder(OutputFile),
    b"V": msgspec.json.Decoder(Verdict),
}


def encode_job(run: Run) -> bytes:
    """Write the frame that hands a run to its box."""
    policy = run.policy
    job: dict[str, Any] = {
        "code": run.code,
        "stdin": run.stdin or "",
        "files": [{"path": file.path, "content_base64": file.content_base64} for file in run.files],
        "outputs": list(run.outputs),
        "timeout_seconds": policy.timeout_seconds,
        "memory_mb": policy.memory_mb,
        "cpus": policy.cpus,
        "limits": {
            "processes": policy.processes,
            "open_files": policy.open_files,
            "file_mb": policy.file_mb,
            "stdout_bytes": runs.MAX_STREAM_BYTES,
            "stderr_bytes": runs.MAX_STREAM_BYTES,
            "output_bytes": runs.MAX_WRITTEN_BYTES,
            "result_bytes": runs.MAX_RESULT_BYTES,
            "repr_bytes": runs.MAX_REPR_BYTES,
            "files_count": runs.MAX_FILES_RETURNED,
            "files_bytes": runs.MAX_FILES_BYTES,
        },
    }
    if run.input is not None:
        job["input"] = run.input
    if run.inputs is not None:
        job["inputs"] = list(run.inputs)
    if run.entrypoint is not None:
        job["entrypoint"] = run.entrypoint
    return encode(b"J", _encoder.encode(job))


def encode_stop(reason: StopReason) -> bytes:
    """Write the frame that asks for the end of a run."""
    return encode(b"S", b'{"reason":"%s"}' % reason.encode())


def decode_ready(payload: bytes) -> str:
    """Read the Python version out of the frame with which a box says that it is ready; may raise `BrokenFrame`."""
    try:
        return str(json.loads(payload)["python"])
    except (ValueError, KeyError, TypeError) as error:
        raise BrokenFrame("the box's first frame does not tell its Python") from error


def decode_event(kind: bytes, payload: bytes) -> Event:
    """Read one frame from a box; `BrokenFrame` on what this protocol does not have."""
    if kind == b"O":
        return Output("stdout", payload)
    if kind == b"E":
        return Output("stderr", payload)
    if kind == b"Z":
        return Ended()
    decoder = _decoders.get(kind)
    if decoder is None:
        raise BrokenFrame(f"frames of kind {kind!r} are unknown")
    try:
        event: Event = decoder.decode(payload)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BrokenFrame(f"a frame of kind {kind!r} does not hold what it must") from error
    return event
