"""What a program may do, and what it gives: API.md 4.1, in real boxes."""

import base64
import importlib
from typing import Any

import pytest

from tests.attacks.box import Boxes
from tests.pacing import at_any_pace

pytestmark = pytest.mark.docker


@pytest.mark.parametrize(
    ("code", "result", "text"),
    [
        ("1 + 2", 3, "3"),
        ("x = 1\nx + 1  # two", 2, "2"),
        ("(1,\n 2)", [1, 2], "(1, 2)"),
        ("'é' * 2", "éé", "'éé'"),
        ("float('nan')", None, "nan"),
        ("[1.5, float('inf'), {'a': -float('inf')}]", [1.5, None, {"a": None}], "[1.5, inf, {'a': -inf}]"),
        ("{1, }", None, "{1}"),
        ("{1: 'a', None: 2}", {"1": "a", "null": 2}, "{1: 'a', None: 2}"),
        ("True", True, "True"),
        ("'\\ud800'", "�", "'\\ud800'"),
        ("x = []; x.append(x); x", None, "[[...]]"),
        ("import asyncio\nawait asyncio.sleep(0, 'slept')", "slept", "'slept'"),
        ("'\\N{GRINNING FACE}'", "😀", "'😀'"),
        ("\ufeff2", 2, "2"),
        ("a = 1\r\na\r\n", 1, "1"),
        ("10**30", 10**30, str(10**30)),
    ],
)
def test_the_last_bare_expression_is_the_result(boxes: Boxes, code: str, result: Any, text: str) -> None:
    told = boxes.run(code)
    assert (told.status, told.error) == ("ok", None)
    assert told.result == result
    assert told.verdict["result_repr"] == text
    assert told.verdict["show_result"] is True


@pytest.mark.parametrize(
    "code", ["1 + 2;", "1;  # quiet", "(\n1\n) ; \n\n# end", "x = 1", "None", "print('1')", "for i in []: i"]
)
def test_nothing_to_show_is_no_result(boxes: Boxes, code: str) -> None:
    told = boxes.run(code)
    assert told.status == "ok"
    assert (told.result, told.verdict["result_repr"], told.verdict["show_result"]) == (None, None, False)


WRAPPED = """
import functools
def wrap(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        if function.__code__.co_argcount == 0: return "refused"
        if "plain" in function.__code__.co_varnames: return function(*args, **kwargs)
        return function(*args, given="given", **kwargs)
    return wrapper
@wrap
"""


@pytest.mark.parametrize(
    ("code", "job", "result"),
    [
        ("def f(a, b=2): return [a, b]", {"input": {"a": 1}}, [1, 2]),
        ("def f(a, /, b, *, c): return [a, b, c]", {"input": {"c": 3, "b": 2, "a": 1}}, [1, 2, 3]),
        ("def f(a=1, b=2, /): return [a, b]", {"input": {"b": 5}}, [1, 5]),
        ("def f(a, **rest): return [a, rest]", {"input": {"a": 1, "x": 2}}, [1, {"x": 2}]),
        ("def f(items): return len(items)", {"input": [1, 2, 3]}, 3),
        ("def f(items, *, k=1): return [items, k]", {"input": [1, 2]}, [[1, 2], 1]),
        ("def f(*items): return len(items)", {"input": [1, 2, 3]}, 3),
        ("def f(a, b): return a - b", {"input": [5, 3]}, 2),
        ("def f(a): return a", {"input": None}, None),
        ("def f(a): return a * 2", {"input": "x"}, "xx"),
        ("def f(): return 'no arguments'", {"input": {}}, "no arguments"),
        ("def f(): return 'f'\ndef main(): return 'main'", {"input": []}, "main"),
        ("def f(): return 'f'\ndef g(): return 'g'", {"entrypoint": "g"}, "g"),
        ("def f(): return 'f'\nmain = lambda x: x + 1", {"input": 1}, 2),
        ("async def f(a):\n import asyncio\n await asyncio.sleep(0)\n return a", {"input": 4}, 4),
        ("@tool\ndef f(a): return a", {"input": 4}, 4),
        ("@tool('name', strict=True)\ndef f(a): return a", {"input": 4}, 4),
        ("@tool()\nasync def f(a): return a", {"input": 4}, 4),
        ("class Schema: pass\n@tool(Schema)\ndef f(a): return a", {"input": 4}, 4),
        ("@tool(str)\ndef f(a): return a", {"input": 4}, 4),
        ("@tool\nclass F:\n def __new__(cls, a): return a\nmain = tool(lambda a: F(a))", {"input": 4}, 4),
        ("import functools\n@tool\n@functools.cache\ndef f(a): return a", {"input": 4}, 4),
        ("@\uff54ool\ndef f(a): return a", {"input": 4}, 4),
        ("if True:\n def f(a): return -a", {"input": 4}, -4),
        ("def f(a): return __name__", {"input": 4}, "__main__"),
        ("import functools\n@functools.cache\ndef f(a, b): return a + b", {"input": {"a": 1, "b": 2}}, 3),
        ("class F:\n def __call__(self, x): return x\nmain = F()", {"input": 3}, 3),
        (WRAPPED + "def f(a, given): return [a, given]", {"entrypoint": "f", "input": {"a": 1}}, [1, "given"]),
        (WRAPPED + "def f(a, given): return [a, given]", {"entrypoint": "f", "input": [1]}, [1, "given"]),
        (WRAPPED + "def f(): return 1", {"entrypoint": "f", "input": 5}, "refused"),
        ("main: object = lambda x: x", {"input": 3}, 3),
        ("class main:\n def __new__(cls, x): return x", {"input": 3}, 3),
        ("if True:\n main = lambda x: x", {"input": 3}, 3),
        ("if False:\n def f(a): return 'f'\ndef g(a): return 'g'", {"input": 3}, "g"),
        ("def f(a): return 'f'\ndef g(a): return 'g'\ndel f", {"input": 3}, "g"),
        ("try:\n from nowhere import f\nexcept ImportError:\n def f(a): return a", {"input": 3}, 3),
        ("for _ in 'x':\n def f(a): return a", {"input": 3}, 3),
    ],
)
def test_input_is_matched_to_the_entry_function(boxes: Boxes, code: str, job: dict[str, Any], result: Any) -> None:
    told = boxes.run(code, **job)
    assert (told.status, told.error) == ("ok", None)
    assert told.result == result


@pytest.mark.parametrize(
    ("code", "job", "complaint"),
    [
        ("def f(a): pass", {"input": {"a": 1, "zz": 2}}, "'zz'"),
        ("def f(a, b): pass", {"input": {"a": 1}}, "'b'"),
        ("def f(a, b): pass", {"input": [1]}, "'b'"),
        ("def f(a, b): pass", {"input": [1, 2, 3]}, "too many"),
        ("def f(): pass", {"input": 1}, "f()"),
        ("def f(a): pass", {"entrypoint": "f"}, "'a'"),
        ("def f(a): pass", {"entrypoint": "g", "input": 1}, "'g'"),
        (WRAPPED + "def f(a, plain): pass", {"entrypoint": "f", "input": {"a": 1}}, "f(a, plain): missing 'plain'"),
        ("g = 1", {"entrypoint": "g"}, "not a function"),
        ("x = 1", {"entrypoint": "nope"}, "'nope'"),
    ],
)
def test_input_that_does_not_fit_is_bad_input(boxes: Boxes, code: str, job: dict[str, Any], complaint: str) -> None:
    told = boxes.run(code, **job)
    assert told.status == "bad_input"
    assert told.error["type"] == "bad_input"
    assert complaint in told.error["message"]


@pytest.mark.parametrize(
    "code",
    [
        "def f(a): return a + 'x'",
        WRAPPED + "def f(a, given): return a + 'x'",
        WRAPPED + "def f(plain): return plain + 'x'",
    ],
)
def test_a_type_error_inside_the_function_is_its_own(boxes: Boxes, code: str) -> None:
    told = boxes.run(code, input=1, entrypoint="f")
    assert (told.status, told.error["type"]) == ("error", "TypeError")


def test_without_a_function_the_input_is_json_on_stdin(boxes: Boxes) -> None:
    told = boxes.run("import json, sys\njson.load(sys.stdin)['é']", input={"é": [1]})
    assert told.result == [1]


def test_a_main_that_comes_with_all_names_of_a_module_is_called(boxes: Boxes) -> None:
    file = {"path": "lib.py", "content_base64": "ZGVmIG1haW4oYSk6IHJldHVybiBbYSwgaW5wdXQoKV0="}
    code = "from lib import *"
    assert boxes.run(code, files=[file], input=3, stdin="typed").result == [3, "typed"]
    told = boxes.run(code, files=[file], inputs=[1, 2], stdin="typed")
    assert [verdict["result"] for verdict in told.verdicts] == [[1, "typed"], [2, "typed"]]
    assert boxes.run(code, files=[file]).result is None


def test_without_a_main_all_names_of_a_module_make_a_script(boxes: Boxes) -> None:
    assert boxes.run("from json import *\nimport sys\nload(sys.stdin)", input={"a": 3}).result == {"a": 3}


def test_given_stdin_wins_over_the_input(boxes: Boxes) -> None:
    assert boxes.run("input()", input={"a": 1}, stdin="typed\nmore").result == "typed"


def test_a_function_can_read_stdin_beside_its_input(boxes: Boxes) -> None:
    assert boxes.run("def f(a): return [a, input()]", input=1, stdin="typed").result == [1, "typed"]


def test_the_input_of_a_function_is_not_on_stdin(boxes: Boxes) -> None:
    assert boxes.run("import sys\ndef f(a): return sys.stdin.read()", input=1).result == ""


def test_missing_stdin_is_an_eof_error_with_a_hint(boxes: Boxes) -> None:
    told = boxes.run("input('name? ')")
    assert (told.status, told.error["type"], told.stdout) == ("error", "EOFError", "name? ")
    assert "stdin" in told.error["hint"]


def test_stdin_that_is_never_read_holds_nothing_up(boxes: Boxes) -> None:
    assert boxes.run("1", stdin="x" * 3_000_000).status == "ok"


def test_large_stdin_arrives_whole(boxes: Boxes) -> None:
    assert boxes.run("import sys\nlen(sys.stdin.read())", stdin="é" * 2_000_000).result == 2_000_000


def test_an_error_shows_the_users_code_only(boxes: Boxes) -> None:
    told = boxes.run("import json\ndef f(a):\n    return json.loads(a)\nf('{')\n")
    assert told.status == "error"
    assert (told.error["type"], told.error["line"]) == ("JSONDecodeError", 3)
    traceback = told.error["traceback"]
    assert "  File \"<code>\", line 4, in <module>\n    f('{')" in traceback
    assert 'File "<code>", line 3, in f\n    return json.loads(a)' in traceback
    assert traceback.count("File ") == 2
    assert "sandgate" not in traceback
    assert told.stderr == ""


def test_the_cause_of_an_error_is_shown(boxes: Boxes) -> None:
    told = boxes.run("try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise ValueError('second') from e")
    assert told.error["line"] == 4
    assert "direct cause" in told.error["traceback"]
    assert "ZeroDivisionError" in told.error["traceback"]


def test_wrong_syntax_is_a_syntax_error_with_its_line(boxes: Boxes) -> None:
    told = boxes.run("x = 1\nprint('never')\ny = = 2")
    assert (told.status, told.error["type"], told.error["line"]) == ("syntax_error", "SyntaxError", 3)
    assert told.stdout == ""
    assert 'File "<code>", line 3' in told.error["traceback"]


def test_wrong_syntax_is_shown_wherever_the_compiler_finds_it(boxes: Boxes) -> None:
    told = boxes.run("x = 1\n  \nreturn x")
    assert told.error["line"] == 3
    assert "\n    return x\n    ^^^^^^^^\nSyntaxError: 'return' outside function" in told.error["traceback"]


@pytest.mark.parametrize("code", ["def f(:", "return 1", "'a\0b'", "(" * 500, "x\n  y", "'\ud800'"])
def test_what_cannot_be_compiled_is_a_syntax_error(boxes: Boxes, code: str) -> None:
    assert boxes.run(code).status == "syntax_error"


@pytest.mark.parametrize("code", ["eval('1 +')", "compile('x =', 'a', 'exec')", "raise SyntaxError('mine')"])
def test_a_syntax_error_while_running_is_an_error(boxes: Boxes, code: str) -> None:
    told = boxes.run(code)
    assert (told.status, told.error["type"]) == ("error", "SyntaxError")


@pytest.mark.parametrize(
    ("code", "status", "exit_code", "stderr"),
    [
        ("import sys; sys.exit()", "ok", None, ""),
        ("import sys; sys.exit(0)", "ok", None, ""),
        ("exit()", "ok", None, ""),
        ("import sys; sys.exit(3)", "exit", 3, ""),
        ("import sys; sys.exit(-1)", "exit", 255, ""),
        ("import sys; sys.exit('bye')", "exit", 1, "bye\n"),
        ("raise SystemExit(True)", "exit", 1, ""),
        ("import os; os._exit(0)", "exit", 0, ""),
        ("import os; os._exit(7)", "exit", 7, ""),
        ("import os; os.execl('/bin/sh', 'sh', '-c', 'echo out; exit 4')", "exit", 4, ""),
    ],
)
def test_leaving_early(boxes: Boxes, code: str, status: str, exit_code: int | None, stderr: str) -> None:
    told = boxes.run(code)
    assert (told.status, told.stderr) == (status, stderr)
    assert told.verdict["exit_code"] == exit_code
    if status == "exit":
        assert (told.error["type"], told.error["exit_code"]) == ("SystemExit", exit_code)


@pytest.mark.parametrize("name", ["SIGKILL", "SIGSEGV", "SIGABRT", "SIGTERM"])
def test_dying_of_a_signal_names_it(boxes: Boxes, name: str) -> None:
    told = boxes.run(f"import os, signal\nprint('before')\nos.kill(os.getpid(), signal.{name})")
    assert (told.status, told.verdict["signal"], told.error["type"], told.error["signal"]) == ("signal", *[name] * 3)
    assert told.stdout == "before\n"


def test_a_missing_module_has_a_hint_and_its_name(boxes: Boxes) -> None:
    told = boxes.run("import numpy.linalg")
    assert (told.error["type"], told.error["module"]) == ("ModuleNotFoundError", "numpy")
    assert "numpy" in told.error["hint"]


def test_what_most_programs_need_is_there_before_the_job_and_what_few_need_is_not(boxes: Boxes) -> None:
    code = "import sys\n[name for name in {names} if name in sys.modules]"
    needed = ["json", "linecache", "re", "textwrap", "traceback"]
    assert boxes.run(code.format(names=needed)).result == needed
    costly = ["ast", "asyncio", "ctypes", "inspect", "signal", "socket", "threading", "typing"]
    assert boxes.run(code.format(names=costly)).result == []


def test_exit_handlers_threads_and_finalisers_run(boxes: Boxes) -> None:
    code = """
import atexit, threading, time
class Last:
    def __del__(self): print("deleted")
last = Last()
atexit.register(print, "at exit")
ended = threading.Event()
threading.Thread(target=lambda: (ended.wait(), time.sleep(0.1), print("thread"))).start()
left_open = open("left.txt", "w"); left_open.write("flushed");
print("end")
ended.set()
"""
    told = boxes.run(code, outputs=["*.txt"])
    assert told.status == "ok"
    assert told.stdout == "end\nthread\nat exit\ndeleted\n"
    assert told.files[0]["size"] == 7


HELD = {
    "a module": "import math; math.held = held",
    "a class": "class Holder: pass\nHolder.held = held",
    "a ring": "ring = [held]; ring.append(ring); del ring",
    "stdout": """
import sys
class Tee:
    def __init__(self, *streams): self.streams = streams
    def write(self, text): return [stream.write(text) for stream in self.streams][-1]
    def flush(self): pass
sys.stdout = Tee(sys.stdout, held)
""",
    "a function that fails": "def hold(held): 1 / 0\nimport sys\ntry: hold(held)\nexcept Exception as e: sys.kept = e",
    "a daemon": "import threading, time; threading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
}
ENDS = {"the end": "", "an exception": "1 / 0", "sys.exit": "import sys; sys.exit(3)"}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("holder", HELD)
def test_a_file_that_is_still_open_at_the_end_holds_what_was_written(boxes: Boxes, holder: str, end: str) -> None:
    code = f"held = open('left.txt', 'w'); held.write('written')\n{HELD[holder]}\ndel held\n{ENDS[end]}"
    told = boxes.run(code, outputs=["left.txt"])
    assert told.files[0]["size"] == 7, told.verdict


@pytest.mark.parametrize("module", ["bz2", "gzip", "lzma"])
def test_a_compressed_file_that_is_still_open_at_the_end_can_be_read(boxes: Boxes, module: str) -> None:
    code = f"import math, {module}\nmath.held = {module}.open('left', 'wt')\nmath.held.write('written')\n1 / 0"
    content = boxes.run(code, outputs=["left"]).files[0]["content_base64"]
    assert importlib.import_module(module).decompress(base64.b64decode(content)) == b"written"


def test_a_file_that_is_still_open_in_a_forked_copy_holds_what_was_written(boxes: Boxes) -> None:
    code = (
        "import math, os\nif os.fork():\n os.wait()\nelse:\n math.held = open('left', 'w'); math.held.write('written')"
    )
    assert boxes.run(code, outputs=["left"]).files[0]["size"] == 7


def test_an_open_file_that_cannot_be_written_out_holds_nothing_up(boxes: Boxes) -> None:
    code = """
import io, math, os, threading, time
class Odd(io.RawIOBase):
    @property
    def closed(self): raise KeyboardInterrupt
reader, writer = os.pipe()
full = open(writer, "wb")
threading.Thread(target=lambda: full.write(bytes(1 << 20)), daemon=True).start()
broken = os.pipe()
unread = open(broken[1], "w"); unread.write("x"); os.close(broken[0])
math.held = Odd(), full, unread
while not threading.active_count() == 2: time.sleep(0.01)
time.sleep(0.1)
"done"
"""
    told = boxes.run(code)
    assert (told.status, told.result, told.stderr) == ("ok", "done", "")


def test_a_daemon_thread_is_not_disturbed_by_the_end(boxes: Boxes) -> None:
    code = """
import sys, threading, time
class Slow:
    def __del__(self): time.sleep(0.2)
class Counter:
    number = 0
counter = Counter()
def count():
    while True: counter.number += 1
threading.Thread(target=count, daemon=True).start()
sys.slow = [Slow()]; sys.slow.append(sys.slow); del sys.slow
while counter.number < 1000: time.sleep(0.001)
"done"
"""
    told = boxes.run(code)
    assert (told.status, told.result, told.stderr) == ("ok", "done", "")


def test_a_thread_that_never_ends_is_a_timeout(boxes: Boxes) -> None:
    code = "import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()\nprint('end')"

    def attempt(pace: float) -> None:
        seconds = 0.3 * pace
        told = boxes.run(code, timeout_seconds=seconds)
        assert (told.status, told.stdout) == ("timeout", "end\n")
        assert told.error["type"] == "timeout"
        assert f"than {seconds:g} s" in told.error["message"]

    at_any_pace(attempt)


def test_children_left_behind_hold_nothing_up(boxes: Boxes) -> None:
    def attempt(pace: float) -> None:
        told = boxes.run("import subprocess\np = subprocess.Popen(['sleep', '60'])\n'done'")
        assert (told.status, told.result) == ("ok", "done")
        assert told.times[-1] < 0.5 * pace

    at_any_pace(attempt)


def test_a_forked_copy_that_reaches_the_end_does_not_speak_for_the_run(boxes: Boxes) -> None:
    told = boxes.run("import os\npid = os.fork()\nif pid: os.waitpid(pid, 0)\nprint(bool(pid))\npid and 'parent'")
    assert (told.status, told.result, told.stdout) == ("ok", "parent", "False\nTrue\n")


def test_a_forked_copy_that_fails_shows_the_users_code_only(boxes: Boxes) -> None:
    told = boxes.run("import os\ndef main(x):\n    if os.fork(): return os.wait()[1]\n    1 / 0", input=1)
    assert "1 / 0" in told.stderr
    assert "ZeroDivisionError" in told.stderr
    assert "/usr/lib/sandgate" not in told.stderr, told.stderr


def test_an_excepthook_of_the_users_sees_their_own_code_only(boxes: Boxes) -> None:
    told = boxes.run("import sys\nsys.excepthook = sys.__excepthook__.__call__\n1/0")
    assert "ZeroDivisionError" in told.stderr
    assert "/usr/lib/sandgate" not in told.stderr, told.stderr


def test_the_users_own_excepthook_is_called(boxes: Boxes) -> None:
    told = boxes.run("import sys\nsys.excepthook = lambda t, e, tb: print('hook', t.__name__)\n1/0")
    assert (told.status, told.stdout) == ("error", "hook ZeroDivisionError\n")


def test_huge_and_odd_values_become_null_with_a_repr(boxes: Boxes) -> None:
    told = boxes.run("['x' * 100] * 20_000")
    assert (told.status, told.result) == ("ok", None)
    assert told.verdict["truncated"]["result"] is True
    assert len(told.verdict["result_repr"].encode()) <= 10_000


@pytest.mark.parametrize(("letter", "size"), [("x", 1), ("é", 2), ("😀", 4)])
def test_a_result_of_a_mebibyte_is_given_in_any_script(boxes: Boxes, letter: str, size: int) -> None:
    longest = ((1 << 20) - 2) // size
    assert boxes.run(f"{letter!r} * {longest}").result == letter * longest
    assert boxes.run(f"{letter!r} * {longest + 1}").result is None


@pytest.mark.parametrize(
    "code",
    [
        "x = []\nfor _ in range(100_000): x = [x]\nx",
        "class R:\n def __repr__(self): raise SystemExit(3)\nR()",
        "class R:\n def __repr__(self): return 5\nR()",
        "import functools\nclass L(list):\n def __iter__(self): 1/0\n def __len__(self): 1/0\nL([object()])",
        "object()",
    ],
)
def test_a_value_that_is_not_json_is_null(boxes: Boxes, code: str) -> None:
    told = boxes.run(code)
    assert (told.status, told.result) == ("ok", None)
    assert isinstance(told.verdict["result_repr"], str)


def test_the_environment_is_small_and_fixed(boxes: Boxes) -> None:
    code = "import os, sys\n[dict(os.environ), os.getcwd(), os.cpu_count(), sys.argv, os.listdir('.')]"
    environment, folder, cpus, argv, files = boxes.run(code).result
    assert environment["HOME"] == folder == "/work"
    assert environment["OMP_NUM_THREADS"] == environment["PYTHON_CPU_COUNT"] == "1"
    assert cpus == 1
    assert argv == ["<code>"]
    assert files == []
    assert set(environment) == {
        "HOME", "LANG", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS",
        "PATH", "PWD", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "PYTHON_CPU_COUNT", "TMPDIR",
    }  # fmt: skip


def test_the_streams_bear_the_names_that_python_gives_them(boxes: Boxes) -> None:
    code = "import sys\n[[stream.name, stream.mode] for stream in (sys.stdin, sys.stdout, sys.stderr)]"
    assert boxes.run(code).result == [["<stdin>", "r"], ["<stdout>", "w"], ["<stderr>", "w"]]


def test_what_is_printed_while_signals_come_is_written_whole(boxes: Boxes) -> None:
    code = """
import signal, sys
ticks = 0
def tick(*_):
    global ticks; ticks += 1
signal.signal(signal.SIGALRM, tick)
signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
for _ in range(8):
    print("x" * 999_999)
    sys.stdout.buffer.write(memoryview(bytearray(b"yyyy" * 2500)).cast("I"))
signal.setitimer(signal.ITIMER_REAL, 0)
ticks > 0
"""
    told = boxes.run(code, limits={"stdout_bytes": 10_000_000})
    assert told.result is True
    assert len(told.stdout) == 8 * 1_010_000


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1", "sandbox", ""])
def test_a_server_can_be_reached_within_the_box_by_its_name(boxes: Boxes, name: str) -> None:
    code = f"""
import asyncio, socket
async def serve(reader, writer):
    writer.write(await reader.readline()); writer.close()
async def main():
    async with await asyncio.start_server(serve, {name!r} or None, 0) as server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection({name!r} or socket.gethostname(), port)
        writer.write(b"echo\\n")
        return (await reader.readline()).decode()
await main()
"""
    assert boxes.run(code).result == "echo\n"


def test_localhost_is_this_box(boxes: Boxes) -> None:
    code = """
import socket
from http.server import BaseHTTPRequestHandler, HTTPServer
with HTTPServer(("localhost", 0), BaseHTTPRequestHandler) as server:
    name = server.server_name
[name, socket.gethostbyname("localhost"), sorted({found[4][0] for found in socket.getaddrinfo("localhost", 80)})]
"""
    assert boxes.run(code).result == ["localhost", "127.0.0.1", ["127.0.0.1", "::1"]]


def test_importing_own_modules_leaves_no_bytecode(boxes: Boxes) -> None:
    code = "import lib, os, subprocess, sys\nsubprocess.run([sys.executable, '-c', 'import lib'])\nos.listdir()"
    assert boxes.run(code, files=[{"path": "lib.py", "content_base64": ""}]).result == ["lib.py"]


def test_own_modules_beside_the_code_can_be_imported(boxes: Boxes) -> None:
    files = [
        {"path": "lib/program.py", "content_base64": "eCA9IDQy"},
        {"path": "wire.py", "content_base64": "eSA9IDE="},
    ]
    told = boxes.run("from lib.program import x\nimport wire\n[x, wire.y, __file__]", files=files)
    assert told.result == [42, 1, "/work/<code>"]


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_processes_can_be_spawned(boxes: Boxes, method: str) -> None:
    code = f"""
import multiprocessing, os
def square(number): return number * number
def where(_): return os.path.basename(square.__code__.co_filename)
if __name__ == "__main__":
    with multiprocessing.get_context("{method}").Pool(2) as pool:
        found = pool.map(square, range(4)), pool.apply(where, [0])
    print(__file__, __import__("__main__").__file__, end="")
    1 / 0 if found == ([0, 1, 4, 9], "<code>") else found
"""
    told = boxes.run(code, outputs=["**"])
    assert (told.error["type"], told.stdout, told.files) == ("ZeroDivisionError", "/work/<code> /work/<code>", [])
    assert 'File "<code>", line 9' in told.error["traceback"]


def test_the_source_of_what_the_code_defines_can_be_had(boxes: Boxes) -> None:
    code = "import inspect\nclass C:\n x = 1\ndef f():\n return 2\n[inspect.getsource(C), inspect.getsource(f)]"
    assert boxes.run(code).result == ["class C:\n x = 1\n", "def f():\n return 2\n"]


def test_no_source_is_written_unless_a_process_needs_it(boxes: Boxes) -> None:
    code = "import __main__ as m, os\nfirst = m.__file__\nm.__file__ = 'mine'\n[first, __file__, os.listdir('/tmp')]"
    assert boxes.run(code).result == ["/work/<code>", "mine", []]


@pytest.mark.parametrize("job", [{}, {"entrypoint": "measure"}])
def test_code_can_call_as_deep_as_in_a_python_of_its_own(boxes: Boxes, job: dict[str, Any]) -> None:
    code = """
import subprocess, sys
def deepen(depth):
    try: return deepen(depth + 1)
    except RecursionError: return depth
def measure(): return deepen(2)
"""
    plain = boxes.run(
        f"import subprocess, sys\nint(subprocess.check_output([sys.executable, '-c', {code + 'print(measure())'!r}]))"
    )
    assert boxes.run(code + "measure()", **job).result == plain.result


def test_own_modules_do_not_get_in_the_runners_way(boxes: Boxes) -> None:
    told = boxes.run("@tool\ndef f(a): return a", files=[{"path": "ast.py", "content_base64": "MS8w"}], input=1)
    assert told.result == 1, told.verdict


def test_patching_what_the_runner_uses_changes_nothing(boxes: Boxes) -> None:
    code = """
import builtins, io, json, json.encoder, os, sys, traceback, inspect, struct
for name in ("dumps", "JSONEncoder"):
    setattr(json, name, None)
json.encoder.c_make_encoder = None
os.write = os._exit = struct.pack = None
sys.stdout = sys.stderr = None
for name in ("print", "len", "repr", "isinstance", "str", "type", "open", "getattr"):
    setattr(builtins, name, None)
[1, 2]
"""
    told = boxes.run(code)
    assert (told.status, told.result, told.verdict["result_repr"]) == ("ok", [1, 2], "[1, 2]")


def test_rich_representations_are_displays(boxes: Boxes) -> None:
    code = """
class Rich:
    def _repr_html_(self): return "<b>hi</b>"
    def _repr_png_(self): return b"\\x89PNG"
    def _repr_latex_(self): raise ValueError
    def __repr__(self): return "Rich"
Rich()
"""
    told = boxes.run(code)
    assert told.status == "ok"
    assert told.displays == [{"mime": "image/png", "data": "iVBORw=="}, {"mime": "text/html", "data": "<b>hi</b>"}]
    assert told.verdict["result_repr"] == "Rich"
    assert told.kinds.index("D") < told.kinds.index("V")
