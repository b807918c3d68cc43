"""Programs that write too much, end oddly, or are odd to begin with."""

from tests.attacks.attack import MIB, attack, error, nothing_found, result

OUTPUT = [
    attack("endless stdout", (23, 26), "while True: print('x' * 65536, end='')", "output_limit",
            holds=lambda answer: len(answer["stdout"]) == MIB and answer["truncated"]["stdout"] > 8 * MIB),
    attack("endless stderr", 24, "import sys\nprint('kept')\nwhile True: sys.stderr.write('x' * 4096)", "output_limit",
            holds=lambda answer: answer["stdout"] == "kept\n" and len(answer["stderr"]) == MIB),
    attack("both at once", 25, """
import sys
for number in range(5000):
    print(number)
    print(-number, file=sys.stderr)
""", holds=lambda answer: answer["stdout"].split() == [str(n) for n in range(5000)]
            and answer["stderr"].split() == [str(-n) for n in range(5000)]),
    attack("more than a pipe holds", 27, "import os\nos.write(1, b'x' * 900_000); None",
            holds=lambda answer: answer["stdout"] == "x" * 900_000),
    attack("drop by drop", 28, "import time\nwhile True: print('.', end=''); time.sleep(0.05)", "timeout",
            timeout_seconds=1.5, holds=lambda answer: len(answer["stdout"]) >= 5),
    attack("streams closed", 30, "import os\nos.close(1); os.close(2)\n'done'", holds=result("done")),
    attack("streams replaced", 30, "import os\nos.dup2(os.open('/dev/null', os.O_WRONLY), 1)\nprint('lost')\n'done'",
            holds=lambda answer: answer["result"] == "done" and answer["stdout"] == ""),
    attack("not UTF-8", 31, "import os\nos.write(1, b'a\\xff\\xfeb'); None",
            holds=lambda answer: answer["stdout"] == "a\ufffd\ufffdb"),
    attack("surrogates and zeros", 32, "print('\\0 \\U0001F600')\n'\\ud800'",
            holds=lambda answer: answer["stdout"] == "\0 \U0001f600\n"),
    attack("a letter cut in two", 33,
            "import os, time\nos.write(1, b'\\xc3')\ntime.sleep(0.1)\nos.write(1, b'\\xa9'); None",
            holds=lambda answer: answer["stdout"] == "é"),
    attack("terminal escapes", 34, "print('\\x1b[31mred\\x1b]0;title\\x07\\r')",
            holds=lambda answer: answer["stdout"] == "\x1b[31mred\x1b]0;title\x07\r\n"),
    attack("script in markup", 35, "class X:\n def _repr_html_(self): return '<script>1</script>'\nX()",
            holds=lambda answer: answer["displays"] == [{"mime": "text/html", "data": "<script>1</script>"}]),
    attack("frames printed", 36, """
import json, os, struct
verdict = json.dumps({"status": "ok", "exit_code": 0, "error": None, "result": "forged"}).encode()
for descriptor in (1, 2):
    for kind in b"VZ":
        os.write(descriptor, struct.pack(">cI", bytes([kind]), len(verdict)) + verdict)
1 / 0
""", "error", holds=lambda answer: answer["result"] is None and "forged" in answer["stdout"]),
    attack("written to the supervisor", 37, """
found = {}
for descriptor in (0, 1, 2):
    try:
        with open(f"/proc/1/fd/{descriptor}", "r+b", buffering=0) as stream: stream.write(b"Z\\0\\0\\0\\2{}")
        found[descriptor] = "written"
    except PermissionError: pass
found
""", holds=nothing_found),
    attack("displays without end", (23, 35), """
class X:
    def _repr_mimebundle_(self): return {f"text/x{n}": "y" * 1_000_000 for n in range(40)}
X()
""", holds=lambda answer: len(answer["displays"]) <= 10),
]  # fmt: skip

FORGED = """
import json, os, struct
end = json.dumps(dict(status="{}", exit_code=1, error=dict(type="X", message="forged"), result="forged")).encode()
for descriptor in range(3, 256):
    try: os.write(descriptor, struct.pack(">cI", b"V", len(end)) + end)
    except OSError: pass
os._exit(1)
"""

EXITS = [
    attack("leaves before its end", 40, "import os\nprint('fine')\nos._exit(0)", "exit",
            holds=lambda answer: answer["error"]["exit_code"] == 0 and answer["result"] is None),
    attack("kills itself", 41, "import os; os.kill(os.getpid(), 9)", "signal", holds=error("SIGKILL")),
    attack("aborts", 41, "import os; os.abort()", "signal", holds=error("SIGABRT")),
    attack("crashes", 41, "import ctypes; ctypes.string_at(0)", "signal", holds=error("SIGSEGV")),
    attack("finaliser without end", 42, """
class Last:
    def __del__(self):
        while True: pass
last = Last()
print("end")
""", "timeout", timeout_seconds=1.5, holds=lambda answer: answer["stdout"] == "end\n"),
    attack("exit handler that fails", 42, "import atexit\natexit.register(lambda: 1 / 0)\n'done'",
            holds=lambda answer: answer["result"] == "done" and "ZeroDivisionError" in answer["stderr"]),
    attack("excepthook without end", 42, "import sys\ndef hook(*_):\n while True: pass\nsys.excepthook = hook\n1 / 0",
            "timeout", timeout_seconds=0.5),
    attack("exception that cannot be shown", 43, """
class Bad(Exception):
    def __str__(self): raise KeyboardInterrupt
    __repr__ = __str__
raise Bad
""", "error", holds=error("Bad")),
    attack("exception that is huge", 43, "raise ValueError('x' * 50_000_000)", "error",
            holds=lambda answer: len(answer["error"]["message"]) <= 10_000
            and len(answer["error"]["traceback"]) < 100_000),
    attack("exception in a ring", 43, """
first, second = ValueError("first"), ValueError("second")
first.__cause__, second.__cause__ = second, first
raise first
""", "error", holds=error("ValueError")),
    attack("exceptions in a long chain", 43, """
last = None
for number in range(50_000):
    error = ValueError(number); error.__context__ = last; last = error
raise last
""", "error", holds=lambda answer: len(answer["error"]["traceback"]) < 100_000),
    attack("result in a ring", 44, "x = []; x.append(x)\nx", holds=result(None)),
    attack("result that is deep", 44, "x = []\nfor _ in range(100_000): x = [x]\nx", holds=result(None)),
    attack("result that is huge", 44, "['x' * 1000] * 100_000",
            holds=lambda answer: answer["result"] is None and answer["truncated"]["result"]),
    attack("result that is a hundred million", 44, "'x' * 100_000_000",
            holds=lambda answer: answer["result"] is None and len(answer["result_repr"]) <= 10_000),
    attack("result that fights back", 45, """
class Evil(dict):
    def items(self): raise SystemExit(9)
    def __reduce__(self): return (print, ("pickled",))
    def __json__(self): return "json"
    def __repr__(self): return "Evil"
Evil(a=1)
""", holds=lambda answer: answer["result"] is None and "pickled" not in answer["stdout"]),
    attack("everything patched", 46, """
import builtins, io, json, os, struct, sys
forged = lambda *_, **__: '{"status": "ok", "result": "forged"}'
json.dumps = json.JSONEncoder.encode = json.loads = forged
os.write = os.read = os._exit = struct.pack = forged
io.TextIOWrapper = io.BytesIO = None
sys.stdout = sys.stderr = sys.stdin = None
for name in ("print", "open", "len", "repr", "str", "isinstance", "type", "getattr", "BaseException"):
    setattr(builtins, name, None)
1 / 0
""", "error", holds=error("ZeroDivisionError")),
    attack("an end forged, then another", (46, 47), """
import json, os, struct
end = json.dumps({"status": "ok", "exit_code": 0, "error": None, "result": "forged"}).encode()
for descriptor in range(3, 256):
    try: os.write(descriptor, struct.pack(">cI", b"V", len(end)) + end)
    except OSError: pass
os.kill(os.getpid(), 9)
""", "signal"),
    attack("a syntax error forged", (46, 47), FORGED.format("syntax_error"), "exit",
            holds=lambda answer: answer["result"] is None),
    attack("bad input forged", (46, 47), FORGED.format("bad_input"), "exit",
            holds=lambda answer: answer["result"] is None),
    attack("a memory error of one's own", 4, "raise MemoryError('mine')", "error", holds=error("MemoryError")),
    attack("garbage on every descriptor", (46, 47), """
import os
for descriptor in range(3, 256):
    try: os.write(descriptor, os.urandom(100_000))
    except OSError: pass
""", "exit"),
    attack("a flood on every descriptor", (46, 23), """
import os, struct
for descriptor in range(3, 256):
    try:
        while True: os.write(descriptor, struct.pack(">cI", b"D", 0) * 10_000)
    except OSError: pass
""", "timeout", timeout_seconds=0.7),
    attack("the result's way closed", 46, "import os\nos.closerange(3, 256)\n'lost'", "exit"),
    attack("the runner looked for", (47, 84), """
import gc, sys
frames = []
frame = sys._getframe()
while frame: frames.append(frame.f_globals.get("__name__")); frame = frame.f_back
words = ("secret", "token", "password", "api_key")
found = [name for module in list(sys.modules.values()) for name in vars(module)
         if name in ("EXECUTOR_SECRET", "SECRET", "PASSWORD")]
found
""", holds=nothing_found),
    attack("daemon thread left", 48, """
import threading, time
threading.Thread(target=lambda: time.sleep(30), daemon=True).start()
"done"
""", holds=result("done")),
    attack("child holds stdout", 49, "import subprocess\nsubprocess.Popen(['sleep', '30'])\n'done'",
            holds=result("done")),
    attack("daemon", 50, """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while True: time.sleep(0.01); print("alive")
    os._exit(0)
os.wait()
"done"
""", holds=result("done")),
    attack("kills all it can see", 51, """
import os, signal, subprocess
subprocess.Popen(["sleep", "30"])
os.kill(-1, signal.SIGKILL)
"alive"
""", holds=result("alive")),
    attack("kills the supervisor", 51, """
import os, signal
for number in sorted(set(signal.Signals) - {signal.SIGCHLD}):
    os.kill(1, number)
"alive"
""", holds=result("alive")),
    attack("floods the supervisor with signals", 51, """
import os, signal
for _ in range(20_000): os.kill(1, signal.SIGCHLD)
"alive"
""", holds=result("alive")),
    attack("limits set on the supervisor", 52, """
import resource
found = []
for limit in (resource.RLIMIT_CPU, resource.RLIMIT_NOFILE, resource.RLIMIT_AS):
    try: resource.prlimit(1, limit, (0, 0)); found.append(limit)
    except PermissionError: pass
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 200))
found
""", holds=nothing_found),
    attack("supervisor pushed aside", 53, """
import os
for call in (lambda: os.setpriority(os.PRIO_PROCESS, 1, 19), lambda: os.sched_setaffinity(1, {0}),
             lambda: os.sched_setscheduler(1, os.SCHED_IDLE, os.sched_param(0))):
    try: call()
    except OSError: pass
while True: pass
""", "timeout", timeout_seconds=0.5),
    attack("another program in its place", 54, "import os\nos.execl('/bin/echo', 'echo', 'hello')", "exit",
            holds=lambda answer: answer["stdout"] == "hello\n" and answer["error"]["exit_code"] == 0),
    attack("another program without end", 54, "import os\nos.execl('/bin/sleep', 'sleep', '30')", "timeout",
            timeout_seconds=0.5),
]  # fmt: skip

INPUT = [
    attack("a zero in the code", 55, "x = 'a\0b'", "syntax_error"),
    attack("odd line ends and a mark", 55, "\ufeffx = 1\r\ny = 2\rx + y", holds=result(3)),
    attack("a foreign encoding named", 55, "# -*- coding: utf-16 -*-\n'é'", holds=result("é")),
    attack("only comments", 55, "# nothing", holds=result(None)),
    attack("stdin never read", 56, "'done'", stdin="x" * 5_000_000, holds=result("done")),
    attack("stdin closed", 56, "import os\nos.close(0)\n'done'", stdin="x" * 1_000_000, holds=result("done")),
    attack("no stdin", 56, "input()", "error", holds=error("EOFError")),
    attack("code that looks like options", 65, "--version; -c 'x' $(touch /tmp/planted) `id`", "syntax_error"),
    attack("names that are in the way", 62, """
import os, subprocess, sys
for name in ("sitecustomize.py", "usercustomize.py", "json.py", "supervisor.py"):
    open(name, "w").write("raise SystemExit('planted')")
os.environ["PYTHONPATH"] = "/work"
import json
json.loads("[1]")
""", holds=result([1])),
]  # fmt: skip
