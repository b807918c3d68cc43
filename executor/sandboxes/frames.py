"""The framed protocol between the executor and the supervisor in the box.

It runs over the container's own standard streams: the executor writes to the supervisor's stdin and reads its
stdout (through the engine's attach, which has a multiplexing of its own around it). One frame is

    kind: 1 byte, an ASCII letter | length: 4 bytes, unsigned, big endian | payload: `length` bytes

Payloads are JSON objects in UTF-8, or raw bytes where that is said.

To the box:

    J  job      {"code": str, "stdin": str, "files": [{"path": str, "content_base64": str}], "outputs": [str],
                 "input"?: any, "inputs"?: [any], "entrypoint"?: str, "timeout_seconds": number,
                 "memory_mb": int, "cpus": number,
                 "limits": {"processes", "open_files", "file_mb", "stdout_bytes", "stderr_bytes",
                 "output_bytes", "result_bytes", "repr_bytes", "files_count", "files_bytes"}}
                "input" absent means a script. Sent once; a box takes one job in its life.
    S  stop     {"reason": "timeout" | "cancelled"}: end the user's processes now, then report as usual

From the box, in this order (O, E, D interleaved as they come):

    R  ready    {"python": "3.13.5"}: sent once, when the box can take a job
    B  begin    {"index"?: int}: the user's code starts now; the wall clock counts from here. In a batch for each input,
                and without index when the program is loaded; what it wrote then is told again for each input
    O  stdout   raw bytes, as written; at most `stdout_bytes` in all, the rest is counted, not sent
    E  stderr   raw bytes, likewise
    D  display  {"mime": str, "data": str}: text, or base64 for binary types
    F  file     {"path": str, "size": int, "mime": str, "content_base64": str}: one for each output, after the run
                and before the last V, unless the run was killed
    V  verdict  {"index"?: int, "status": str, "exit_code": int | null, "signal": str | null, "error": {…} | null,
                 "result"?: any, "result_repr": str | null, "show_result": bool,
                 "truncated": {"stdout": int, "stderr": int, "result": bool, "files": [str], "displays": int,
                 "skipped": [{"path": str, "reason": str}]},
                 "usage": {"wall_ms": float, "cpu_ms": float | null, "memory_peak_mb": float | null},
                 "oom_kills": int}: what came of the run; in a batch one for each input, in order
    Z  end      {}: nothing more comes; the supervisor exits

`status` is one of API.md 4.1, as the supervisor saw it; the executor overrules it only where it alone knows
better (the box died, the deadline passed without an answer).
"""

import struct
from collections.abc import Iterator

HEAD = struct.Struct(">cI")
MAX_PAYLOAD = 64 * 1024 * 1024


class BrokenFrame(Exception):
    """What came is not a frame of this protocol."""


def encode(kind: bytes, payload: bytes) -> bytes:
    """Write one frame."""
    return HEAD.pack(kind, len(payload)) + payload


class FrameDecoder:
    """Cuts a stream of bytes, however it is split, into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Take bytes, give the (kind, payload) pairs that are complete; `BrokenFrame` on an absurd length."""
        self._buffer += data
        while len(self._buffer) >= HEAD.size:
            kind, length = HEAD.unpack_from(self._buffer)
            if length > MAX_PAYLOAD:
                raise BrokenFrame(f"a frame of {length} bytes is announced, {MAX_PAYLOAD} are allowed")
            end = HEAD.size + length
            if len(self._buffer) < end:
                return
            payload = bytes(self._buffer[HEAD.size : end])
            del self._buffer[:end]
            yield kind, payload
