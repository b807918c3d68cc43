"""The life of a box: get ready, take one job, run it, tell what came of it, end.

Process 1 of the container. It never runs a line of the user's, and cannot be looked into by it: it is not dumpable,
its streams are its own, and the kernel lets no signal from inside the box reach a process 1 that does not ask for it.
"""

from __future__ import annotations

import gc
import json
import os
import select
import sys
import time

from executor.runtime import counters, signals, workdir
from executor.runtime.execution import FLUSH_SECONDS, conclude, environment_of, refuse, thread_counts
from executor.runtime.patterns import BadPattern, check_patterns
from executor.runtime.processes import kill_all, set_dumpable, set_environment, trim_memory
from executor.runtime.session import prepare
from executor.runtime.standby import Standby, dismiss, rehearse, run_once, start_standby
from executor.runtime.watch import Box
from executor.runtime.wire import Closed, Wire

TYPE_CHECKING = False  # for types only: see `executor.runtime`
if TYPE_CHECKING:
    from typing import Any, NoReturn

# A box that nobody wants ends by itself, should the engine fail to tell that its owner has gone.
IDLE_SECONDS = 24 * 3600.0


def main() -> NoReturn:
    """Live the life of a box. Never returns."""
    set_dumpable(False)
    # Python's own handler would let the user's code interrupt process 1.
    signals.signal(signals.SIGINT, signals.SIG_DFL)
    wire = Wire()
    os.set_blocking(wire.outgoing, False)
    get_ready()
    box = Box(wire)
    rehearse()
    standby = start_standby()
    try:
        wire.send(b"R", {"python": ".".join(map(str, sys.version_info[:3]))})
        job, more = wait_for_job(wire)
        box.hear(more)
        run_job(box, standby, job)
        wire.send(b"Z", {})
        wire.flush(time.monotonic() + FLUSH_SECONDS)
    except Closed:
        kill_all()
        os._exit(1)
    os._exit(0)


def get_ready() -> None:
    """Import beforehand what the image's programs use, and make what is in memory cheap to fork."""
    cpus = counters.read_cpu_quota() or 1.0
    os.environ.update(thread_counts(cpus))
    skeleton = os.environ.get("SANDBOX_SKELETON")
    if skeleton:
        copy_tree(skeleton, "/tmp")
    wanted = [name for name in os.environ.get("SANDBOX_PREIMPORT", "").split(",") if name]
    for name in wanted:
        __import__(name)
    if wanted:
        import warnings

        # A figure that is shown is displayed at the end: nothing is amiss.
        warnings.filterwarnings("ignore", message="FigureCanvasAgg is non-interactive")
    set_environment(environment_of(cpus))
    prepare(cpus)
    gc.freeze()
    trim_memory()


def copy_tree(source: str, target: str) -> None:
    """Copy the image's prepared caches to where they can be written."""
    for folder, _, names in os.walk(source):
        into = os.path.join(target, os.path.relpath(folder, source))
        os.makedirs(into, exist_ok=True)
        for name in names:
            with open(os.path.join(folder, name), "rb") as original, open(os.path.join(into, name), "wb") as copy:
                copy.write(original.read())


def wait_for_job(wire: Wire) -> tuple[dict[str, Any], list[tuple[bytes, bytes]]]:
    """Wait for the one job; gives it, and the frames that came with it.

    `Closed` if the executor goes first, says something else, or wants nothing for too long.
    """
    poll = select.poll()
    poll.register(wire.incoming, select.POLLIN)
    deadline = time.monotonic() + IDLE_SECONDS
    while True:
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise Closed("nobody wanted this box")
        frames = wire.receive()
        if frames:
            kind, payload = frames[0]
            if kind != b"J":
                raise Closed("a job was expected")
            return json.loads(payload), frames[1:]


def run_job(box: Box, standby: Standby, job: dict[str, Any]) -> None:
    """Lay the files in, run the code once or for each input, and tell what came of it."""
    try:
        check_patterns(job.get("outputs") or [])
        workdir.lay_in(job.pop("files", None) or [])
    except (BadPattern, workdir.BadFile) as error:
        refuse(box, job, str(error))
        return
    if "inputs" in job:
        from executor.runtime.batch import run_batch

        dismiss(standby)
        run_batch(box, job)
    else:
        conclude(box, job, run_once(box, standby, job))
