"""Sandboxes as Docker containers: the only file that imports docker.

The SDK blocks, so its verbs run in a small bounded pool of threads, each call under a deadline of its own; whatever
is unknown after a deadline is left to the sweep. What each box needs does not pass through the SDK: it is created,
started and removed through `engine_http`, under the same deadline, and its streams come through `attach`.

When is a box swept? A box cannot outlive its owner, since the supervisor in it ends itself as soon as the connection
that its owner holds is gone: that connection is the heartbeat, renewed by being there. So one that has ended, bears
our own id and is not known to us was our predecessor's (see `ownership`), and goes at once; one that runs has a
living owner who was given our id by a mistake in the set-up (two hosts of one name on one engine), and stays. A
foreign box goes when it has been dead for longer than a living owner would leave it. Whatever runs past the expiry on
its label, which is later than any owner keeps a box, goes in any case.
"""

import asyncio
import contextlib
import logging
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, TypeVar

import docker.errors
import msgspec
import requests.exceptions
from docker import APIClient
from docker.transport import UnixHTTPAdapter

from executor.errors import EngineFailed, ImageMissing, SandboxLost, SandboxUnavailable
from executor.runs import Ended, Event, Policy, Run, StopReason
from executor.sandboxes import confinement
from executor.sandboxes.attach import Attachment, attach
from executor.sandboxes.base import EngineReport
from executor.sandboxes.engine_http import EngineHttp
from executor.sandboxes.frames import BrokenFrame
from executor.sandboxes.jobs import decode_event, decode_ready, encode_job, encode_stop
from executor.sandboxes.ownership import Owner

log = logging.getLogger("executor.sandboxes")

T = TypeVar("T")
THREADS = 8
CALL_SECONDS = 8.0
READY_SECONDS = 20.0
DEAD_SECONDS = 120.0
LEAVE_SECONDS = 1.0
SWEEP_LOOKS = 4
SWEEP_PAUSE_SECONDS = 0.7
_BAD_REQUEST, _NOT_FOUND = 400, 404
_MAX_REASON = 500


class _OneConnection(UnixHTTPAdapter):
    """One connection that is kept. The SDK's own adapter keeps one for each URL, and ours have boxes' names in them."""

    def get_connection(self, url: Any, proxies: Any = None) -> Any:
        del url
        return super().get_connection("http+docker://localhost", proxies)


class DockerSandbox:
    """One container with a supervisor that waits for its job on stdin."""

    def __init__(self, engine: "DockerEngine", policy: Policy, name: str, attachment: Attachment) -> None:
        self.policy = policy
        self.python = ""
        self.created = asyncio.get_running_loop().time()
        self.name = name
        self._engine = engine
        self._attachment = attachment
        self._destroyed = False

    @property
    def alive(self) -> bool:
        """Whether its stream is open, and nothing has come that was not asked for."""
        return not (self._attachment.ended or self._attachment.waiting or self._destroyed)

    def on_death(self, call: Callable[[], None] | None) -> None:
        """Have `call` called once when the box dies; None forgets it."""
        self._attachment.on_end(call)

    async def greet(self) -> None:
        """Wait until the box says that it is ready; `SandboxLost` if it does not."""
        try:
            async with asyncio.timeout(READY_SECONDS):
                frame = await self._attachment.next_frame()
        except TimeoutError:
            raise SandboxLost("The sandbox did not get ready in time.") from None
        if frame is None or frame[0] != b"R":
            log.error("a box did not start: %s", self._attachment.complaint.decode(errors="replace").strip())
            raise SandboxLost("The sandbox did not start.")
        try:
            self.python = decode_ready(frame[1])
        except BrokenFrame as error:
            raise SandboxLost("The sandbox did not start as it should.") from error

    async def resize(self, policy: Policy) -> None:
        """Give a box that has no job yet the memory and CPUs of `policy`. Raises `EngineFailed`."""
        memory = policy.memory_mb * confinement.MIB
        await self._engine.call(
            lambda client: client.update_container(
                self.name,
                mem_limit=memory,
                memswap_limit=memory,
                cpu_period=confinement.CPU_PERIOD,
                cpu_quota=confinement.cpu_quota(policy.cpus),
            )
        )
        self.policy = policy

    def give(self, run: Run) -> None:
        """Hand the job over. Once in a box's life."""
        self._attachment.write(encode_job(run))

    async def next_event(self) -> Event:
        """Wait for what it tells next; after the last comes `Ended`, always."""
        frame = await self._attachment.next_frame()
        if frame is None:
            return Ended(broken=True)
        try:
            return decode_event(*frame)
        except BrokenFrame as error:
            log.error("a box broke the protocol: %s", error)
            return Ended(broken=True)

    def stop(self, reason: StopReason) -> None:
        """Ask the supervisor to end the user's processes now and to report as usual."""
        self._attachment.write(encode_stop(reason))

    async def kill(self) -> None:
        """End the box from outside; what it wrote before can still be read. Bounded in time, never raises."""
        with contextlib.suppress(EngineFailed):
            await self._engine.call(lambda client: client.kill(self.name))

    def hang_up(self) -> None:
        """Cut the stream: nothing more is waited for. Only after `kill` has had its time."""
        self._attachment.close()

    async def was_out_of_memory(self) -> bool:
        """Whether the engine saw the box's memory limit end it. Bounded in time, never raises."""
        with contextlib.suppress(EngineFailed):
            found = await self._engine.call(lambda client: client.inspect_container(self.name))
            return bool(found["State"].get("OOMKilled"))
        return False

    async def destroy(self) -> None:
        """Kill and remove it. Idempotent, bounded in time, never raises: what fails is left to the sweep."""
        if self._destroyed:
            return
        self._destroyed = True
        if self._attachment.newest == b"Z":
            # It is about to leave by itself, and a kill would cost the engine one more process.
            await self._attachment.wait_for_end(LEAVE_SECONDS)
        await self._engine.remove(self.name)
        self._attachment.close()


class DockerEngine:
    """A Docker engine, by its API over `unix://` or `tcp://`. `lifetime` is the longest a box may be kept (s)."""

    def __init__(self, docker_host: str, *, owner: Owner, lifetime: float) -> None:
        self.owner = owner.id
        self._ownership = owner
        self._host = docker_host
        self._lifetime = lifetime
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="engine")
        self._clients = threading.local()
        self._http = EngineHttp(docker_host)
        self._bodies: dict[Policy, tuple[str, dict[str, Any]]] = {}
        self._names: set[str] = set()

    async def create(self, policy: Policy) -> DockerSandbox:
        """Make a box that is ready to take a job. Raises `EngineFailed`, `ImageMissing` or `SandboxLost`."""
        name = f"sandgate-{self.owner}-{secrets.token_hex(8)}"
        self._names.add(name)
        sandbox: DockerSandbox | None = None
        try:
            await self._create(policy, name)
            sandbox = DockerSandbox(self, policy, name, await attach(self._host, name, seconds=CALL_SECONDS))
            await self._ask("POST", f"/containers/{name}/start")
            await sandbox.greet()
        except BaseException:
            await asyncio.shield(sandbox.destroy() if sandbox else self.remove(name))
            raise
        return sandbox

    async def remove(self, name: str) -> None:
        """Kill and remove a container by name; what fails is left to the sweep."""
        try:
            await self._ask("DELETE", f"/containers/{name}?v=1&force=1", unless=_NOT_FOUND)
        except EngineFailed as error:
            log.warning("a box could not be removed, the sweep will try again: %s", error)
        finally:
            self._names.discard(name)

    async def sweep(self) -> int:
        """Remove what dead executors left, found by label; gives how many."""
        for _ in range(SWEEP_LOOKS):
            found = await self.call(
                lambda client: client.containers(all=True, filters={"label": [confinement.OWNER_LABEL]})
            )
            # A predecessor that died a moment ago: its boxes are about to notice.
            if not any(self._is_unknown(entry) and entry["State"] == "running" for entry in found):
                break
            await asyncio.sleep(SWEEP_PAUSE_SECONDS)
        dead = [entry for entry in found if await self._is_left_behind(entry)]
        await asyncio.gather(*(self.remove(entry["Id"]) for entry in dead))
        return len(dead)

    async def probe(self, references: Sequence[str]) -> EngineReport:
        """Ask the engine what it is, and which images of `references` it has. Raises `EngineFailed`."""
        info = await self.call(lambda client: client.info())
        images = {}
        for reference in references:
            images[reference] = await self._has_image(reference)
        return EngineReport(
            owner=self.owner,
            version=info.get("ServerVersion", ""),
            runtime=info.get("DefaultRuntime", ""),
            runtimes=tuple(sorted(info.get("Runtimes") or ())),
            cgroup=info.get("CgroupVersion", "1"),
            images=images,
        )

    async def close(self) -> None:
        """Remove every box that is still there, and let go of the engine."""
        with contextlib.suppress(EngineFailed):
            label = f"{confinement.OWNER_LABEL}={self.owner}"
            found = await self.call(lambda client: client.containers(all=True, filters={"label": [label]}))
            await asyncio.gather(*(self.remove(entry["Id"]) for entry in found))
        self._http.close()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._ownership.release()

    async def call(self, verb: Callable[[APIClient], T], *, seconds: float = CALL_SECONDS) -> T:
        """Run one verb of the SDK in a thread, under a deadline; the SDK's errors become ours."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(seconds):
                return await loop.run_in_executor(self._threads, lambda: verb(self._client()))
        except TimeoutError as error:
            raise EngineFailed("The container engine did not answer in time.") from error
        except docker.errors.ImageNotFound as error:
            raise ImageMissing("The sandbox's image is not on the engine.") from error
        except docker.errors.NotFound as error:
            raise EngineFailed("The container engine does not know the sandbox.") from error
        except docker.errors.APIError as error:
            log.warning("the engine refused: %s", error.explanation or error)
            raise EngineFailed("The container engine refused to make a sandbox.") from error
        except (docker.errors.DockerException, requests.exceptions.RequestException, OSError) as error:
            raise EngineFailed("The container engine cannot be reached.") from error

    def _client(self) -> APIClient:
        client: APIClient | None = getattr(self._clients, "client", None)
        if client is None:
            client = APIClient(self._host, version="auto", timeout=int(CALL_SECONDS))
            if self._host.startswith("unix://"):
                client.trust_env = False  # proxies and .netrc are nothing to a socket of this machine
                client.mount("http+docker://", _OneConnection(f"http+{self._host}", timeout=int(CALL_SECONDS)))
            self._clients.client = client
        return client

    async def _create(self, policy: Policy, name: str) -> None:
        if policy not in self._bodies:
            self._bodies[policy] = await self.call(lambda client: _describe(client, policy))
        version, described = self._bodies[policy]
        labels = confinement.make_labels(policy, owner=self.owner, expires=int(time.time() + self._lifetime))
        body = msgspec.json.encode({**described, "Labels": labels})
        await self._ask("POST", f"/v{version}/containers/create?name={name}", body, missing=ImageMissing)

    async def _ask(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        unless: int | None = None,
        missing: type[SandboxUnavailable] = EngineFailed,
    ) -> None:
        """Ask the engine under a deadline; a refusal becomes ours, but for the status `unless`."""
        try:
            async with asyncio.timeout(CALL_SECONDS):
                status, answer = await self._http.request(method, path, body)
        except TimeoutError as error:
            raise EngineFailed("The container engine did not answer in time.") from error
        except OSError as error:
            raise EngineFailed("The container engine cannot be reached.") from error
        if status < _BAD_REQUEST or status == unless:
            return
        log.warning("the engine refused: %s", answer[:_MAX_REASON].decode(errors="replace").strip())
        if status == _NOT_FOUND:
            raise missing("The container engine does not know the sandbox, or has not its image.")
        raise EngineFailed("The container engine refused to make a sandbox.")

    async def _has_image(self, reference: str) -> bool:
        try:
            # types-docker leaves this one without annotations.
            await self.call(lambda client: client.inspect_image(reference))  # type: ignore[no-untyped-call]
        except ImageMissing:
            return False
        return True

    def _is_unknown(self, entry: Mapping[str, Any]) -> bool:
        """Whether a box bears our id and is none of ours."""
        if entry["Labels"].get(confinement.OWNER_LABEL) != self.owner:
            return False
        return not any(name.lstrip("/") in self._names for name in entry.get("Names") or ())

    async def _is_left_behind(self, entry: Mapping[str, Any]) -> bool:
        if entry["Labels"].get(confinement.OWNER_LABEL) == self.owner and not self._is_unknown(entry):
            return False
        if _has_expired(entry["Labels"].get(confinement.EXPIRES_LABEL, "")):
            return True
        if entry["State"] == "running":
            return False
        return self._is_unknown(entry) or await self._has_been_dead(entry)

    async def _has_been_dead(self, entry: Mapping[str, Any]) -> bool:
        try:
            state = (await self.call(lambda client: client.inspect_container(entry["Id"])))["State"]
        except EngineFailed:
            return False
        since = entry["Created"] if state["Status"] == "created" else _unix_time(state["FinishedAt"])
        return bool(not state["Running"] and time.time() - since > DEAD_SECONDS)


def _describe(client: APIClient, policy: Policy) -> tuple[str, dict[str, Any]]:
    """Put all that a box is to be into the engine's words, but for its labels; gives the API's version with it."""
    settings = confinement.container_settings(policy, owner="", name="", expires=0)
    container = {name: value for name, value in settings["container"].items() if name not in ("name", "labels")}
    config = client.create_container_config(
        command=[], **container, host_config=client.create_host_config(**settings["host"])
    )
    return client.api_version, {name: value for name, value in config.items() if value is not None}


def _has_expired(label: str) -> bool:
    return not label.isdecimal() or int(label) < time.time()


def _unix_time(text: str) -> float:
    """Read the engine's time, RFC 3339 with nanoseconds."""
    return datetime.fromisoformat(text.partition(".")[0].rstrip("Z") + "+00:00").timestamp()
