"""A box without the executor around it: the same container settings, the frames spoken by hand."""

import contextlib
import json
import os
import secrets
import socket
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from docker import APIClient
from docker.errors import APIError

from executor import runs
from executor.runs import Policy
from executor.sandboxes.confinement import container_settings
from executor.sandboxes.frames import FrameDecoder, encode

IMAGES = {"base": "sandgate-sandbox:base", "data": "sandgate-sandbox:data"}
BASE = Policy(image="base", reference=IMAGES["base"])
OWNER = f"box-tests-{secrets.token_hex(4)}"
READY_SECONDS = 30.0
# Beyond the time limit of the job: a box that takes longer has hung.
GRACE_SECONDS = 15.0
_CHUNK = struct.Struct(">BxxxI")


class BoxHungError(AssertionError):
    """The box said nothing more, and did not end."""


@dataclass
class Told:
    """What a box told of one job."""

    frames: list[tuple[bytes, bytes]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    exit_code: int | None = None

    def payloads(self, kind: bytes) -> list[dict[str, Any]]:
        return [json.loads(payload) for found, payload in self.frames if found == kind]

    @property
    def kinds(self) -> str:
        return b"".join(kind for kind, _ in self.frames).decode()

    @property
    def verdicts(self) -> list[dict[str, Any]]:
        return self.payloads(b"V")

    @property
    def verdict(self) -> dict[str, Any]:
        (verdict,) = self.verdicts
        return verdict

    @property
    def status(self) -> str:
        return str(self.verdict["status"])

    @property
    def result(self) -> Any:
        return self.verdict["result"]

    @property
    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = self.verdict["error"]
        return error

    @property
    def stdout(self) -> str:
        return self._text(b"O")

    @property
    def stderr(self) -> str:
        return self._text(b"E")

    @property
    def files(self) -> list[dict[str, Any]]:
        return self.payloads(b"F")

    @property
    def displays(self) -> list[dict[str, Any]]:
        return self.payloads(b"D")

    def _text(self, kind: bytes) -> str:
        return b"".join(payload for found, payload in self.frames if found == kind).decode(errors="replace")


class Box:
    """One container, started and ready to take its one job."""

    def __init__(self, policy: Policy = BASE, *, owner: str = OWNER, **changes: Any) -> None:
        self.policy = policy
        self._client = APIClient(version="auto", timeout=30)
        name = f"{owner}-{secrets.token_hex(6)}"
        settings = container_settings(policy, owner=owner, name=name, expires=int(time.time()) + 600)
        settings["host"].update(changes.pop("host", {}))
        settings["container"].update(changes)
        host = self._client.create_host_config(**settings["host"])
        self.id: str = self._client.create_container(**settings["container"], host_config=host)["Id"]
        try:
            params = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
            self._stream = self._client.attach_socket(self.id, params)
            self._socket: socket.socket = self._stream._sock
            self._client.start(self.id)
            self._chunks = bytearray()
            self._decoder = FrameDecoder()
            self._frames = self._read_frames()
            self.complaint = b""
            self._socket.settimeout(READY_SECONDS)
            kind, payload = next(self._frames)
            assert kind == b"R", (kind, payload)
            self.ready: dict[str, Any] = json.loads(payload)
        except BaseException:
            self.remove()
            raise

    def send(self, kind: bytes, payload: Mapping[str, Any]) -> None:
        self._socket.sendall(encode(kind, json.dumps(payload).encode()))

    def hang_up(self) -> None:
        """Leave, as an executor that dies."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._stream.close()
        self._socket.close()

    def run(self, code: str, **job: Any) -> Told:
        """Give the box its job and collect all that it tells."""
        full = make_job(self.policy, code, **job)
        self.send(b"J", full)
        inputs = len(full.get("inputs", ())) + 1
        return self.collect(full["timeout_seconds"] * inputs + GRACE_SECONDS)

    def collect(self, seconds: float) -> Told:
        told = Told()
        began = time.monotonic()
        while True:
            self._socket.settimeout(max(0.01, began + seconds - time.monotonic()))
            try:
                frame = next(self._frames, None)
            except TimeoutError:
                raise BoxHungError(f"after {told.kinds[-50:]!r}") from None
            if frame is None:
                break
            told.frames.append(frame)
            told.times.append(time.monotonic() - began)
        told.exit_code = self._client.wait(self.id, timeout=30)["StatusCode"]
        return told

    def remove(self) -> None:
        self._client.remove_container(self.id, force=True, v=True)
        with contextlib.suppress(AttributeError):
            self.hang_up()
        self._client.close()

    def is_logged(self, text: bytes) -> bool:
        """Whether the engine has kept something that the box wrote."""
        try:
            return text in self._client.logs(self.id)
        except APIError:
            return False

    def wait(self, seconds: float) -> int:
        return int(self._client.wait(self.id, timeout=seconds)["StatusCode"])

    def _read_frames(self) -> Iterator[tuple[bytes, bytes]]:
        while True:
            data = self._socket.recv(1 << 16)
            if not data:
                return
            self._chunks += data
            while len(self._chunks) >= _CHUNK.size:
                stream, length = _CHUNK.unpack_from(self._chunks)
                if len(self._chunks) < _CHUNK.size + length:
                    break
                payload = bytes(self._chunks[_CHUNK.size : _CHUNK.size + length])
                del self._chunks[: _CHUNK.size + length]
                if stream == 1:
                    yield from self._decoder.feed(payload)
                else:
                    self.complaint += payload


class Boxes:
    """Boxes of the default kind, some of them made ahead."""

    def __init__(self, policy: Policy = BASE, ahead: int = 2) -> None:
        self._make = partial(Box, policy, owner=f"{OWNER}-{secrets.token_hex(4)}")
        self._threads = ThreadPoolExecutor(ahead)
        self._ready: list[Future[Box]] = [self._threads.submit(self._make) for _ in range(ahead)]
        self._lock = threading.Lock()

    def take(self) -> Box:
        with self._lock:
            box = self._ready.pop(0)
            self._ready.append(self._threads.submit(self._make))
        return box.result()

    def run(self, code: str, **job: Any) -> Told:
        box = self.take()
        try:
            return box.run(code, **job)
        finally:
            self._threads.submit(box.remove)

    def close(self) -> list[str]:
        """Remove the boxes that were not wanted; names those that are there all the same."""
        for box in self._ready:
            self._threads.submit(box.result().remove)
        self._threads.shutdown()
        return left_over(self._make.keywords["owner"])


def run_in_box(code: str, policy: Policy = BASE, **job: Any) -> Told:
    """Run code in a box made for it."""
    box = Box(policy)
    try:
        return box.run(code, **job)
    finally:
        box.remove()


def make_job(policy: Policy, code: str, **job: Any) -> dict[str, Any]:
    """Give the payload of a J frame; `limits` changes some of them."""
    limits = {
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
    }
    limits.update(job.pop("limits", {}))
    defaults = {"stdin": "", "files": [], "outputs": [], "timeout_seconds": 10.0}
    return defaults | {"code": code, "memory_mb": policy.memory_mb, "cpus": policy.cpus, "limits": limits} | job


def policy_of(**changes: Any) -> Policy:
    """Give the default policy with some things changed."""
    return replace(BASE, **changes)


def left_over(owner: str) -> list[str]:
    """Name the owner's containers that still exist."""
    with contextlib.closing(APIClient(version="auto")) as client:
        found = client.containers(all=True, filters={"label": f"sandgate.owner={owner}"})
    return [os.fsdecode(entry["Names"][0]) for entry in found]
