"""An exception as data: type, message, line, a traceback of the user's own code, and a hint where one is known.

Runs in the user's process; nothing here raises, whatever the exception does.
"""

from __future__ import annotations

import errno
import linecache
import sys
import traceback
from types import TracebackType

from executor.runtime.processes import WORKDIR
from executor.runtime.results import BUILTINS, cut

TYPE_CHECKING = False  # for types only: see `executor.runtime`
if TYPE_CHECKING:
    from typing import Any

globals()["__builtins__"] = BUILTINS

SOURCE = "<code>"
MAX_MESSAGE = 10_000
MAX_TRACEBACK = 64 * 1024
_FIRST, _LAST = 30, 70
_CHAIN = 20
_NO_NETWORK = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL)
_TracebackException = traceback.TracebackException
_format = traceback.TracebackException.format
_OSError, _MemoryError = OSError, MemoryError


def _raise() -> None:
    raise MemoryError


_RAISE = _raise.__code__.co_code[-2]  # RAISE_VARARGS, which has another number in each Python


def describe(error: BaseException, source: list[str]) -> dict[str, Any]:
    """Give the error object of API.md 4.1 for an exception. `source` are the lines of the code."""
    found: dict[str, Any] = {"type": type_name(error), "message": message_of(error), "line": line_of(error)}
    found["traceback"] = _format_user_code(error, source)
    if isinstance(error, ModuleNotFoundError) and isinstance(error.name, str):
        found["module"] = error.name.partition(".")[0][:200]
    hint = _hint(error)
    if hint:
        found["hint"] = hint
    return found


def type_name(error: BaseException) -> str:
    """Name an exception's class."""
    try:
        return str.__str__(type.__getattribute__(type(error), "__name__"))[:200]
    except BaseException:
        return "Exception"


def message_of(error: BaseException) -> str:
    """Give the exception's text, bounded."""
    try:
        return cut(str.__str__(str(error)), MAX_MESSAGE)
    except BaseException:
        return "<the exception's text cannot be shown>"


def line_of(error: BaseException) -> int | None:
    """Give the last line of the user's code that the exception passed, or where the syntax is wrong."""
    line: int | None = None
    step = error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == SOURCE:
            line = step.tb_lineno
        step = step.tb_next
    if line is None and isinstance(error, SyntaxError):
        return error.lineno if isinstance(error.lineno, int) else None
    return line


def limit_hit(error: BaseException) -> str | None:
    """Name the limit that an exception stands for, if it does: the supervisor checks that against its counters."""
    if isinstance(error, _MemoryError):
        return None if _is_raised_by_code(error) else "out_of_memory"
    if isinstance(error, _OSError) and error.errno == errno.EAGAIN:
        return "process_limit"
    if isinstance(error, RuntimeError) and message_of(error).startswith("can't start new thread"):
        return "process_limit"
    if type_name(error) == "BrokenProcessPool":
        return "out_of_memory?"
    if type_name(error) == "CalledProcessError" and getattr(error, "returncode", None) == -9:
        return "out_of_memory?"
    return None


def _is_raised_by_code(error: BaseException) -> bool:
    """Whether an exception comes from a `raise` of the user's, and not from Python itself or another process."""
    step = error.__traceback__
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    if step is None:
        return False
    code = step.tb_frame.f_code
    return is_user_code(code.co_filename) and code.co_code[step.tb_lasti] == _RAISE


def is_user_code(filename: str) -> bool:
    """Whether a file is the user's: the code itself, or a module laid into the working directory."""
    return filename == SOURCE or filename.startswith(f"{WORKDIR}/")


def _format_user_code(error: BaseException, source: list[str]) -> str:
    try:
        linecache.cache[SOURCE] = (sum(map(len, source)), None, source, SOURCE)
        _prune_chain(error)
        lines = _format(_TracebackException(type(error), error, error.__traceback__, compact=True))
        text = "".join(lines)
    except BaseException:
        text = f"{type_name(error)}: {message_of(error)}\n"
    if len(text) > MAX_TRACEBACK:
        text = text[: MAX_TRACEBACK // 2] + "\n[…]\n" + text[-MAX_TRACEBACK // 2 :]
    return text


def _prune_chain(error: BaseException) -> None:
    """Leave only the user's frames in an exception and in those it came from; cut a chain that is too long."""
    waiting: list[tuple[BaseException, int]] = [(error, 0)]
    seen: set[int] = set()
    while waiting:
        current, depth = waiting.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        BaseException.with_traceback(current, _prune(current.__traceback__))
        if depth >= _CHAIN:
            current.__cause__ = current.__context__ = None
            continue
        origins = (current.__cause__, current.__context__)
        waiting.extend((origin, depth + 1) for origin in origins if origin is not None)
        if isinstance(current, BaseExceptionGroup):
            waiting.extend((member, depth + 1) for member in current.exceptions[:_CHAIN])


def _prune(tb: TracebackType | None) -> TracebackType | None:
    steps = []
    while tb is not None:
        if is_user_code(tb.tb_frame.f_code.co_filename):
            steps.append(tb)
        tb = tb.tb_next
    if len(steps) > _FIRST + _LAST:
        steps = steps[:_FIRST] + steps[-_LAST:]
    pruned: TracebackType | None = None
    for step in reversed(steps):
        pruned = TracebackType(pruned, step.tb_frame, step.tb_lasti, step.tb_lineno)
    return pruned


def _hint(error: BaseException) -> str | None:
    if isinstance(error, ModuleNotFoundError) and isinstance(error.name, str):
        return f"The module {error.name[:200]!r} is not installed in this sandbox, and nothing can be installed in it."
    if isinstance(error, EOFError):
        return "The code asked for more input than it was given; `stdin` holds what it reads."
    if isinstance(error, _MemoryError):
        return "`memory_mb` sets how much memory the code may use."
    if isinstance(error, _OSError):
        return _hint_for_system(error)
    return None


def _hint_for_system(error: OSError) -> str | None:
    if error.errno in _NO_NETWORK or type_name(error) in ("gaierror", "URLError", "ConnectError", "ConnectionError"):
        return "The sandbox has no network."
    if error.errno in (errno.EROFS, errno.EACCES):
        return f"Only the working directory {WORKDIR} and /tmp can be written."
    if error.errno == errno.ENOSPC:
        return "The working directory and /tmp are limited in size (WORKDIR_MB, TMP_MB) and in number of files."
    if error.errno == errno.EFBIG:
        return "A file may not grow beyond the policy's MAX_FILE_MB."
    if error.errno == errno.EMFILE:
        return "No more files can be open at a time than the policy's MAX_OPEN_FILES."
    return None


def print_exception(error: BaseException) -> None:
    """Show an exception as Python does, through the user's own `sys.excepthook`, without the frames that are ours."""
    try:
        _prune_chain(error)
        sys.excepthook(type(error), error, error.__traceback__)
    except BaseException:
        return
