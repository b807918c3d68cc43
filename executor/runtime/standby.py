"""The child that waits, forked before the job is there: what forking costs is paid while nobody waits.

It has done everything that can be done without the job, even run a program of ours, so that the memory it will write
to is its own by then. The job comes through a pipe that is closed before the user's code is compiled.
"""

from __future__ import annotations

import gc
import json
import marshal
import os
import resource
import struct

from executor.runtime import counters, workdir
from executor.runtime.arguments import NO_INPUT
from executor.runtime.execution import caps_of, feed_of, limits_of, thread_counts
from executor.runtime.failures import describe
from executor.runtime.patterns import check_patterns
from executor.runtime.processes import CONTROL, RESULT, Mark, Pipes, confine, open_streams, start_child
from executor.runtime.session import Session, enter, own_modules, set_cpu_count
from executor.runtime.verdicts import Seen, Taken, judge
from executor.runtime.watch import Box, Watch, watch
from executor.runtime.wire import to_json

TYPE_CHECKING = False  # for types only: see `executor.runtime`
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, NoReturn

_READY_SECONDS = 30.0
_SPENT = struct.Struct("d")
SAMPLE_JOB: dict[str, Any] = {
    "code": "import sys\ndef main(number: int) -> list[str]:\n    print(end='')\n    return [str(number)]\nmain(1)\n",
    "input": 0,
    "stdin": "read",
    "files": [],
    "outputs": [],
    "timeout_seconds": 1.0,
    "memory_mb": 1,
    "cpus": 1.0,
    "limits": {"processes": 1, "output_bytes": 1, "result_bytes": 100, "repr_bytes": 100},
}


class Standby:
    """A child that is ready: its process, our ends of its pipes, and the CPU time that getting ready took it.

    `begun` is marked when the user's code can run.
    """

    def __init__(self, process: int, pipes: Pipes, job: int, spent: float, begun: Mark) -> None:
        self.process = process
        self.pipes = pipes
        self.job = job
        self.spent = spent
        self.begun = begun


def start_standby() -> Standby:
    """Fork the child and wait until it is ready."""
    cpus = counters.read_cpu_quota() or 1.0
    ours = own_modules()
    pipes, ends = open_streams()
    theirs, job = os.pipe2(os.O_CLOEXEC)
    begun = Mark()
    process = start_child(lambda: _wait(cpus, ours, begun), ends, theirs, begun)
    os.set_blocking(pipes.result, True)
    (spent,) = _SPENT.unpack(os.read(pipes.result, _SPENT.size))
    os.set_blocking(pipes.result, False)
    return Standby(process, pipes, job, spent, begun)


def dismiss(standby: Standby) -> None:
    """Let a child go that is not needed."""
    os.close(standby.job)
    standby.pipes.close()
    standby.begun.take()
    os.waitpid(standby.process, 0)


def run_once(box: Box, standby: Standby, job: Mapping[str, Any]) -> Seen:
    """Run the code in the child that waits, and give what was seen of it."""
    feed = feed_of(job, job.get("input", NO_INPUT))
    handed = {name: value for name, value in job.items() if name != "outputs"} | {"stdin": bool(job.get("stdin"))}
    data = marshal.dumps(handed)
    watched = Watch(box, standby.pipes, feed, caps_of(job))
    _write_all(standby.job, data)
    box.wire.send(b"B", {})
    box.take_ballast()
    seen = watch(watched, standby.process, job["timeout_seconds"])
    seen.begun = standby.begun.take()
    if seen.cpu_seconds is not None:
        seen.cpu_seconds = max(0.0, seen.cpu_seconds - standby.spent)
    return seen


def _write_all(descriptor: int, data: bytes) -> None:
    # The other end is still our own code, which reads to the end; should it have died, the watch will tell.
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    except BrokenPipeError:
        return
    finally:
        os.close(descriptor)


def _wait(cpus: float, ours: list[str], begun: Mark) -> NoReturn:
    enter(ours)
    _warm_up()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    os.write(RESULT, _SPENT.pack(usage.ru_utime + usage.ru_stime))
    with open(CONTROL, "rb") as pipe:
        data = pipe.read()
    if not data:
        os._exit(0)
    job = marshal.loads(data)
    confine(limits_of(job))
    if job["cpus"] != cpus:
        os.environ.update(thread_counts(job["cpus"]))
        set_cpu_count(job["cpus"])
    Session(job, begun).run()


def _warm_up() -> None:
    session = Session(marshal.loads(marshal.dumps(SAMPLE_JOB)))
    end, value = session.attempt(session.whole)
    session.encode(end, value)
    describe(ValueError(), session.code.lines)
    # What is ours by now is not looked at again, when the run's garbage is collected and its files are looked for.
    gc.collect()
    gc.freeze()


def rehearse() -> None:
    """Go through the supervisor's own part once, before the fork: what that needs is then in memory once."""
    job = json.loads(to_json(SAMPLE_JOB))
    check_patterns(job["outputs"])
    workdir.lay_in(job["files"])
    marshal.dumps(job)
    feed_of(job, job["input"])
    end = b'{"status":"ok","exit_code":0,"error":null,"result":1,"result_repr":"1","show_result":true}'
    counts = counters.read_counts()
    seen = Seen(0, None, end, memory_peak=counters.read_memory_peak(), oom_kills=counts.oom_kills)
    to_json(judge(seen, Taken(), job))
