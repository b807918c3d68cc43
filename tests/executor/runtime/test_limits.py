"""Limits, and what is observed from outside the user's process: API.md 4.1, in real boxes."""

import time
from typing import Any

import pytest

from executor.sandboxes.frames import encode
from tests.attacks.box import BASE, Box, Boxes, make_job, policy_of, run_in_box
from tests.pacing import PATIENCE, at_any_pace

pytestmark = pytest.mark.docker
MIB = 1024 * 1024


def begin(box: Box, code: str, **job: Any) -> str:
    """Give a box its job, and wait until the program has written something: that is given back."""
    box.send(b"J", make_job(BASE, code, **job))
    return next(payload for kind, payload in box._frames if kind == b"O").decode()


def test_the_frames_come_in_order(boxes: Boxes) -> None:
    told = boxes.run("print('x')", outputs=["*"], files=[{"path": "a", "content_base64": ""}])
    assert told.kinds.replace("OO", "O") == "BOFVZ"
    assert told.exit_code == 0


def test_usage_is_measured(boxes: Boxes) -> None:
    began = time.monotonic()
    usage = boxes.run("import time\nx = bytearray(50 * 1024 * 1024)\ntime.sleep(0.1)").verdict["usage"]
    assert 100 <= usage["wall_ms"] < (time.monotonic() - began) * 1000
    assert 0 < usage["cpu_ms"] < usage["wall_ms"]
    assert 50 <= usage["memory_peak_mb"] <= 256


def test_children_count_in_the_cpu_time(boxes: Boxes) -> None:
    code = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'for i in range(3_000_000): pass'])"
    assert boxes.run(code).verdict["usage"]["cpu_ms"] > 30


def test_a_timeout_keeps_what_was_written_and_names_the_limit(boxes: Boxes) -> None:
    def attempt(pace: float) -> None:
        seconds = 0.3 * pace
        told = boxes.run("print('a', end='')\nwhile True: pass", timeout_seconds=seconds, outputs=["*"])
        assert (told.status, told.stdout) == ("timeout", "a")
        assert told.error["type"] == "timeout"
        assert f"than {seconds:g} s" in told.error["message"]
        assert "timeout_seconds" in told.error["message"]
        assert 0 <= told.verdict["usage"]["wall_ms"] - seconds * 1000 < 1700

    at_any_pace(attempt)


@pytest.mark.parametrize("reason", ["timeout", "cancelled"])
def test_a_stop_ends_the_run_at_once(boxes: Boxes, reason: str) -> None:
    def attempt(pace: float) -> None:
        box = boxes.take()
        try:
            written = begin(box, "import time\nprint('on', end='')\ntime.sleep(60)", timeout_seconds=60)
            box.send(b"S", {"reason": reason})
            told = box.collect(pace)
        finally:
            box.remove()
        assert (told.status, written + told.stdout) == (reason, "on")
        assert told.error["type"] == reason

    at_any_pace(attempt)


def test_output_comes_as_it_is_written(boxes: Boxes) -> None:
    def attempt(pace: float) -> None:
        code = f"import time\nfor i in range(4):\n print(i, end='')\n time.sleep({0.2 * pace})"
        told = boxes.run(code, timeout_seconds=PATIENCE)
        at = [moment for (kind, _), moment in zip(told.frames, told.times, strict=True) if kind == b"O"]
        assert len(at) == 4
        assert 0.5 * pace < at[-1] - at[0] < 2 * pace

    at_any_pace(attempt)


def test_each_stream_is_cut_at_its_cap_and_the_rest_counted(boxes: Boxes) -> None:
    told = boxes.run(
        "import sys\nprint('o' * 5000, end='')\nsys.stderr.write('e' * 300)", limits={"stdout_bytes": 1000}
    )
    assert (told.status, told.stdout, told.stderr) == ("ok", "o" * 1000, "e" * 300)
    assert (told.verdict["truncated"]["stdout"], told.verdict["truncated"]["stderr"]) == (4000, 0)


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_past_the_output_limit_the_run_is_stopped(boxes: Boxes, stream: str) -> None:
    told = boxes.run(f"import sys\nwhile True: sys.{stream}.write('x' * 100_000)")
    assert told.status == told.error["type"] == "output_limit"
    kept = len(told.stdout) + len(told.stderr)
    assert kept == MIB
    assert kept + told.verdict["truncated"][stream] > 10 * MIB


def test_much_output_below_the_limit_is_ok(boxes: Boxes) -> None:
    told = boxes.run("import sys\nfor _ in range(1000): sys.stdout.write('x' * 8 * 1024)\nprint('end')")
    assert told.status == "ok"
    assert len(told.stdout) + told.verdict["truncated"]["stdout"] == 1000 * 8 * 1024 + 4


def test_memory_that_runs_out_is_out_of_memory() -> None:
    told = run_in_box("print('before')\nx = []\nwhile True: x.append(bytearray(1 << 20))", policy_of(memory_mb=48))
    assert (told.status, told.stdout) == ("out_of_memory", "before\n")
    assert told.verdict["oom_kills"] >= 1
    assert "48 MB" in told.error["message"]
    assert "memory_mb" in told.error["message"]


def test_an_uncaught_memory_error_is_out_of_memory(boxes: Boxes) -> None:
    told = boxes.run("x = 1\nbytearray(1 << 50)")
    assert (told.status, told.error["line"]) == ("out_of_memory", 2)
    assert "bytearray" in told.error["traceback"]


@pytest.mark.parametrize(
    "code",
    [
        "def grow(): return [0] * (10 * 1024**3)\ngrow()",
        "try: bytearray(1 << 50)\nexcept MemoryError: raise",
        "try: bytearray(1 << 50)\nexcept MemoryError as error: raise error",
        "def main(): bytearray(1 << 50)\nmain()",
        "b''.join([bytes(1 << 27)] * 1000)",
        "from multiprocessing import Pool\nwith Pool(1) as pool: pool.apply(bytearray, [1 << 50])",
    ],
)
def test_memory_that_is_refused_is_out_of_memory(boxes: Boxes, code: str) -> None:
    told = boxes.run(code)
    assert (told.status, told.error["type"]) == ("out_of_memory", "out_of_memory")


@pytest.mark.parametrize("code", ["raise MemoryError('mine')", "def f(): raise MemoryError\ntry: f()\nfinally: pass"])
def test_a_memory_error_that_the_code_raises_is_its_own(boxes: Boxes, code: str) -> None:
    told = boxes.run(code)
    assert (told.status, told.error["type"]) == ("error", "MemoryError")
    assert "memory_mb" in told.error["hint"]


def test_a_handled_memory_error_is_ok(boxes: Boxes) -> None:
    told = boxes.run("try:\n bytearray(1 << 50)\nexcept MemoryError:\n print('handled')")
    assert (told.status, told.stdout) == ("ok", "handled\n")


def test_a_child_that_runs_out_of_memory_is_not_the_verdict() -> None:
    code = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'x = b\"1\" * (1 << 30)']).returncode"
    told = run_in_box(code, policy_of(memory_mb=48))
    assert (told.status, told.result) == ("ok", -9)
    assert told.verdict["oom_kills"] == 1


def test_files_that_fill_the_memory_end_as_out_of_memory() -> None:
    code = "with open('big', 'wb') as f:\n for _ in range(63): f.write(b'1' * (1 << 20))"
    told = run_in_box(code, policy_of(memory_mb=32), outputs=["*"])
    assert told.status == "out_of_memory"


def test_a_full_working_directory_is_an_os_error(boxes: Boxes) -> None:
    code = "for n in 'ab':\n with open(n, 'wb') as f:\n  for _ in range(40): f.write(b'1' * (1 << 20))"
    told = boxes.run(code)
    assert (told.status, told.error["type"]) == ("error", "OSError")
    assert "hint" in told.error


def test_a_file_may_not_grow_past_its_limit() -> None:
    told = run_in_box("with open('big', 'wb') as f: f.write(b'1' * (3 << 20))", policy_of(file_mb=2))
    assert (told.status, told.error["type"]) == ("error", "OSError")
    assert "MAX_FILE_MB" in told.error["hint"]


def test_too_many_processes_is_process_limit(boxes: Boxes) -> None:
    told = boxes.run("import os, time\nfor _ in range(100):\n if os.fork() == 0: time.sleep(60)")
    assert (told.status, told.error["type"]) == ("process_limit", "process_limit")
    assert "64" in told.error["message"]


def test_too_many_threads_is_process_limit(boxes: Boxes) -> None:
    code = (
        "import threading, time\nfor _ in range(99): threading.Thread(target=time.sleep, args=(60,), daemon=1).start()"
    )
    assert boxes.run(code).status == "process_limit"


def test_a_handled_failed_fork_is_ok(boxes: Boxes) -> None:
    code = "import os, time\ntry:\n while True:\n  if os.fork() == 0: time.sleep(60)\nexcept OSError: print('full')"
    told = boxes.run(code)
    assert (told.status, told.stdout) == ("ok", "full\n")


def test_the_whole_process_limit_can_be_used(boxes: Boxes) -> None:
    code = "import os, time\nfor _ in range(63):\n if os.fork() == 0: time.sleep(60)\n'all'"
    assert boxes.run(code).result == "all"


def test_blocking_io_without_the_limit_is_an_error(boxes: Boxes) -> None:
    assert boxes.run("raise BlockingIOError(11, 'mine')").status == "error"


def test_open_files_are_limited(boxes: Boxes) -> None:
    told = boxes.run("files = [open('/dev/null') for _ in range(300)]")
    assert (told.status, told.error["type"]) == ("error", "OSError")
    assert "MAX_OPEN_FILES" in told.error["hint"]


def test_an_idle_box_ends_when_its_owner_goes() -> None:
    box = Box()
    try:
        box.hang_up()
        assert box.wait(PATIENCE) == 1
    finally:
        box.remove()


def test_a_running_box_ends_when_its_owner_goes() -> None:
    box = Box()
    try:
        begin(box, "import time\nprint('on')\ntime.sleep(60)", timeout_seconds=60)
        box.hang_up()
        assert box.wait(PATIENCE) == 1
    finally:
        box.remove()


@pytest.mark.parametrize("frame", [encode(b"X", b"{}"), b"J\xff\xff\xff\xff", encode(b"J", b"no json"), b"\0" * 64])
def test_a_box_that_is_told_nonsense_ends(frame: bytes) -> None:
    box = Box()
    try:
        box._socket.sendall(frame)
        assert box.wait(PATIENCE) == 1
    finally:
        box.remove()
