"""One program, many inputs: API.md 4.1 `inputs`, in real boxes."""

import random
from typing import Any

import pytest

from tests.attacks.box import BASE, Boxes, Told, make_job
from tests.pacing import PATIENCE, at_any_pace

pytestmark = pytest.mark.docker


def statuses(told: Told) -> list[str]:
    assert [verdict["index"] for verdict in told.verdicts] == list(range(len(told.verdicts)))
    return [verdict["status"] for verdict in told.verdicts]


def results(told: Told) -> list[Any]:
    return [verdict["result"] for verdict in told.verdicts]


def written(told: Told, kind: bytes = b"O") -> list[str]:
    """What each input wrote: what lies between its B and its V."""
    texts: list[str] = []
    open_text: bytes | None = None
    for found, payload in told.frames:
        if found == b"B":
            open_text = b""
        elif found == kind and open_text is not None:
            open_text += payload
        elif found == b"V" and open_text is not None:
            texts.append(open_text.decode())
            open_text = None
    return texts


def test_each_input_has_its_own_answer_in_order(boxes: Boxes) -> None:
    told = boxes.run("def f(a, b=1):\n print('in', a)\n return a * b", inputs=[{"a": 2, "b": 3}, [4], 5, "x", {"c": 1}])
    assert statuses(told) == ["ok"] * 4 + ["bad_input"]
    assert results(told) == [6, 4, 5, "x", None]
    assert written(told) == ["in 2\n", "in 4\n", "in 5\n", "in x\n", ""]


def test_the_program_is_loaded_once_and_each_input_starts_fresh(boxes: Boxes) -> None:
    code = """
import os, time
loaded = time.monotonic_ns()
print("loading")
seen = []
def f(a):
    seen.append(a)
    return [loaded, seen, os.getpid()]
"""
    told = boxes.run(code, inputs=[1, 2, 3])
    assert statuses(told) == ["ok"] * 3
    found = results(told)
    assert len({loaded for loaded, _, _ in found}) == 1
    assert [seen for _, seen, _ in found] == [[1], [2], [3]]
    assert len({pid for _, _, pid in found}) == 3
    assert written(told) == ["loading\n"] * 3


def test_one_failing_input_does_not_touch_the_others(boxes: Boxes) -> None:
    def attempt(pace: float) -> None:
        code = f"""
import contextlib, os, signal, subprocess, sys, time
def f(what):
    print("out", what)
    if what == "raise": 1 / 0
    if what == "exit": sys.exit(4)
    if what == "leave": os._exit(0)
    if what == "die": os.kill(os.getpid(), 9)
    if what == "all": os.kill(-1, 9)
    if what == "hang":
        while True: pass
    if what == "parent":
        for name in os.listdir("/proc"):
            if name.isdecimal() and name != "1" and int(name) != os.getpid():
                with contextlib.suppress(ProcessLookupError): os.kill(int(name), 9)
        os._exit(1)
    if what == "daemon":
        subprocess.Popen(["sh", "-c", "sleep {0.2 * pace}; echo late > late"], start_new_session=True)
    if what == "check": time.sleep({0.3 * pace})
    return os.path.exists("late")
"""
        asked = ["ok", "raise", "exit", "leave", "die", "hang", "all", "parent", "daemon", "check", "ok"]
        told = boxes.run(code, inputs=asked, timeout_seconds=0.8 * pace)
        assert statuses(told) == [
            "ok", "error", "exit", "exit", "signal", "timeout", "ok", "exit", "ok", "ok", "ok",
        ]  # fmt: skip
        assert written(told) == [f"out {what}\n" for what in asked]
        assert results(told)[-2:] == [False, False]

    at_any_pace(attempt)


@pytest.mark.parametrize(
    ("code", "status"),
    [("def f(:", "syntax_error"), ("1/0\ndef f(a): pass", "error"), ("import os\nos._exit(0)\ndef f(a): pass", "exit"),
     ("def f(a): pass\nwhile True: pass", "timeout"), ("import sys\ndef f(a): pass\nsys.exit()", "ok")],
)  # fmt: skip
def test_a_program_that_does_not_load_is_the_same_for_each_input(boxes: Boxes, code: str, status: str) -> None:
    def attempt(pace: float) -> None:
        told = boxes.run("print('first')\n" + code, inputs=[1, 2, 3], timeout_seconds=0.5 * pace)
        assert statuses(told) == [status] * 3
        assert written(told) == ([""] if status == "syntax_error" else ["first\n"]) * 3

    at_any_pace(attempt)


def test_a_script_reads_each_input_on_stdin(boxes: Boxes) -> None:
    told = boxes.run("import json, sys\njson.load(sys.stdin)['n'] + 1", inputs=[{"n": 1}, {"n": 2}])
    assert results(told) == [2, 3]


def test_given_stdin_is_there_for_each_input(boxes: Boxes) -> None:
    told = boxes.run("import sys\ndef f(a): return [a, sys.stdin.read()]", inputs=[1, 2], stdin="typed")
    assert results(told) == [[1, "typed"], [2, "typed"]]


def test_files_come_before_the_last_verdict(boxes: Boxes) -> None:
    told = boxes.run("def f(a): open(f'{a}.txt', 'w').write('x')", inputs=[1, 2], outputs=["*.txt"])
    assert [file["path"] for file in told.files] == ["1.txt", "2.txt"]
    assert told.kinds.endswith("FFVZ")


def test_a_stop_ends_the_rest_of_the_batch(boxes: Boxes) -> None:
    box = boxes.take()
    try:
        box.send(b"J", make_job(BASE, "import time\ndef f(a): time.sleep(a)", inputs=[0, 60, 0]))
        box.send(b"S", {"reason": "cancelled"})
        told = box.collect(PATIENCE)
    finally:
        box.remove()
    assert statuses(told)[1:] == ["cancelled", "cancelled"]


@pytest.mark.parametrize("loading", ["", "random.random()", "random.seed()", "random.seed(7); random.seed(None)"])
def test_inputs_draw_different_random_numbers(boxes: Boxes, loading: str) -> None:
    one, two = results(boxes.run(f"import random\n{loading}\ndef f(a): return random.random()", inputs=[1, 2]))
    assert one != two


@pytest.mark.parametrize(
    "loading",
    [
        "random.seed(7)",
        "from random import seed; seed(7)",
        "random.seed(a=7)",
        "random.setstate(random.Random(7).getstate())",
        "random.seed(8); random.random(); random.seed(7)",
    ],
)
def test_a_chosen_seed_holds_for_each_input(boxes: Boxes, loading: str) -> None:
    code = f"import random\n{loading}\ndef f(a): return random.random()"
    assert results(boxes.run(code, inputs=[1, 2])) == [random.Random(7).random()] * 2


def test_an_empty_batch_ends(boxes: Boxes) -> None:
    told = boxes.run("def f(a): pass", inputs=[])
    assert (told.kinds, told.exit_code) == ("Z", 0)


def test_limits_hold_for_each_input(boxes: Boxes) -> None:
    code = """
import os, time
def f(what):
    if what == "fork":
        for _ in range(100):
            if os.fork() == 0: time.sleep(60)
    if what == "write":
        while True: os.write(1, b"x" * 65536)
    return what
"""
    told = boxes.run(code, inputs=["fork", "fine", "write", "fine"])
    assert statuses(told) == ["process_limit", "ok", "output_limit", "ok"]


ABOUT_PROCESSES = """
import ctypes, os, threading, time
def status(process, name):
    with open(f"/proc/{process}/status") as file:
        return next(line.split()[1] for line in file if line.startswith(name))
def f(a):
    while status("self", "PPid") != "1":
        time.sleep(0.01)
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return "none"
"""


@pytest.mark.parametrize("more", ["", "threading.Thread(target=time.sleep, args=(600,), daemon=True).start()"])
def test_a_copy_is_a_child_of_the_supervisor_and_has_none_itself(boxes: Boxes, more: str) -> None:
    told = boxes.run(ABOUT_PROCESSES + more, inputs=[1, 2, 3], entrypoint="f")
    assert results(told) == ["none"] * 3


def test_hooks_at_a_fork_are_called_for_each_copy(boxes: Boxes) -> None:
    code = """
import os
seen = []
os.register_at_fork(before=lambda: seen.append("before"), after_in_child=lambda: seen.append("copy"))
def f(a): return seen
"""
    one, two = results(boxes.run(code, inputs=[1, 2]))
    assert one[-2:] == ["before", "copy"]
    assert two[-2:] == ["before", "copy"]
    assert two.count("copy") == 1


def test_threads_and_locks_work_in_a_copy(boxes: Boxes) -> None:
    code = """
import threading, subprocess
from concurrent.futures import ThreadPoolExecutor
lock = threading.RLock()
def f(a):
    with lock, ThreadPoolExecutor(3) as pool:
        numbers = list(pool.map(lambda n: n * a, range(4)))
    return [numbers, subprocess.run(["echo", "x"], capture_output=True).stdout.decode()]
"""
    assert results(boxes.run(code, inputs=[1, 2])) == [[[0, 1, 2, 3], "x\n"], [[0, 2, 4, 6], "x\n"]]


def test_children_that_a_loaded_program_never_asks_about_do_not_hold_up_its_inputs(boxes: Boxes) -> None:
    def attempt(pace: float) -> None:
        told = boxes.run("import os\nif not os.fork(): os._exit(0)\ndef f(a): return a", inputs=[1, 2, 3])
        assert results(told) == [1, 2, 3]
        assert told.times[-1] < pace

    at_any_pace(attempt)


def test_a_process_whose_first_thread_has_ended_does_not_live_on_into_the_next_input(boxes: Boxes) -> None:
    code = f"""{ABOUT_PROCESSES}
def beat():
    while True:
        with open("beats", "a") as beats: beats.write("x")
        time.sleep(0.01)
def count():
    return os.path.getsize("beats")
def f(what):
    if what == "hide":
        if not os.fork():
            threading.Thread(target=beat).start()
            ctypes.CDLL(None).syscall({{"x86_64": 60, "aarch64": 93}}[os.uname().machine], 0)
        while not (
            os.path.exists("beats")
            and any(status(name, "State") == "Z" for name in os.listdir("/proc") if name.isdecimal())
        ):
            time.sleep(0.01)
        return True
    before = count()
    time.sleep(0.3)
    return count() - before
"""
    hidden, more = results(boxes.run(code, inputs=["hide", "look"], entrypoint="f"))
    assert hidden
    assert more == 0
