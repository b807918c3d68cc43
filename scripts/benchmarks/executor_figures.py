"""Figures of the executor over HTTP, and of `docker run --rm` with the same limits in the same run."""

import http.client
import json
import math
import os
import re
import secrets
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from typing import Any

import jwt

from scripts.benchmarks.processes import family, free_port, pss_mb, running, wait_for_answer
from scripts.benchmarks.systems import ROOT
from scripts.benchmarks.terminal import CannotMeasure, say, step

Figures = dict[str, Any]
Work = Callable[[], float]
"""Runs code once, checks its answer, gives the milliseconds that it took."""

CODE, PRINTED = "print(1 + 1)", "2"
DATA_CODE, DATA_PRINTED = "import numpy, pandas\nprint(pandas.Series(numpy.arange(4)).sum())", "6"
BATCH_CODE = "def main(number):\n    return number + 1"
IMAGES = {"base": "sandgate-sandbox:base", "data": "sandgate-sandbox:data"}
MIB = 1024 * 1024 / 1e6  # in MB
READY_SECONDS = 90.0
NO_POOLS = {"base": 0, "data": 0}


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """How often and how long everything is measured; `slots` are the idle ones of each image."""

    warm: int = 100
    slow: int = 20
    sustained: float = 10
    settle: float = 2
    batch: int = 2000
    slots: tuple[tuple[str, int], ...] = (("base", 20), ("data", 6))
    idle_turns: int = 3
    idle: float = 2.5
    concurrency: tuple[int, ...] = (4, 8)


FULL = Plan()
QUICK = Plan(
    warm=3, slow=1, sustained=1, settle=0.2, batch=20, slots=(("base", 4), ("data", 1)), idle_turns=1, idle=1,
    concurrency=(4,),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Service:
    """A running executor, or the gateway before it: where it is, and the header that lets us in."""

    port: int
    secret: str
    names: dict[str, str]
    bearer: str | None = None

    def execute(self, connection: http.client.HTTPConnection, body: Figures) -> Figures:
        """Post a run; gives its answer. `CannotMeasure` if it was not answered with 200."""
        bearer = self.bearer or _service_token(self.secret)
        headers = {"content-type": "application/json", "authorization": f"Bearer {bearer}"}
        connection.request("POST", "/execute", json.dumps(body), headers)
        response = connection.getresponse()
        answer: Figures = json.loads(response.read())
        if response.status != 200:
            raise CannotMeasure(f"a run was refused with {response.status}: {answer.get('message')}")
        return answer

    @contextmanager
    def connection(self) -> Iterator[http.client.HTTPConnection]:
        """A connection that is kept alive."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            yield connection
        finally:
            connection.close()

    def ready(self, image: str) -> int:
        """How many boxes of an image are ready."""
        with self.connection() as connection:
            connection.request("GET", "/metrics")
            told = connection.getresponse().read().decode()
        found = re.search(rf'^sandbox_pool_ready{{image="{self.names[image]}"}} ([0-9.]+)', told, re.MULTILINE)
        return int(float(found[1])) if found else 0


def measure(folder: Path, plan: Plan) -> Figures:
    """Measure everything, one after the other. `CannotMeasure` where there is no engine or no image."""
    _want_images()
    figures: Figures = {"docker": _docker("version", "--format", "{{.Server.Version}}")}
    figures["runtime"] = _docker("info", "--format", "{{.DefaultRuntime}}")
    say("docker run --rm with the same limits")
    figures["docker_run"] = _measure_docker_run(plan)
    say("the executor, pool of its default size")
    with _executor(folder / "warm", {"base": 4, "data": 1}) as service:
        figures["executor"] = _measure_warm(service, plan)
        figures["executor"] |= _measure_gateway(service, folder / "gateway", plan)
        figures["executor"] |= _measure_rates(service, plan)
    say("the executor, pools empty")
    with _executor(folder / "empty", NO_POOLS) as service, step("empty pool"):
        figures["executor"]["empty"] = _latencies(service, "base", CODE, PRINTED, plan.slow, wait_for=0)
    say("the executor, idle")
    figures["executor"]["idle"] = measure_idle(folder / "idle", plan)
    return figures


# ---------- docker run ----------


def _docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip() or "no reason given").splitlines()[-1]
        raise CannotMeasure(f"docker {arguments[0]} failed: {last}")
    return done.stdout.strip()


def _want_images() -> None:
    if which("docker") is None:
        raise CannotMeasure("there is no docker command: install Docker, or measure the gateway alone")
    _docker("info", "--format", "{{.ID}}")
    for image in IMAGES.values():
        try:
            _docker("image", "inspect", "--format", "{{.Id}}", image)
        except CannotMeasure:
            raise CannotMeasure(f"the image {image} is not there: scripts/up makes it") from None


def _docker_run(image: str, code: str, printed: str, label: str) -> Work:
    """A fresh container under the executor's default limits (executor/sandboxes/confinement.py)."""
    limits = (
        "--network none --read-only --cap-drop ALL --security-opt no-new-privileges --pids-limit 65 --memory 256m "
        "--memory-swap 256m --cpus 1 --ipc private --shm-size 16m --ulimit nofile=256 --ulimit fsize=67108864 "
        "--ulimit core=0 --tmpfs /work:rw,nosuid,nodev,size=64m --tmpfs /tmp:rw,nosuid,nodev,size=64m "
        "--user 65534:65534 --workdir /work --entrypoint python3"
    )
    seccomp = f"seccomp={ROOT / 'executor' / 'runtime' / 'seccomp.json'}"
    command = ["docker", "run", "--rm", *limits.split(), "--security-opt", seccomp, "--label", label]

    def run() -> float:
        began = time.monotonic()
        done = subprocess.run([*command, IMAGES[image], "-c", code], capture_output=True, text=True, check=False)
        if done.stdout.strip() != printed:
            raise CannotMeasure(f"docker run failed: {done.stderr.strip()[-300:]}")
        return (time.monotonic() - began) * 1000

    return run


def _measure_docker_run(plan: Plan) -> Figures:
    label = f"sandgate.bench={secrets.token_hex(6)}"
    base, data = (_docker_run(*what, label) for what in (("base", CODE, PRINTED), ("data", DATA_CODE, DATA_PRINTED)))
    figures: Figures = {}
    with _own_containers(label):
        with step("one after the other"):
            figures["base"] = _percentiles([base() for _ in range(plan.slow)])
            figures["data"] = _percentiles([data() for _ in range(plan.slow)])
        for count in plan.concurrency:
            with step(f"{count} at a time"):
                figures[f"per_second_{count}"] = _rate([base] * count, plan)
    return figures


@contextmanager
def _own_containers(label: str) -> Iterator[None]:
    """Whatever happens, no container with this label is left at the end."""
    try:
        yield
    finally:
        with suppress(CannotMeasure):
            left = _docker("ps", "-aq", "--filter", f"label={label}").split()
            if left:
                _docker("rm", "-f", *left)


# ---------- the executor ----------


@contextmanager
def _executor(folder: Path, pool: dict[str, int]) -> Iterator[Service]:
    """Run an executor with such pools; its images have names of their own, to find its boxes by."""
    mark, port, secret = f"bench{secrets.token_hex(4)}", free_port(), secrets.token_hex(32)
    names = {image: f"{mark}-{image}" for image in IMAGES}
    environment = {
        "PYTHONPATH": str(ROOT),
        "EXECUTOR_SECRET": secret,
        "SANDBOX_IMAGES": ",".join(f"{names[image]}={reference}" for image, reference in IMAGES.items()),
        "POOL_SIZE": ",".join(f"{names[image]}={size}" for image, size in pool.items()),
    }
    command = [sys.executable, "-m", "executor", "--port", str(port)]
    with ExitStack() as stack:
        for name in names.values():
            stack.enter_context(_own_containers(f"sandgate.image={name}"))
        with step("start"):
            process = stack.enter_context(running(command, folder=folder, environment=environment))
            wait_for_answer(process, port, "/health", folder=folder, within=READY_SECONDS)
            service = Service(port, secret, names)
            for image, size in pool.items():
                _wait_for_pool(service, image, size)
        yield service


def _service_token(secret: str) -> str:
    """A token that lets the gateway in at the executor (API.md 4), from this very minute."""
    return jwt.encode({"sub": "bench", "aud": "executor", "exp": int(time.time()) + 45}, secret, "HS256")


def _wait_for_pool(service: Service, image: str, size: int) -> None:
    until = time.monotonic() + READY_SECONDS
    while service.ready(image) < size:
        if time.monotonic() > until:
            raise CannotMeasure(f"the executor's pool of {image} does not fill")
        time.sleep(0.02)


def _latencies(
    service: Service, image: str, code: str, printed: str, count: int, *, wait_for: int, through: Service | None = None
) -> Figures:
    """Times of runs, each begun when `wait_for` boxes are ready: whole, and over the code's own time."""
    whole, added, warm = [], [], 0
    body = {"code": code, "image": service.names[image]}
    with (through or service).connection() as connection:
        for _ in range(count + 1):  # the first opens the connection and does not count
            _wait_for_pool(service, image, wait_for)
            time.sleep(0.03)
            began = time.monotonic()
            answer = (through or service).execute(connection, body)
            took = (time.monotonic() - began) * 1000
            if answer["status"] != "ok" or answer["stdout"].strip() != printed:
                raise CannotMeasure(f"a run came back as {answer['status']}: {answer.get('error')}")
            whole.append(took)
            added.append(took - (answer["usage"]["wall_ms"] or 0.0))
            warm += bool(answer["sandbox"]["warm"])
    return {**_percentiles(whole[1:]), "added": _percentiles(added[1:]), "warm": warm}


def _measure_warm(service: Service, plan: Plan) -> Figures:
    figures: Figures = {}
    with step("warm"):
        figures["warm"] = _latencies(service, "base", CODE, PRINTED, plan.warm, wait_for=4)
    with step("warm, data image"):
        figures["data"] = _latencies(service, "data", DATA_CODE, DATA_PRINTED, plan.slow, wait_for=1)
    return figures


def _measure_gateway(service: Service, folder: Path, plan: Plan) -> Figures:
    """The same through the gateway, JWT on."""
    port, key = free_port(), secrets.token_hex(32)
    environment = {
        "PYTHONPATH": str(ROOT),
        "EXECUTOR_URL": f"http://127.0.0.1:{service.port}",
        "EXECUTOR_SECRET": service.secret,
        "ENABLE_AUTH": "true",
        "JWT_SECRET": key,
    }
    command = [sys.executable, "-m", "gateway", "--port", str(port)]
    bearer = jwt.encode({"sub": "bench", "exp": int(time.time()) + 3600}, key, "HS256")
    with running(command, folder=folder, environment=environment) as process, step("warm, through the gateway"):
        wait_for_answer(process, port, "/health", folder=folder, within=20)
        through = Service(port, service.secret, service.names, bearer)
        return {"gateway": _latencies(service, "base", CODE, PRINTED, plan.warm, wait_for=4, through=through)}


def _measure_rates(service: Service, plan: Plan) -> Figures:
    figures: Figures = {}
    for count in plan.concurrency:
        with step(f"{count} at a time, each in a fresh container"), ExitStack() as stack:
            figures[f"per_second_{count}"] = _rate([_runs(service, stack) for _ in range(count)], plan)
    with step(f"a batch of {plan.batch:,} inputs"), service.connection() as connection:
        _wait_for_pool(service, "base", 4)
        time.sleep(plan.settle)  # what the load before has used up is made again meanwhile
        body = {"code": BATCH_CODE, "inputs": list(range(plan.batch)), "image": service.names["base"]}
        began = time.monotonic()
        answer = service.execute(connection, body)
        took = time.monotonic() - began
        if [result["result"] for result in answer["results"]] != list(range(1, plan.batch + 1)):
            raise CannotMeasure("the batch did not come back as it should")
        figures["batch_per_second"] = plan.batch / took
    return figures


def _runs(service: Service, stack: ExitStack) -> Work:
    connection = stack.enter_context(service.connection())
    body = {"code": CODE, "image": service.names["base"]}

    def run() -> float:
        began = time.monotonic()
        answer = service.execute(connection, body)
        if answer["status"] != "ok" or answer["stdout"].strip() != PRINTED:
            raise CannotMeasure(f"a run came back as {answer['status']}")
        return (time.monotonic() - began) * 1000

    return run


def _rate(workers: list[Work], plan: Plan) -> float:
    """Executions a second, all workers busy; what is done in the first `settle` seconds does not count."""
    begin = time.monotonic() + plan.settle
    end = begin + plan.sustained

    def work(run: Work) -> int:
        done = 0
        while time.monotonic() < end:
            run()
            done += begin <= time.monotonic() < end
        return done

    with ThreadPoolExecutor(len(workers)) as threads:
        return sum(threads.map(work, workers)) / plan.sustained


def measure_idle(folder: Path, plan: Plan) -> dict[str, Figures]:
    """Memory of an idle slot of each image, in MiB, measured in two ways; None where /proc does not tell.

    "fall" is what the kernel can give away less (MemAvailable) for each slot, beside an executor whose pools are empty:
    the median of as many turns as there are "falls". "pss" is what the slot's processes hold, of the last turn.
    """
    found: dict[str, Figures] = {image: {"slots": slots, "falls": []} for image, slots in plan.slots}
    for turn in range(plan.idle_turns):
        with _executor(folder / f"{turn}-none", NO_POOLS), step("memory with empty pools"):
            without = _settled_mib(plan.idle)
        for image, slots in plan.slots:
            with (
                _executor(folder / f"{turn}-{image}", {**NO_POOLS, image: slots}) as service,
                step(f"memory of {slots} idle slots, {image} image"),
            ):
                left = _settled_mib(plan.idle)
                if without is not None and left is not None:
                    found[image]["falls"].append((without - left) / slots)
                if turn == plan.idle_turns - 1:
                    found[image]["pss"] = _slot_pss(service, image)
    for figures in found.values():
        figures["fall"] = statistics.median(figures["falls"]) if figures["falls"] else None
    return found


def _settled_mib(seconds: float) -> float | None:
    """The median of five readings, after a while in which nothing is asked of the executor."""
    time.sleep(seconds)
    told = []
    for _ in range(5):
        time.sleep(0.2)
        told += [mib for mib in [available_mib()] if mib is not None]
    return statistics.median(told) if told else None


def available_mib(meminfo: Path = Path("/proc/meminfo")) -> float | None:
    """What the kernel says that programs could still get without swapping (MemAvailable, there in KiB)."""
    found = re.search(r"^MemAvailable:\s*(\d+) kB$", meminfo.read_text(), re.MULTILINE)
    return int(found[1]) / 1024 if found else None


def _slot_pss(service: Service, image: str) -> Figures | None:
    """By parts: PSS of the box's processes and of its shim; "own" is the anonymous memory, which no slot shares."""
    boxes = _docker("ps", "-q", "--filter", f"label=sandgate.image={service.names[image]}").split()
    pids = [int(pid) for pid in _docker("inspect", "--format", "{{.State.Pid}}", *boxes).split()]
    try:
        parts = [_slot_parts(pid) for pid in pids]
    except OSError:
        return None
    return {name: statistics.mean(part[name] for part in parts) for name in parts[0]}


def _slot_parts(pid: int) -> Figures:
    """In MiB. A box whose parent is not its shim but an ancestor of ours has none that could be counted."""
    shim = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    counted = [] if os.getpid() in family(shim) else [shim]
    box = pss_mb(pid) / MIB
    return {
        "box": box,
        "shim": pss_mb(shim) / MIB - box if counted else 0.0,
        "own": sum(_anonymous_kib(member) for member in [*family(pid), *counted]) / 1024,
    }


def _anonymous_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss_Anon:"))


def _percentiles(values: list[float]) -> Figures:
    ordered = sorted(values)

    def rank(share: float) -> float:
        return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]

    return {"count": len(ordered), "p50": statistics.median(ordered), "p95": rank(0.95), "max": ordered[-1]}
