"""Programs that reach for the kernel and the network."""

from tests.attacks.attack import attack, nothing_found, result

# Asks the kernel by number, since libc has no name for much of this; numbers of x86-64 and arm64.
KERNEL_PRELUDE = """
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

KERNEL = [
    attack("namespaces and mounts", 87, KERNEL_PRELUDE + """
let_through({"unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39),
    "pivot_root": (155, 41), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "fsmount": (432, 432),
    "mount_setattr": (442, 442), "chroot": (161, 51), "clone3": (435, 435)}, 0x10000000, 0, 0, 0, 0)
""", holds=nothing_found),
    attack("clone into a namespace", 87, KERNEL_PRELUDE + """
found = {}
for flag in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
    ctypes.set_errno(0)
    child = libc.syscall((56, 220)[column], flag | 17, 0, 0, 0, 0)
    if child == 0: import os; os._exit(0)
    if child != -1: found[hex(flag)] = child
found
""", holds=nothing_found),
    attack("other processes", 88, KERNEL_PRELUDE + """
let_through({"ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438), "kcmp": (312, 272), "process_madvise": (440, 440), "move_pages": (279, 239)},
    16, 1, 0, 0, 0, 0)
""", holds=nothing_found),
    attack("dangerous calls", (89, 90), KERNEL_PRELUDE + """
let_through({"bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "keyctl": (250, 219),
    "add_key": (248, 217), "request_key": (249, 218), "open_by_handle_at": (304, 265), "name_to_handle_at": (303, 264),
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106), "kexec_load": (246, 104),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "syslog": (103, 116),
    "reboot": (169, 142), "swapon": (167, 224), "acct": (163, 89), "quotactl": (179, 60), "iopl": (172, None),
    "ioperm": (173, None), "fanotify_init": (300, 262), "settimeofday": (164, 170), "sethostname": (170, 161),
    "clock_settime": (227, 112), "adjtimex": (159, 171), "lookup_dcookie": (212, 18), "memfd_secret": (447, 447),
    "modify_ldt": (154, None), "vhangup": (153, 58), "seccomp": (317, 277), "nfsservctl": (180, 42)}, 0, 0, 0, 0, 0, 0)
""", holds=nothing_found),
    attack("io_uring", 90, KERNEL_PRELUDE + """
let_through({"io_uring_setup": (425, 425)}, 1, ctypes.create_string_buffer(256))
""", holds=nothing_found),
    attack("odd sockets", 91, """
import socket
found = []
for family in range(0, 46):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
        try: socket.socket(family, kind).close()
        except OSError: continue
        found.append((family, int(kind)))
sorted({family for family, kind in found} - {socket.AF_UNIX, socket.AF_INET, socket.AF_INET6}), [
    family for family, kind in found if kind == socket.SOCK_RAW and family != socket.AF_UNIX]
""", holds=result([[], []])),
    attack("another user", (92, 93), """
import os
found = []
for call in (lambda: os.setuid(0), lambda: os.setgid(0), lambda: os.setgroups([0]), lambda: os.chown("/work", 0, 0),
             lambda: os.mknod("device", 0o600 | 0o020000, os.makedev(1, 1)), lambda: os.chroot("/tmp"),
             lambda: os.mknod("/tmp/device", 0o600 | 0o060000, os.makedev(8, 0))):
    try: call(); found.append(call.__code__.co_firstlineno)
    except PermissionError: pass
found
""", holds=nothing_found),
    attack("kernel settings", (94, 95), """
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
""", holds=nothing_found),
    attack("the old ways into the kernel", 97, """
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
    attack("personality", 97, KERNEL_PRELUDE + """
[value for value in (0x0040000, 0x0008, 0x20000, 0x400000) if libc.personality(value) != -1]
""", holds=nothing_found),
]  # fmt: skip

NETWORK = [
    attack("out by address", (98, 99, 100, 101), """
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
found, time.monotonic() - began < 5
""", holds=result([{}, True])),
    attack("out by name", (98, 100, 103), """
import socket
found = []
for name in ("example.com", "host.docker.internal", "metadata.google.internal", "executor", "gateway"):
    try: found.append(socket.getaddrinfo(name, 80))
    except OSError: pass
found
""", holds=nothing_found),
    attack("asked politely", 98, "import urllib.request\nurllib.request.urlopen('http://example.com')", "error",
            holds=lambda answer: "network" in answer["error"].get("hint", "")),
    attack("devices of its own", (102, 104), """
import os
names = [line.split(":")[0].strip() for line in open("/proc/net/dev") if ":" in line]
routes = open("/proc/net/route").read().strip().splitlines()[1:]
sorted(set(names) - {"lo"}), routes, [l for l in open("/proc/net/unix").read().splitlines()[1:] if "@" in l]
""", holds=result([[], [], []])),
    attack("a server of its own", 106, """
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
