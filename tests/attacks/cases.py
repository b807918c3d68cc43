"""Hostile programs and what must come of them, as data.

`numbers` refer to the catalogue of attack cases that the project keeps (CPU and memory 1-22, output 23-38, exit paths
39-54, input 55-65, files 66-75, secrets 76-86, kernel 87-97, network 98-106, tenancy 107-115). A case is a request to
`POST /execute`, without what `image` says, and what must be true of the answer; it holds against a bare box as well as
through HTTP. After every case the next run must work, and nothing may be left.
"""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Answer = Mapping[str, Any]
MIB = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Attack:
    """One hostile program. `statuses` are the verdicts that are right, `holds` what else must be true of the answer."""

    name: str
    numbers: tuple[int, ...]
    code: str
    job: Mapping[str, Any] = field(default_factory=dict)
    statuses: frozenset[str] = frozenset({"ok"})
    holds: Callable[[Answer], bool] | None = None
    image: str = "base"


def _attack(name: str, numbers: int | tuple[int, ...], code: str, *statuses: str, **more: Any) -> Attack:
    holds, image = more.pop("holds", None), more.pop("image", "base")
    return Attack(
        name=name,
        numbers=(numbers,) if isinstance(numbers, int) else numbers,
        code=code.strip("\n"),
        statuses=frozenset(statuses or {"ok"}),
        holds=holds,
        image=image,
        job=more,
    )


def _result(value: Any) -> Callable[[Answer], bool]:
    return lambda answer: bool(answer["result"] == value)


def _nothing_found(answer: Answer) -> bool:
    return answer["result"] in ([], {})


def _error(*types: str) -> Callable[[Answer], bool]:
    return lambda answer: answer["error"]["type"] in types


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


# Asks the kernel by number, since libc has no name for much of this; numbers of x86-64 and arm64.
_KERNEL = """
import ctypes, errno, platform
libc = ctypes.CDLL(None, use_errno=True)
column = 0 if platform.machine() == "x86_64" else 1
def let_through(table, *arguments):
    found = {}
    for name, numbers in table.items():
        if numbers[column] is None: continue
        ctypes.set_errno(0)
        if libc.syscall(numbers[column], *arguments) != -1 or ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS):
            found[name] = errno.errorcode.get(ctypes.get_errno(), "success")
    return found
"""

RESOURCES = [
    _attack("busy loop", 1, "print('on')\nwhile True: pass", "timeout", timeout_seconds=0.5,
            holds=lambda answer: answer["stdout"] == "on\n"),
    _attack("long sleep", 2, "import time; time.sleep(60)", "timeout", timeout_seconds=0.3,
            holds=lambda answer: answer["usage"]["cpu_ms"] < 250),
    _attack("signals ignored", 3, """
import signal
for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, signal.SIG_IGN)
while True: pass
""", "timeout", timeout_seconds=0.5),
    _attack("memory eaten", 4, "print('on', flush=True)\nx = []\nwhile True: x.append('y' * 1_000_000 + str(len(x)))",
            "out_of_memory", holds=lambda answer: answer["stdout"] == "on\n" and "256" in answer["error"]["message"]),
    _attack("child eats memory", 5, """
import subprocess, sys
subprocess.run([sys.executable, "-c", "x = b'1' * (1 << 30)"]).returncode
""", holds=_result(-9)),
    _attack("memory over many children", 6, """
import multiprocessing, os
def eat(): x = bytearray(os.urandom(1 << 20)) * 100
children = [multiprocessing.Process(target=eat) for _ in range(8)]
for child in children: child.start()
for child in children: child.join()
any(child.exitcode == -9 for child in children)
""", "ok", "out_of_memory", holds=lambda answer: answer["result"] is not False),
    _attack("tmpfs filled", (7, 14), """
import errno
found = set()
for folder in ("/work", "/tmp"):
    try:
        for number in range(10):
            with open(f"{folder}/{number}", "wb") as file:
                for _ in range(40): file.write(bytes(1 << 20))
    except OSError as error:
        found.add(errno.errorcode[error.errno])
sorted(found)
""", holds=_result(["ENOSPC"])),
    _attack("many small files", 14, """
import errno, itertools
try:
    for number in itertools.count(): open(f"f{number}", "w").close()
except OSError as error:
    failed = errno.errorcode[error.errno]
failed
""", holds=_result("ENOSPC")),
    _attack("shared memory filled", 8, """
from multiprocessing import shared_memory
block = shared_memory.SharedMemory(create=True, size=200 << 20)
for at in range(0, 200 << 20, 4096): block.buf[at] = 1
""", "signal", "error"),
    _attack("a tebibyte mapped", 9, "import mmap\nmmap.mmap(-1, 1 << 50)", "error", "out_of_memory"),
    _attack("a huge array", 9, "import numpy\nnumpy.ones(1 << 45)", "out_of_memory", image="data"),
    _attack("fork bomb", 11, "import os\nwhile True: os.fork()", "process_limit", "timeout", timeout_seconds=2),
    _attack("patient fork bomb", 11, """
import os
while True:
    try: os.fork()
    except OSError: pass
""", "timeout", timeout_seconds=0.5),
    _attack("fork bomb left behind", (11, 50), """
import os, time
if os.fork() == 0:
    os.setsid()
    while True:
        try: os.fork()
        except OSError: pass
time.sleep(0.2)
"done"
""", holds=_result("done")),
    _attack("thread bomb", 12, """
import threading, time
try:
    while True: threading.Thread(target=time.sleep, args=(30,), daemon=True).start()
except RuntimeError as error:
    print(error)
""", holds=lambda answer: "can't start new thread" in answer["stdout"]),
    _attack("honest pool", 13, """
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
with multiprocessing.Pool(4) as pool: a = pool.map(abs, range(-5, 0))
with ThreadPoolExecutor(8) as pool: b = list(pool.map(abs, range(-5, 0)))
with ProcessPoolExecutor(2) as pool: c = list(pool.map(abs, range(-5, 0)))
a == b == c == [5, 4, 3, 2, 1]
""", holds=_result(True)),
    _attack("sparse petabyte", 15, """
import errno, os
fd = os.open("big", os.O_CREAT | os.O_RDWR)
found = []
for call in (os.ftruncate, lambda fd, size: os.posix_fallocate(fd, 0, size)):
    try: call(fd, 1 << 50)
    except OSError as error: found.append(errno.errorcode[error.errno])
found
""", outputs=["*"], holds=lambda answer: answer["result"] == ["EFBIG", "EFBIG"]),
    _attack("descriptors used up", 16, """
import errno, os
held = []
try:
    while True: held.append(os.open("/dev/null", os.O_RDONLY))
except OSError as error:
    found = errno.errorcode[error.errno]
found, len(held) > 200
""", holds=_result(["EMFILE", True])),
    _attack("system written to", (17, 107), """
import errno, os, site
found = {}
for folder in ("/", "/etc", "/usr/lib/python3", "/usr/lib/sandgate", "/var/tmp", "/root",
               "/dev", "/proc", "/sys", "/home"):
    try:
        open(f"{folder}/planted", "w").close()
        found[folder] = "written"
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES, errno.ENOENT, errno.EPERM): found[folder] = error.errno
found
""", holds=_nothing_found),
    _attack("endless recursion", 18, "def f(): f()\nf()", "error", holds=_error("RecursionError")),
    _attack("stack overrun", 18, """
import sys, ctypes
sys.setrecursionlimit(10**9)
class Deep:
    def __getattr__(self, name): return getattr(self, name + "x")
for _ in range(3):
    try: repr(Deep().a)
    except RecursionError: pass
ctypes.string_at(0)
""", "signal", "error", timeout_seconds=20),
    _attack("core dump", 19, "import os, resource\nprint(resource.getrlimit(resource.RLIMIT_CORE))\nos.abort()",
            "signal", outputs=["*", ".*"],
            holds=lambda answer: answer["stdout"] == "(0, 0)\n" and answer["files"] == []),
    _attack("arithmetic without end", 20, "str(10 ** 10 ** 8)", "timeout", "error", "out_of_memory",
            timeout_seconds=0.5),
    _attack("pattern without end", 20, "import re; re.match('(a*)*b', 'a' * 40)", "timeout", timeout_seconds=0.5),
    _attack("nested source", 22, "(" * 100_000 + ")" * 100_000, "syntax_error", "signal"),
    _attack("deep source", 22, "x = " + "-" * 100_000 + "1", "ok", "syntax_error", "signal", "error"),
    _attack("long source", 22, "x = 0\n" + "x += 1\n" * 100_000 + "x", holds=_result(100_000)),
]  # fmt: skip

OUTPUT = [
    _attack("endless stdout", (23, 26), "while True: print('x' * 65536, end='')", "output_limit",
            holds=lambda answer: len(answer["stdout"]) == MIB and answer["truncated"]["stdout"] > 8 * MIB),
    _attack("endless stderr", 24, "import sys\nprint('kept')\nwhile True: sys.stderr.write('x' * 4096)", "output_limit",
            holds=lambda answer: answer["stdout"] == "kept\n" and len(answer["stderr"]) == MIB),
    _attack("both at once", 25, """
import sys
for number in range(5000):
    print(number)
    print(-number, file=sys.stderr)
""", holds=lambda answer: answer["stdout"].split() == [str(n) for n in range(5000)]
            and answer["stderr"].split() == [str(-n) for n in range(5000)]),
    _attack("more than a pipe holds", 27, "import os\nos.write(1, b'x' * 900_000); None",
            holds=lambda answer: answer["stdout"] == "x" * 900_000),
    _attack("drop by drop", 28, "import time\nwhile True: print('.', end=''); time.sleep(0.05)", "timeout",
            timeout_seconds=0.6, holds=lambda answer: len(answer["stdout"]) >= 5),
    _attack("streams closed", 30, "import os\nos.close(1); os.close(2)\n'done'", holds=_result("done")),
    _attack("streams replaced", 30, "import os\nos.dup2(os.open('/dev/null', os.O_WRONLY), 1)\nprint('lost')\n'done'",
            holds=lambda answer: answer["result"] == "done" and answer["stdout"] == ""),
    _attack("not UTF-8", 31, "import os\nos.write(1, b'a\\xff\\xfeb'); None",
            holds=lambda answer: answer["stdout"] == "a\ufffd\ufffdb"),
    _attack("surrogates and zeros", 32, "print('\\0 \\U0001F600')\n'\\ud800'",
            holds=lambda answer: answer["stdout"] == "\0 \U0001f600\n"),
    _attack("a letter cut in two", 33,
            "import os, time\nos.write(1, b'\\xc3')\ntime.sleep(0.1)\nos.write(1, b'\\xa9'); None",
            holds=lambda answer: answer["stdout"] == "é"),
    _attack("terminal escapes", 34, "print('\\x1b[31mred\\x1b]0;title\\x07\\r')",
            holds=lambda answer: answer["stdout"] == "\x1b[31mred\x1b]0;title\x07\r\n"),
    _attack("script in markup", 35, "class X:\n def _repr_html_(self): return '<script>1</script>'\nX()",
            holds=lambda answer: answer["displays"] == [{"mime": "text/html", "data": "<script>1</script>"}]),
    _attack("frames printed", 36, """
import json, os, struct
verdict = json.dumps({"status": "ok", "exit_code": 0, "error": None, "result": "forged"}).encode()
for descriptor in (1, 2):
    for kind in b"VZ":
        os.write(descriptor, struct.pack(">cI", bytes([kind]), len(verdict)) + verdict)
1 / 0
""", "error", holds=lambda answer: answer["result"] is None and "forged" in answer["stdout"]),
    _attack("written to the supervisor", 37, """
found = {}
for descriptor in (0, 1, 2):
    try:
        with open(f"/proc/1/fd/{descriptor}", "r+b", buffering=0) as stream: stream.write(b"Z\\0\\0\\0\\2{}")
        found[descriptor] = "written"
    except PermissionError: pass
found
""", holds=_nothing_found),
    _attack("displays without end", (23, 35), """
class X:
    def _repr_mimebundle_(self): return {f"text/x{n}": "y" * 1_000_000 for n in range(40)}
X()
""", holds=lambda answer: len(answer["displays"]) <= 10),
]  # fmt: skip

EXITS = [
    _attack("leaves before its end", 40, "import os\nprint('fine')\nos._exit(0)", "exit",
            holds=lambda answer: answer["error"]["exit_code"] == 0 and answer["result"] is None),
    _attack("kills itself", 41, "import os; os.kill(os.getpid(), 9)", "signal", holds=_error("SIGKILL")),
    _attack("aborts", 41, "import os; os.abort()", "signal", holds=_error("SIGABRT")),
    _attack("crashes", 41, "import ctypes; ctypes.string_at(0)", "signal", holds=_error("SIGSEGV")),
    _attack("finaliser without end", 42, """
class Last:
    def __del__(self):
        while True: pass
last = Last()
print("end")
""", "timeout", timeout_seconds=0.5, holds=lambda answer: answer["stdout"] == "end\n"),
    _attack("exit handler that fails", 42, "import atexit\natexit.register(lambda: 1 / 0)\n'done'",
            holds=lambda answer: answer["result"] == "done" and "ZeroDivisionError" in answer["stderr"]),
    _attack("excepthook without end", 42, "import sys\ndef hook(*_):\n while True: pass\nsys.excepthook = hook\n1 / 0",
            "timeout", timeout_seconds=0.5),
    _attack("exception that cannot be shown", 43, """
class Bad(Exception):
    def __str__(self): raise KeyboardInterrupt
    __repr__ = __str__
raise Bad
""", "error", holds=_error("Bad")),
    _attack("exception that is huge", 43, "raise ValueError('x' * 50_000_000)", "error",
            holds=lambda answer: len(answer["error"]["message"]) <= 10_000
            and len(answer["error"]["traceback"]) < 100_000),
    _attack("exception in a ring", 43, """
first, second = ValueError("first"), ValueError("second")
first.__cause__, second.__cause__ = second, first
raise first
""", "error", holds=_error("ValueError")),
    _attack("exceptions in a long chain", 43, """
last = None
for number in range(50_000):
    error = ValueError(number); error.__context__ = last; last = error
raise last
""", "error", holds=lambda answer: len(answer["error"]["traceback"]) < 100_000),
    _attack("result in a ring", 44, "x = []; x.append(x)\nx", holds=_result(None)),
    _attack("result that is deep", 44, "x = []\nfor _ in range(100_000): x = [x]\nx", holds=_result(None)),
    _attack("result that is huge", 44, "['x' * 1000] * 100_000",
            holds=lambda answer: answer["result"] is None and answer["truncated"]["result"]),
    _attack("result that is a hundred million", 44, "'x' * 100_000_000",
            holds=lambda answer: answer["result"] is None and len(answer["result_repr"]) <= 10_000),
    _attack("result that fights back", 45, """
class Evil(dict):
    def items(self): raise SystemExit(9)
    def __reduce__(self): return (print, ("pickled",))
    def __json__(self): return "json"
    def __repr__(self): return "Evil"
Evil(a=1)
""", holds=lambda answer: answer["result"] is None and "pickled" not in answer["stdout"]),
    _attack("everything patched", 46, """
import builtins, io, json, os, struct, sys
forged = lambda *_, **__: '{"status": "ok", "result": "forged"}'
json.dumps = json.JSONEncoder.encode = json.loads = forged
os.write = os.read = os._exit = struct.pack = forged
io.TextIOWrapper = io.BytesIO = None
sys.stdout = sys.stderr = sys.stdin = None
for name in ("print", "open", "len", "repr", "str", "isinstance", "type", "getattr", "BaseException"):
    setattr(builtins, name, None)
1 / 0
""", "error", holds=_error("ZeroDivisionError")),
    _attack("an end forged, then another", (46, 47), """
import json, os, struct
end = json.dumps({"status": "ok", "exit_code": 0, "error": None, "result": "forged"}).encode()
for descriptor in range(3, 256):
    try: os.write(descriptor, struct.pack(">cI", b"V", len(end)) + end)
    except OSError: pass
os.kill(os.getpid(), 9)
""", "signal"),
    _attack("garbage on every descriptor", (46, 47), """
import os
for descriptor in range(3, 256):
    try: os.write(descriptor, os.urandom(100_000))
    except OSError: pass
""", "exit"),
    _attack("a flood on every descriptor", (46, 23), """
import os, struct
for descriptor in range(3, 256):
    try:
        while True: os.write(descriptor, struct.pack(">cI", b"D", 0) * 10_000)
    except OSError: pass
""", "timeout", timeout_seconds=0.7),
    _attack("the result's way closed", 46, "import os\nos.closerange(3, 256)\n'lost'", "exit"),
    _attack("the runner looked for", (47, 84), """
import gc, sys
frames = []
frame = sys._getframe()
while frame: frames.append(frame.f_globals.get("__name__")); frame = frame.f_back
words = ("secret", "token", "password", "api_key")
found = [name for module in list(sys.modules.values()) for name in vars(module)
         if name in ("EXECUTOR_SECRET", "SECRET", "PASSWORD")]
found
""", holds=_nothing_found),
    _attack("daemon thread left", 48, """
import threading, time
threading.Thread(target=lambda: time.sleep(30), daemon=True).start()
"done"
""", holds=_result("done")),
    _attack("child holds stdout", 49, "import subprocess\nsubprocess.Popen(['sleep', '30'])\n'done'",
            holds=_result("done")),
    _attack("daemon", 50, """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while True: time.sleep(0.01); print("alive")
    os._exit(0)
os.wait()
"done"
""", holds=_result("done")),
    _attack("kills all it can see", 51, """
import os, signal, subprocess
subprocess.Popen(["sleep", "30"])
os.kill(-1, signal.SIGKILL)
"alive"
""", holds=_result("alive")),
    _attack("kills the supervisor", 51, """
import os, signal
for number in sorted(set(signal.Signals) - {signal.SIGCHLD}):
    os.kill(1, number)
"alive"
""", holds=_result("alive")),
    _attack("floods the supervisor with signals", 51, """
import os, signal
for _ in range(20_000): os.kill(1, signal.SIGCHLD)
"alive"
""", holds=_result("alive")),
    _attack("limits set on the supervisor", 52, """
import resource
found = []
for limit in (resource.RLIMIT_CPU, resource.RLIMIT_NOFILE, resource.RLIMIT_AS):
    try: resource.prlimit(1, limit, (0, 0)); found.append(limit)
    except PermissionError: pass
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 200))
found
""", holds=_nothing_found),
    _attack("supervisor pushed aside", 53, """
import os
for call in (lambda: os.setpriority(os.PRIO_PROCESS, 1, 19), lambda: os.sched_setaffinity(1, {0}),
             lambda: os.sched_setscheduler(1, os.SCHED_IDLE, os.sched_param(0))):
    try: call()
    except OSError: pass
while True: pass
""", "timeout", timeout_seconds=0.5),
    _attack("another program in its place", 54, "import os\nos.execl('/bin/echo', 'echo', 'hello')", "exit",
            holds=lambda answer: answer["stdout"] == "hello\n" and answer["error"]["exit_code"] == 0),
    _attack("another program without end", 54, "import os\nos.execl('/bin/sleep', 'sleep', '30')", "timeout",
            timeout_seconds=0.5),
]  # fmt: skip

INPUT = [
    _attack("a zero in the code", 55, "x = 'a\0b'", "syntax_error"),
    _attack("odd line ends and a mark", 55, "\ufeffx = 1\r\ny = 2\rx + y", holds=_result(3)),
    _attack("a foreign encoding named", 55, "# -*- coding: utf-16 -*-\n'é'", holds=_result("é")),
    _attack("only comments", 55, "# nothing", holds=_result(None)),
    _attack("stdin never read", 56, "'done'", stdin="x" * 5_000_000, holds=_result("done")),
    _attack("stdin closed", 56, "import os\nos.close(0)\n'done'", stdin="x" * 1_000_000, holds=_result("done")),
    _attack("no stdin", 56, "input()", "error", holds=_error("EOFError")),
    _attack("code that looks like options", 65, "--version; -c 'x' $(touch /tmp/planted) `id`", "syntax_error"),
    _attack("names that are in the way", 62, """
import os, subprocess, sys
for name in ("sitecustomize.py", "usercustomize.py", "json.py", "supervisor.py"):
    open(name, "w").write("raise SystemExit('planted')")
os.environ["PYTHONPATH"] = "/work"
import json
json.loads("[1]")
""", holds=_result([1])),
]  # fmt: skip

FILES = [
    _attack("links to secrets", 66, """
import os
for number, target in enumerate(("/etc/passwd", "/proc/1/environ", "/proc/self/environ", "/", "/dev/zero")):
    os.symlink(target, f"link{number}")
os.symlink("/etc", "folder")
""", outputs=["**", "folder/*", "link3/etc/*"], holds=lambda answer: answer["files"] == []),
    _attack("links swapped in a race", 67, """
import os, threading
os.mkdir("d"); open("d/f", "w").write("mine")
def swap():
    while True:
        try: os.rename("d", "e"); os.symlink("/etc", "d"); os.unlink("d"); os.rename("e", "d")
        except OSError: pass
threading.Thread(target=swap, daemon=True).start()
if os.fork() == 0: swap()
import time; time.sleep(0.1)
""", outputs=["**"], holds=lambda answer: all(_base64("mine") == file["content_base64"] for file in answer["files"])),
    _attack("everything but files", 68, """
import os, socket
open("real", "w").write("x"); os.link("real", "twin"); os.mkfifo("pipe"); os.mkdir("folder.txt")
socket.socket(socket.AF_UNIX).bind("socket")
""", outputs=["*"], holds=lambda answer: answer["files"] == []),
    _attack("a crowd of files", 69, "for number in range(10_000): open(f'f{number}', 'w').close()", outputs=["*"],
            holds=lambda answer: len(answer["files"]) == 100 and len(answer["truncated"]["files"]) >= 100),
    _attack("a deep hole", 69, """
import os
top = os.open(".", os.O_RDONLY)
for _ in range(2000):
    os.mkdir("d", dir_fd=top); top, old = os.open("d", os.O_RDONLY, dir_fd=top), top; os.close(old)
""", outputs=["**"], holds=lambda answer: answer["files"] == []),
    _attack("one big file", 70, "open('big', 'wb').write(bytes(30 << 20))\nopen('small', 'w').write('x')",
            outputs=["*"], holds=lambda answer: [file["path"] for file in answer["files"]] == ["small"]
            and answer["truncated"]["files"] == ["big"]),
    _attack("odd names", 71, """
for name in (b"\\xff.txt", b"new\\nline.txt", b"-rf.txt", "\\u202egnp.txt".encode(), b"<b>.txt"):
    open(name, "w").write("x")
""", outputs=["*.txt"], holds=lambda answer: len(answer["files"]) == 4),
    _attack("hidden files", 72, "import os\nfor n in ('.h', '__pycache__/x.pyc'):\n"
            " os.makedirs(os.path.dirname(n) or '.', exist_ok=True)\n open(n, 'w').close()",
            outputs=["*"], files=[{"path": "untouched", "content_base64": ""}],
            holds=lambda answer: [file["path"] for file in answer["files"]] == ["untouched"]),
    _attack("a file that grows", 73, """
import os, time
if os.fork() == 0:
    with open("f", "wb", buffering=0) as file:
        while True: file.write(b"x" * 1000)
time.sleep(0.05)
""", outputs=["f"], holds=lambda answer: all(file["size"] <= 10 * MIB for file in answer["files"])),
    _attack("a picture that is a bomb", 75, "open('p.png', 'wb').write(b'\\x89PNG\\r\\n\\x1a\\n' + b'\\xff' * 100)",
            outputs=["*"], holds=lambda answer: answer["files"][0]["size"] == 108),
]  # fmt: skip

SECRETS = [
    _attack("environment", 76, """
import os
text = repr(dict(os.environ)).lower()
[word for word in ("secret", "token", "password", "key", "executor", "gateway", "docker", "http") if word in text]
""", holds=_nothing_found),
    _attack("supervisor read", (77, 88), """
found = {}
for name in ("environ", "mem", "maps", "auxv", "stack", "syscall", "io", "cwd", "root", "exe", "fd/0", "fd/1", "ns/net",
             "pagemap", "smaps", "clear_refs", "oom_score_adj", "fdinfo/1", "task/1/mem", "map_files"):
    for mode in ("rb", "r+b"):
        try: open(f"/proc/1/{name}", mode).close(); found[name] = mode
        except OSError: pass
found.pop("oom_score_adj", None) if found.get("oom_score_adj") == "rb" else None
found
""", holds=_nothing_found),
    _attack("kernel's secrets", 78, """
import os
found = {}
for path in ("/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug", "/proc/sysrq-trigger",
             "/proc/kmsg", "/dev/mem", "/dev/kmsg", "/proc/sys/kernel/core_pattern", "/proc/kallsyms"):
    try:
        with open(path, "r+b" if path.endswith(("trigger", "pattern")) else "rb", buffering=0) as file:
            data = file.read(200)
        if data.strip(b"\\0 ") and not data.startswith(b"0000000000000000"): found[path] = data[:20].hex()
    except OSError: pass
if os.path.isdir("/sys/firmware") and os.listdir("/sys/firmware"): found["/sys/firmware"] = True
found
""", holds=_nothing_found),
    _attack("who and where", 81, """
import os, socket
found = [socket.gethostname()]
for path in ("/etc/machine-id", "/etc/resolv.conf"):
    try: found.append(open(path).read().strip() and path)
    except OSError: pass
[name for name in found if name]
""", holds=lambda answer: set(answer["result"]) <= {"sandbox", "/etc/resolv.conf"}),
    _attack("the engine's sockets", 82, """
import os, stat
found = []
for folder in ("/", "/run", "/var/run", "/tmp", "/work", "/dev", "/var/run/docker"):
    try: names = os.listdir(folder)
    except OSError: continue
    for name in names:
        if name.endswith(".sock") or stat.S_ISSOCK(os.lstat(os.path.join(folder, name)).st_mode): found.append(name)
found
""", holds=_nothing_found),
    _attack("descriptors inherited", (16, 82), """
import os
found = {}
for name in os.listdir("/proc/self/fd"):
    try: found[name] = os.readlink(f"/proc/self/fd/{name}").split(":")[0]
    except OSError: pass
found.pop("3") == "pipe" and sorted(set(found) - {"0", "1", "2"}), {found[n] for n in "012"} <= {"pipe", "/dev/null"}
""", holds=_result([[], True])),
    _attack("privileges", 92, """
import os
lines = dict(line.split(":", 1) for line in open("/proc/self/status"))
names = "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Groups"
{name: lines[name].strip() for name in names} | {"ids": [*os.getresuid(), *os.getresgid()]}
""", holds=lambda answer: answer["result"] == {
        **dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), "0" * 16),
        "NoNewPrivs": "1", "Seccomp": "2", "Groups": answer["result"]["Groups"], "ids": [65534] * 6,
    } and answer["result"]["Groups"] in ("", "65534")),
    _attack("files that raise privileges", 92, """
import os
found = []
for folder, folders, names in os.walk("/"):
    folders[:] = [name for name in folders if os.path.join(folder, name) not in ("/proc", "/sys")]
    for name in names:
        try: mode = os.lstat(os.path.join(folder, name)).st_mode
        except OSError: continue
        if mode & 0o6000: found.append(os.path.join(folder, name))
found
""", holds=_nothing_found),
]  # fmt: skip

KERNEL = [
    _attack("namespaces and mounts", 87, _KERNEL + """
let_through({"unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39),
    "pivot_root": (155, 41), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "fsmount": (432, 432),
    "mount_setattr": (442, 442), "chroot": (161, 51), "clone3": (435, 435)}, 0x10000000, 0, 0, 0, 0)
""", holds=_nothing_found),
    _attack("clone into a namespace", 87, _KERNEL + """
found = {}
for flag in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
    ctypes.set_errno(0)
    child = libc.syscall((56, 220)[column], flag | 17, 0, 0, 0, 0)
    if child == 0: import os; os._exit(0)
    if child != -1: found[hex(flag)] = child
found
""", holds=_nothing_found),
    _attack("other processes", 88, _KERNEL + """
let_through({"ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438), "kcmp": (312, 272), "process_madvise": (440, 440), "move_pages": (279, 239)},
    16, 1, 0, 0, 0, 0)
""", holds=_nothing_found),
    _attack("dangerous calls", (89, 90), _KERNEL + """
let_through({"bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "keyctl": (250, 219),
    "add_key": (248, 217), "request_key": (249, 218), "open_by_handle_at": (304, 265), "name_to_handle_at": (303, 264),
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106), "kexec_load": (246, 104),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "syslog": (103, 116),
    "reboot": (169, 142), "swapon": (167, 224), "acct": (163, 89), "quotactl": (179, 60), "iopl": (172, None),
    "ioperm": (173, None), "fanotify_init": (300, 262), "settimeofday": (164, 170), "sethostname": (170, 161),
    "clock_settime": (227, 112), "adjtimex": (159, 171), "lookup_dcookie": (212, 18), "memfd_secret": (447, 447),
    "modify_ldt": (154, None), "vhangup": (153, 58), "seccomp": (317, 277), "nfsservctl": (180, 42)}, 0, 0, 0, 0, 0, 0)
""", holds=_nothing_found),
    _attack("io_uring", 90, _KERNEL + """
let_through({"io_uring_setup": (425, 425)}, 1, ctypes.create_string_buffer(256))
""", holds=_nothing_found),
    _attack("odd sockets", 91, """
import socket
found = []
for family in range(0, 46):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
        try: socket.socket(family, kind).close()
        except OSError: continue
        found.append((family, int(kind)))
sorted({family for family, kind in found} - {socket.AF_UNIX, socket.AF_INET, socket.AF_INET6}), [
    family for family, kind in found if kind == socket.SOCK_RAW and family != socket.AF_UNIX]
""", holds=_result([[], []])),
    _attack("another user", (92, 93), """
import os
found = []
for call in (lambda: os.setuid(0), lambda: os.setgid(0), lambda: os.setgroups([0]), lambda: os.chown("/work", 0, 0),
             lambda: os.mknod("device", 0o600 | 0o020000, os.makedev(1, 1)), lambda: os.chroot("/tmp"),
             lambda: os.mknod("/tmp/device", 0o600 | 0o060000, os.makedev(8, 0))):
    try: call(); found.append(call.__code__.co_firstlineno)
    except PermissionError: pass
found
""", holds=_nothing_found),
    _attack("kernel settings", (94, 95), """
import glob, os
found = []
paths = ["/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname", "/proc/sysrq-trigger", "/proc/self/uid_map",
         *glob.glob("/sys/fs/cgroup/**/release_agent", recursive=True),
         *glob.glob("/sys/fs/cgroup/**/notify_on_release", recursive=True),
         *glob.glob("/sys/fs/cgroup/**/memory.limit_in_bytes", recursive=True),
         *glob.glob("/sys/fs/cgroup/**/memory.max", recursive=True)]
for path in paths:
    try:
        with open(path, "w") as file: file.write("1")
        found.append(path)
    except OSError: pass
found
""", holds=_nothing_found),
    _attack("the old ways into the kernel", 97, """
import os, platform, subprocess, sys
if platform.machine() != "x86_64": sys.exit()
x32 = "import ctypes; libc = ctypes.CDLL(None); print(libc.syscall(0x40000000 + 39) > 0)"
i386 = '''
import ctypes, mmap
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(bytes.fromhex("b814000000cd80c3"))
call = ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
print(call() > 0)
'''
def works(code): return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "True\\n"
[works(x32), works(i386)]
""", holds=lambda answer: answer["result"] in ([False, False], None)),
    _attack("personality", 97, _KERNEL + """
[value for value in (0x0040000, 0x0008, 0x20000, 0x400000) if libc.personality(value) != -1]
""", holds=_nothing_found),
]  # fmt: skip

NETWORK = [
    _attack("out by address", (98, 99, 100, 101), """
import errno, socket, time
began = time.monotonic()
found = {}
for host, port in (("1.1.1.1", 53), ("169.254.169.254", 80), ("10.0.0.1", 80), ("172.17.0.1", 2375),
                   ("192.168.65.7", 2375), ("100.64.0.1", 80), ("192.168.0.1", 443), ("172.17.0.1", 3600),
                   ("172.18.0.2", 6379)):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as out:
            out.settimeout(1)
            code = out.connect_ex((host, port))
            if code != errno.ENETUNREACH: found[f"{host}:{port}"] = code
for host in ("2606:4700:4700::1111", "fd00:ec2::254", "fe80::1"):
    with socket.socket(socket.AF_INET6) as out:
        out.settimeout(1)
        if out.connect_ex((host, 80)) == 0: found[host] = 0
found, time.monotonic() - began < 1
""", holds=_result([{}, True])),
    _attack("out by name", (98, 100, 103), """
import socket
found = []
for name in ("example.com", "host.docker.internal", "metadata.google.internal", "executor", "gateway"):
    try: found.append(socket.getaddrinfo(name, 80))
    except OSError: pass
found
""", holds=_nothing_found),
    _attack("asked politely", 98, "import urllib.request\nurllib.request.urlopen('http://example.com')", "error",
            holds=lambda answer: "network" in answer["error"].get("hint", "")),
    _attack("devices of its own", (102, 104), """
import os
names = [line.split(":")[0].strip() for line in open("/proc/net/dev") if ":" in line]
routes = open("/proc/net/route").read().strip().splitlines()[1:]
sorted(set(names) - {"lo"}), routes, [l for l in open("/proc/net/unix").read().splitlines()[1:] if "@" in l]
""", holds=_result([[], [], []])),
    _attack("a server of its own", 106, """
import socket
with socket.socket() as server:
    server.bind(("0.0.0.0", 8080)); server.listen()
    with socket.create_connection(("127.0.0.1", 8080)) as client:
        connection, _ = server.accept()
        with connection: connection.sendall(b"loop")
        got = client.recv(4).decode()
got
""", "ok", "error", holds=lambda answer: answer["result"] in ("loop", None)),
]  # fmt: skip

PLANT = """
import builtins, os, random, signal, subprocess, sys, tempfile
for path in ("/work/planted", "/tmp/planted", "/dev/shm/planted"):
    open(path, "w").write("x")
os.environ["PLANTED"] = "1"; os.umask(0); os.chdir("/tmp"); signal.signal(signal.SIGTERM, signal.SIG_IGN)
builtins.planted = sys.modules["planted"] = 1
subprocess.Popen(["sleep", "60"], start_new_session=True)
random.random()
"""
LOOK = """
import builtins, os, signal, sys
paths = "/work/planted", "/tmp/planted", "/dev/shm/planted", "/var/tmp/planted"
found = [path for path in paths if os.path.exists(path)]
found += [name for name in ("PLANTED",) if name in os.environ]
found += [name for name in ("planted",) if hasattr(builtins, name) or name in sys.modules]
found += [] if os.getcwd() == "/work" and os.umask(0o22) == 0o22 else ["cwd or umask"]
found += [] if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL else ["signals"]
found += [name for name in os.listdir("/proc") if name.isdecimal() and int(name) not in (1, os.getpid())]
found
"""
DICE = "import os, random, uuid, hashlib\n[random.random(), uuid.uuid4().hex, hash('x'), os.urandom(8).hex()]"

TENANCY = [
    _attack("things left behind", (83, 107, 108), PLANT),
    _attack("a clean box", (83, 107, 108), LOOK, holds=_nothing_found),
]

ATTACKS = [*RESOURCES, *OUTPUT, *EXITS, *INPUT, *FILES, *SECRETS, *KERNEL, *NETWORK, *TENANCY]
