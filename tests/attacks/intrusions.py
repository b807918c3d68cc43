"""Programs that leave traps in their files, or look for what is not theirs."""

from tests.attacks.attack import MIB, attack, in_base64, nothing_found, result

FILES = [
    attack("links to secrets", 66, """
import os
for number, target in enumerate(("/etc/passwd", "/proc/1/environ", "/proc/self/environ", "/", "/dev/zero")):
    os.symlink(target, f"link{number}")
os.symlink("/etc", "folder")
""", outputs=["**", "folder/*", "link3/etc/*"], holds=lambda answer: answer["files"] == []),
    attack("links swapped in a race", 67, """
import os, threading
os.mkdir("d"); open("d/f", "w").write("mine")
def swap():
    while True:
        try: os.rename("d", "e"); os.symlink("/etc", "d"); os.unlink("d"); os.rename("e", "d")
        except OSError: pass
threading.Thread(target=swap, daemon=True).start()
if os.fork() == 0: swap()
import time; time.sleep(0.1)
""", outputs=["**"], holds=lambda answer: all(in_base64("mine") == file["content_base64"] for file in answer["files"])),
    attack("everything but files", 68, """
import os, socket
open("real", "w").write("x"); os.link("real", "twin"); os.mkfifo("pipe"); os.mkdir("folder.txt")
for path in ("/etc/passwd", "/proc/self/environ"):
    try: os.link(path, "twin")
    except OSError: pass
socket.socket(socket.AF_UNIX).bind("socket")
""", outputs=["*"], holds=lambda answer: answer["files"] == []),
    attack("a crowd of files", 69, "for number in range(10_000): open(f'f{number}', 'w').close()", outputs=["*"],
            holds=lambda answer: len(answer["files"]) == 100 and len(answer["truncated"]["files"]) >= 100),
    attack("a deep hole", 69, """
import os
top = os.open(".", os.O_RDONLY)
for _ in range(2000):
    os.mkdir("d", dir_fd=top); top, old = os.open("d", os.O_RDONLY, dir_fd=top), top; os.close(old)
""", outputs=["**"], holds=lambda answer: answer["files"] == []),
    attack("one big file", 70, "open('big', 'wb').write(bytes(30 << 20))\nopen('small', 'w').write('x')",
            outputs=["*"], holds=lambda answer: [file["path"] for file in answer["files"]] == ["small"]
            and answer["truncated"]["files"] == ["big"]),
    attack("odd names", 71, """
for name in (b"\\xff.txt", b"new\\nline.txt", b"-rf.txt", "\\u202egnp.txt".encode(), b"<b>.txt"):
    open(name, "w").write("x")
""", outputs=["*.txt"], holds=lambda answer: len(answer["files"]) == 4),
    attack("hidden files", 72, "import os\nfor n in ('.h', '__pycache__/x.pyc'):\n"
            " os.makedirs(os.path.dirname(n) or '.', exist_ok=True)\n open(n, 'w').close()",
            outputs=["*"], files=[{"path": "untouched", "content_base64": ""}],
            holds=lambda answer: [file["path"] for file in answer["files"]] == ["untouched"]),
    attack("a file that grows", 73, """
import os, time
if os.fork() == 0:
    with open("f", "wb", buffering=0) as file:
        while True: file.write(b"x" * 1000)
time.sleep(0.05)
""", outputs=["f"], holds=lambda answer: all(file["size"] <= 10 * MIB for file in answer["files"])),
    attack("a picture that is a bomb", 75, "open('p.png', 'wb').write(b'\\x89PNG\\r\\n\\x1a\\n' + b'\\xff' * 100)",
            outputs=["*"], holds=lambda answer: answer["files"][0]["size"] == 108),
]  # fmt: skip

SECRETS = [
    attack("environment", 76, """
import os
text = repr(dict(os.environ)).lower()
[word for word in ("secret", "token", "password", "key", "executor", "gateway", "docker", "http") if word in text]
""", holds=nothing_found),
    attack("supervisor read", (77, 88), """
found = {}
for name in ("environ", "mem", "maps", "auxv", "stack", "syscall", "io", "cwd", "root", "exe", "fd/0", "fd/1", "ns/net",
             "pagemap", "smaps", "clear_refs", "oom_score_adj", "fdinfo/1", "task/1/mem", "map_files"):
    for mode in ("rb", "r+b"):
        try: open(f"/proc/1/{name}", mode).close(); found[name] = mode
        except OSError: pass
found.pop("oom_score_adj", None) if found.get("oom_score_adj") == "rb" else None
found
""", holds=nothing_found),
    attack("kernel's secrets", 78, """
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
""", holds=nothing_found),
    attack("who and where", 81, """
import os, socket
found = [socket.gethostname()]
for path in ("/etc/machine-id", "/etc/resolv.conf"):
    try: found.append(open(path).read().strip() and path)
    except OSError: pass
[name for name in found if name]
""", holds=lambda answer: set(answer["result"]) <= {"sandbox", "/etc/resolv.conf"}),
    attack("the engine's sockets", 82, """
import os, stat
found = []
for folder in ("/", "/run", "/var/run", "/tmp", "/work", "/dev", "/var/run/docker"):
    try: names = os.listdir(folder)
    except OSError: continue
    for name in names:
        if name.endswith(".sock") or stat.S_ISSOCK(os.lstat(os.path.join(folder, name)).st_mode): found.append(name)
found
""", holds=nothing_found),
    attack("descriptors inherited", (16, 82), """
import os
found = {}
for name in os.listdir("/proc/self/fd"):
    try: found[name] = os.readlink(f"/proc/self/fd/{name}").split(":")[0]
    except OSError: pass
found.pop("3") == "pipe" and sorted(set(found) - {"0", "1", "2"}), {found[n] for n in "012"} <= {"pipe", "/dev/null"}
""", holds=result([[], True])),
    attack("privileges", 92, """
import os
lines = dict(line.split(":", 1) for line in open("/proc/self/status"))
names = "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Groups"
{name: lines[name].strip() for name in names} | {"ids": [*os.getresuid(), *os.getresgid()]}
""", holds=lambda answer: answer["result"] == {
        **dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), "0" * 16),
        "NoNewPrivs": "1", "Seccomp": "2", "Groups": answer["result"]["Groups"], "ids": [65534] * 6,
    } and answer["result"]["Groups"] in ("", "65534")),
    attack("files that raise privileges", 92, """
import os
found = []
for folder, folders, names in os.walk("/"):
    folders[:] = [name for name in folders if os.path.join(folder, name) not in ("/proc", "/sys")]
    for name in names:
        try: mode = os.lstat(os.path.join(folder, name)).st_mode
        except OSError: continue
        if mode & 0o6000: found.append(os.path.join(folder, name))
found
""", holds=nothing_found),
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
    attack("things left behind", (83, 107, 108), PLANT),
    attack("a clean box", (83, 107, 108), LOOK, holds=nothing_found),
]
