"""One process of the user's: made ready, the program run in it, its end handed over.

What it hands over goes through a pipe of its own (`RESULT`), as frames: D for each display, then V, the end. The
supervisor takes them for no more than the user's own word.
"""

from __future__ import annotations

import _io
import atexit
import gc
import io
import math
import os
import stat
import struct
import sys
from _thread import get_ident
from types import ModuleType

from executor.runtime import program as programs
from executor.runtime.arguments import NO_INPUT, BadInput
from executor.runtime.failures import SOURCE, describe, limit_hit, message_of, print_exception
from executor.runtime.processes import RESULT, WORKDIR
from executor.runtime.program import BadSource, Program
from executor.runtime.results import BUILTINS, display_when_shown, encode_repr, encode_result, send_displays, write_json

TYPE_CHECKING = False  # for types only: see `executor.runtime`
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any, NoReturn

    from _typeshed import ReadableBuffer

    from executor.runtime.processes import Mark

globals()["__builtins__"] = BUILTINS

_write, _getpid, _exit, _open, _dup2, _close = os.write, os.getpid, os._exit, os.open, os.dup2, os.close
_run_exit_handlers = atexit._run_exitfuncs
_set_trace, _set_profile, _set_recursion_limit = sys.settrace, sys.setprofile, sys.setrecursionlimit
_collect, _tracked_objects, _frames_of_threads = gc.collect, gc.get_objects, sys._current_frames
_modules, _path, _get_thread = sys.modules, sys.path, get_ident
_AnyFile, _write_once = _io._IOBase, io.FileIO.write
_status_of, _file_type, _REGULAR = os.fstat, stat.S_IFMT, stat.S_IFREG
_HEAD = struct.Struct(">cI")
_DEPTH = sys.getrecursionlimit()
_hidden: list[ModuleType] = []


def hand_over(kind: bytes, payload: bytes) -> None:
    """Write one frame to the supervisor; if the program has closed the way, nothing can be handed over."""
    data = memoryview(_HEAD.pack(kind, len(payload)) + payload)
    try:
        while data:
            data = data[_write(RESULT, data) :]
    except OSError:
        return


def prepare(cpus: float) -> None:
    """Make this process look like a fresh interpreter that runs the user's file, on so many CPUs.

    Done before the fork, so that it is in memory once; what only a child may do is left to `enter`.
    """
    sys.stdin = sys.__stdin__ = open_stdin()  # type: ignore[misc] # typeshed calls the original final
    sys.stdout = sys.__stdout__ = _open_text(1)  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _open_text(2)  # type: ignore[misc]
    sys.argv = [SOURCE]
    sys.dont_write_bytecode = True  # the variable of the environment comes too late for this process
    set_cpu_count(cpus)


def own_modules() -> list[str]:
    """Name our own modules, for `enter`. Before the fork as well: to look at a name is to write to its memory."""
    return [name for name in sys.modules if name == "executor" or name.startswith("executor.")]


def enter(ours: list[str]) -> None:
    """Import our own modules no more."""
    # They are kept, where the user's code does not find them: to free them would be to write all over their memory.
    _hidden.extend(sys.modules.pop(name) for name in ours)


def set_cpu_count(cpus: float) -> None:
    """Have Python count the CPUs that may be used, not those of the host."""
    count = max(1, math.ceil(cpus))
    os.cpu_count = lambda: count
    if hasattr(os, "process_cpu_count"):
        os.process_cpu_count = os.cpu_count


class _Unbuffered(io.FileIO):
    """A descriptor to which all is written, also if a signal comes in between."""

    def write(self, data: ReadableBuffer, /) -> int:
        written = _write_once(self, data)
        if type(data) is bytes and written == len(data):
            return written
        rest = memoryview(data).cast("B")[written:]
        while rest and written is not None:  # None: it would block, on a descriptor that the program made so
            more = _write_once(self, rest)
            if more is None:
                break
            written += more
            rest = rest[more:]
        return written


def open_stdin() -> io.TextIOWrapper:
    """Open descriptor 0 as Python does."""
    raw = io.FileIO(0, closefd=False)
    return _named(io.TextIOWrapper(io.BufferedReader(raw), "utf-8", "surrogateescape"), raw, "<stdin>", "r")


def _open_text(descriptor: int) -> io.TextIOWrapper:
    # Unbuffered, as `python -u`: what is printed is outside at once, and is not lost when the process is killed.
    raw = _Unbuffered(descriptor, "w", closefd=False)
    errors = "surrogateescape" if descriptor == 1 else "backslashreplace"
    stream = io.TextIOWrapper(raw, "utf-8", errors, write_through=True)
    return _named(stream, raw, "<stdout>" if descriptor == 1 else "<stderr>", "w")


def _named(stream: io.TextIOWrapper, raw: io.FileIO, name: str, mode: str) -> io.TextIOWrapper:
    """Name a stream and its mode as Python does."""
    raw.name = name
    stream.mode = mode  # type: ignore[misc] # typeshed has it read-only
    return stream


def refuse_stdin() -> None:
    """Read nothing from here on: the input goes to a function, not to stdin."""
    nothing = _open(os.devnull, os.O_RDONLY)
    _dup2(nothing, 0)
    _close(nothing)


class Session:
    """The run of one program in this process: whole, or one input of a batch."""

    def __init__(self, job: Mapping[str, Any], begun: Mark | None = None) -> None:
        self.job = job
        self.begun = begun
        self.limits = job["limits"]
        self.program: Program | None = None
        self.namespace: dict[str, Any] = {}
        self.left = False  # whether the code ended itself with sys.exit
        self.speaker: tuple[int, int] | None = None  # the process and thread whose figures are displayed when shown

    def run(self) -> NoReturn:
        """Compile, run, and end this process."""
        self.speak()
        self.finish(self.attempt(self.whole))

    def whole(self) -> Any:
        """Compile the code and run it; gives its value."""
        self.compile()
        value = self.job.get("input", NO_INPUT)
        if not self.is_called(value):
            return self.after_script(value, programs.load(self.code, self.namespace))
        if "input" in self.job and not self.job.get("stdin"):
            refuse_stdin()
        programs.load(self.code, self.namespace)
        return self.call(value)

    def speak(self) -> None:
        """Hand over displays from this process and thread alone: what others wrote would be mixed with it."""
        self.speaker = _getpid(), _get_thread()

    def _speaks(self) -> bool:
        return self.speaker == (_getpid(), _get_thread())

    def after_script(self, value: Any, result: Any) -> Any:
        """Give the value of a script that has run, or what a `main` gives that it has imported by the way."""
        if value is NO_INPUT or not programs.finds_main(self.code, self.namespace):
            return result
        return self.call(value)

    @property
    def code(self) -> Program:
        """The program, compiled."""
        assert self.program is not None
        return self.program

    def compile(self) -> None:
        """Compile the code, and give it a module to run in.

        Until then nothing of the user's can run, a module in the working directory neither: it is marked when it can.
        """
        self.program = programs.compile_program(self.job["code"])
        self.namespace = programs.make_main(self.program).__dict__
        display_when_shown(_send_display, self._speaks)
        if self.begun is not None:
            _path[0] = WORKDIR
            self.begun.set()

    def is_called(self, value: Any) -> bool:
        """Whether a function is called, and not just a script run."""
        return bool(self.job.get("entrypoint")) or (value is not NO_INPUT and bool(self.code.functions))

    def call(self, value: Any) -> Any:
        """Call the entry function."""
        return programs.call(self.code, self.namespace, self.job.get("entrypoint"), value)

    def attempt(self, step: Callable[[], Any]) -> tuple[dict[str, Any], Any]:
        """Do a step of the user's; give how it ended, and its value."""
        process = _getpid()
        value = None
        failure: BaseException | None = None
        try:
            value = step()
        except BaseException as error:
            failure = error
        _set_trace(None)
        _set_profile(None)
        _set_recursion_limit(max(_DEPTH, sys.getrecursionlimit()))
        if _getpid() != process:
            self._leave_copy(failure)
        return self._describe_end(failure), value

    def _describe_end(self, error: BaseException | None) -> dict[str, Any]:
        lines = self.program.lines if self.program is not None else programs.read_lines(self.job["code"])
        if error is None:
            return {"status": "ok", "exit_code": 0, "error": None}
        if isinstance(error, BadSource):
            cause = error.__cause__ or error
            return {"status": "syntax_error", "exit_code": 1, "error": describe(cause, lines)}
        if isinstance(error, BadInput):
            found = {"type": "bad_input", "message": message_of(error), "line": None, "traceback": ""}
            return {"status": "bad_input", "exit_code": 1, "error": found}
        if isinstance(error, SystemExit):
            self.left = True
            return _describe_exit(error, lines)
        if sys.excepthook is not sys.__excepthook__:
            print_exception(error)
        limit = limit_hit(error)  # before the frames that are not the user's are cut off
        return {"status": "error", "exit_code": 1, "error": describe(error, lines), "limit": limit}

    def finish(self, ended: tuple[dict[str, Any], Any]) -> NoReturn:
        """Hand over the value, let threads and exit handlers end, hand over the end, and leave."""
        end, value = ended
        if end["status"] in ("ok", "error", "exit"):
            send_displays(value, _send_display)
        text = self.encode(end, value)
        value = ended = None  # type: ignore[assignment] # so that finalisers run
        self._wind_down()
        hand_over(b"V", text)
        _exit(end["exit_code"])

    def encode(self, end: dict[str, Any], value: Any) -> bytes:
        """Write the end, with the value in it, as the payload of a V frame."""
        result, truncated, text = None, False, None
        if value is not None:
            result, truncated = encode_result(value, self.limits["result_bytes"])
            text = encode_repr(value, self.limits["repr_bytes"])
        told = end | {"result_truncated": truncated, "result_repr": text, "show_result": value is not None}
        return f'{write_json(told)[:-1]},"result":{result or "null"}}}'.encode()

    def _leave_copy(self, error: BaseException | None) -> NoReturn:
        """End a process that the user's code forked, and that came to the end of the code: as Python does."""
        code = 0
        if isinstance(error, SystemExit):
            code = exit_code(error)
        elif error is not None:
            print_exception(error)
            code = 1
        self._wind_down()
        _exit(code)

    def _wind_down(self) -> None:
        for step in (_join_threads, _run_exit_handlers, _flush_files, self._clear, _collect, _flush, _close_files):
            try:
                step()
            except BaseException as error:
                print_exception(error)

    def _clear(self) -> None:
        # A daemon thread goes on with what it was doing until the process ends.
        if not _other_threads():
            self.namespace.clear()


def _describe_exit(error: SystemExit, lines: list[str]) -> dict[str, Any]:
    code = exit_code(error)
    if code == 0 and error.code in (None, 0):
        return {"status": "ok", "exit_code": 0, "error": None}
    found = describe(error, lines) | {"type": "SystemExit", "exit_code": code}
    return {"status": "exit", "exit_code": code, "error": found}


def exit_code(error: SystemExit) -> int:
    """Give the exit status as Python does; a text goes to stderr."""
    code = error.code
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF if -(2**63) <= code < 2**63 else 0xFF
    try:
        print(code, file=sys.stderr)
    except BaseException:
        return 1
    return 1


def _send_display(mime: str, data: str) -> None:
    hand_over(b"D", write_json({"mime": mime, "data": data}).encode())


def _join_threads() -> None:
    # As Python does at its end: without this module there are no threads to wait for.
    threading = _modules.get("threading")
    if threading is not None:
        threading._shutdown()


def _other_threads() -> bool:
    return "threading" in _modules and len(_frames_of_threads()) > 1


def _flush_files() -> None:
    """Write out what open files hold back: one that outlives the namespace would lose it.

    What is not a regular file is left to itself while another thread lives, which may hold its lock for ever.
    """
    only_regular = _other_threads()
    for file in _files():
        try:
            if not file.closed and (not only_regular or _is_regular(file.fileno())):
                file.flush()
        except BaseException:
            continue


def _close_files() -> None:
    """Close what writes an end of its own, as a compressed file does, and is still held by something."""
    if _other_threads():
        return
    for file in _files():
        if type(file).__module__ != "_io":  # Python's own are flushed by now
            try:
                file.close()
            except BaseException:
                continue


def _files() -> Iterator[Any]:
    # Not `isinstance`: that would ask the user's objects.
    return (thing for thing in _tracked_objects() if issubclass(type(thing), _AnyFile))


def _is_regular(descriptor: int) -> bool:
    return _file_type(_status_of(descriptor).st_mode) == _REGULAR


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
