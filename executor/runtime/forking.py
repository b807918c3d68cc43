"""A fork whose copy is no child of the process that is copied, but its sibling: clone(2) with CLONE_PARENT.

Half the work of forking twice, which is how it is done otherwise. The C library's own fork is left out by it, and so
what C code has asked to be called then (pthread_atfork(3)); that is there for threads, which are therefore not allowed.
Python's own steps are taken as its C API says (PyOS_BeforeFork and what belongs to it).
"""

from __future__ import annotations

import _ctypes
import os

from executor.runtime import signals

_CLONE_PARENT = 0x8000  # <linux/sched.h>
_NUMBERS = {"x86_64": 56, "aarch64": 220}  # of clone: <asm/unistd.h>
_number = _NUMBERS.get(os.uname().machine)


class _Long(_ctypes._SimpleCData):  # type: ignore[type-arg] # not in typeshed: `ctypes.c_long`
    _type_ = "l"


class _Function(_ctypes.CFuncPtr):
    """A function of the program itself that is called with Python's lock held."""

    _flags_ = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_PYTHONAPI
    _restype_ = _Long


def _find(name: str) -> _Function:
    return _Function(_ctypes.dlsym(_program, name))


_program = _ctypes.dlopen(None, 0)  # type: ignore[arg-type] # not in typeshed: the program itself
_syscall = _find("syscall")
_before, _in_parent, _in_copy = _find("PyOS_BeforeFork"), _find("PyOS_AfterFork_Parent"), _find("PyOS_AfterFork_Child")
_stat = os.stat


def fork_sibling() -> int | None:
    """Fork; gives 0 in the copy and its process id in this one, None if that cannot be done here.

    A process with more than one thread is not forked, nor on a kernel that does not know how (gVisor's).
    """
    # A folder has a link for each folder in it, beside its own two.
    if _number is None or _stat("/proc/self/task").st_nlink != 3:
        return None
    _before()
    copy: int = _syscall(_number, _CLONE_PARENT | signals.SIGCHLD, 0, 0, 0, 0)
    if copy == 0:
        _in_copy()
        return 0
    _in_parent()
    return copy if copy > 0 else None
