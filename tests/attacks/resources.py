"""Programs that take all there is: time, memory, processes, disk."""

from tests.attacks.attack import attack, error, nothing_found, result

RESOURCES = [
    attack("busy loop", 1, "print('on')\nwhile True: pass", "timeout", timeout_seconds=1.5,
            holds=lambda answer: answer["stdout"] == "on\n"),
    attack("long sleep", 2, "import time; time.sleep(60)", "timeout", timeout_seconds=0.3,
            holds=lambda answer: answer["usage"]["cpu_ms"] < 250),
    attack("signals ignored", 3, """
import signal
for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, signal.SIG_IGN)
while True: pass
""", "timeout", timeout_seconds=0.5),
    attack("memory eaten", 4, "print('on', flush=True)\nx = []\nwhile True: x.append('y' * 1_000_000 + str(len(x)))",
            "out_of_memory", holds=lambda answer: answer["stdout"] == "on\n" and "256" in answer["error"]["message"]),
    attack("child eats memory", 5, """
import subprocess, sys
subprocess.run([sys.executable, "-c", "x = b'1' * (1 << 30)"]).returncode
""", holds=result(-9)),
    attack("memory over many children", 6, """
import multiprocessing, os
def eat(): x = bytearray(os.urandom(1 << 20)) * 100
children = [multiprocessing.Process(target=eat) for _ in range(8)]
for child in children: child.start()
for child in children: child.join()
any(child.exitcode == -9 for child in children)
""", "ok", "out_of_memory", holds=lambda answer: answer["result"] is not False),
    attack("tmpfs filled", (7, 14), """
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
""", holds=result(["ENOSPC"])),
    attack("many small files", 14, """
import errno, itertools
try:
    for number in itertools.count(): open(f"f{number}", "w").close()
except OSError as error:
    failed = errno.errorcode[error.errno]
failed
""", holds=result("ENOSPC")),
    attack("shared memory filled", 8, """
from multiprocessing import shared_memory
block = shared_memory.SharedMemory(create=True, size=200 << 20)
for at in range(0, 200 << 20, 4096): block.buf[at] = 1
""", "signal", "error"),
    attack("a tebibyte mapped", 9, "import mmap\nmmap.mmap(-1, 1 << 50)", "error", "out_of_memory"),
    attack("a huge array", 9, "import numpy\nnumpy.ones(1 << 45)", "out_of_memory", image="data"),
    attack("fork bomb", 11, "import os\nwhile True: os.fork()", "process_limit", "timeout", timeout_seconds=2),
    attack("patient fork bomb", 11, """
import os
while True:
    try: os.fork()
    except OSError: pass
""", "timeout", timeout_seconds=0.5),
    attack("fork bomb left behind", (11, 50), """
import os, time
if os.fork() == 0:
    os.setsid()
    while True:
        try: os.fork()
        except OSError: pass
time.sleep(0.2)
"done"
""", holds=result("done")),
    attack("thread bomb", 12, """
import threading, time
try:
    while True: threading.Thread(target=time.sleep, args=(30,), daemon=True).start()
except RuntimeError as error:
    print(error)
""", holds=lambda answer: "can't start new thread" in answer["stdout"]),
    attack("honest pool", 13, """
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
with multiprocessing.Pool(4) as pool: a = pool.map(abs, range(-5, 0))
with ThreadPoolExecutor(8) as pool: b = list(pool.map(abs, range(-5, 0)))
with ProcessPoolExecutor(2) as pool: c = list(pool.map(abs, range(-5, 0)))
a == b == c == [5, 4, 3, 2, 1]
""", holds=result(True)),
    attack("sparse petabyte", 15, """
import errno, os
fd = os.open("big", os.O_CREAT | os.O_RDWR)
found = []
for call in (os.ftruncate, lambda fd, size: os.posix_fallocate(fd, 0, size)):
    try: call(fd, 1 << 50)
    except OSError as error: found.append(errno.errorcode[error.errno])
found
""", outputs=["*"], holds=lambda answer: answer["result"] == ["EFBIG", "EFBIG"]),
    attack("descriptors used up", 16, """
import errno, os
held = []
try:
    while True: held.append(os.open("/dev/null", os.O_RDONLY))
except OSError as error:
    found = errno.errorcode[error.errno]
found, len(held) > 200
""", holds=result(["EMFILE", True])),
    attack("system written to", (17, 107), """
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
""", holds=nothing_found),
    attack("endless recursion", 18, "def f(): f()\nf()", "error", holds=error("RecursionError")),
    attack("stack overrun", 18, """
import sys, ctypes
sys.setrecursionlimit(10**9)
class Deep:
    def __getattr__(self, name): return getattr(self, name + "x")
for _ in range(3):
    try: repr(Deep().a)
    except RecursionError: pass
ctypes.string_at(0)
""", "signal", "error", timeout_seconds=20),
    attack("core dump", 19, "import os, resource\nprint(resource.getrlimit(resource.RLIMIT_CORE))\nos.abort()",
            "signal", outputs=["*", ".*"],
            holds=lambda answer: answer["stdout"] == "(0, 0)\n" and answer["files"] == []),
    attack("arithmetic without end", 20, "str(10 ** 10 ** 8)", "timeout", "error", "out_of_memory",
            timeout_seconds=0.5),
    attack("pattern without end", 20, "import re; re.match('(a*)*b', 'a' * 40)", "timeout", timeout_seconds=0.5),
    attack("nested source", 22, "(" * 100_000 + ")" * 100_000, "syntax_error", "signal"),
    attack("deep source", 22, "x = " + "-" * 100_000 + "1", "ok", "syntax_error", "signal", "error"),
    attack("long source", 22, "x = 0\n" + "x += 1\n" * 100_000 + "x", holds=result(100_000)),
]  # fmt: skip
