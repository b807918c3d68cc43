"""The user's program: compiled, loaded, called (API.md 4.1). Runs in the user's own process."""

from __future__ import annotations
import __future__

import _ast as ast
import builtins
import io
import json
import linecache
import os
import sys
import types
from collections.abc import Awaitable

from executor.runtime.arguments import (
    NO_INPUT,
    choose_function,
    entry_functions,
    imports_all,
    match_arguments,
    match_wrapped,
)
from executor.runtime.failures import SOURCE
from executor.runtime.processes import WORKDIR
from executor.runtime.results import BUILTINS

TYPE_CHECKING = False  # for types only: see `executor.runtime`
if TYPE_CHECKING:
    from typing import Any

globals()["__builtins__"] = BUILTINS

_FLAGS = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
# CO_COROUTINE and CO_ITERABLE_COROUTINE: `inspect`, which names them, takes longer to import than many a run.
_COROUTINE, _ITERABLE_COROUTINE = 0x80, 0x100
_FUTURES = sum(getattr(__future__, name).compiler_flag for name in __future__.all_feature_names)


FILE = f"{WORKDIR}/{SOURCE}"
_READABLE = f"/tmp/{SOURCE}"
_RECURSION_LIMIT = sys.getrecursionlimit()
_getframe, _getpid, _open, _replace = sys._getframe, os.getpid, open, os.replace


class BadSource(Exception):
    """The code cannot be compiled; `__cause__` says why."""


class Program:
    """Compiled code: `last` is its last bare expression, apart from the rest, `functions` may be its entry function."""

    def __init__(
        self,
        lines: list[str],
        body: types.CodeType,
        last: types.CodeType | None = None,
        functions: tuple[str, ...] = (),
        *,
        imports_all: bool = False,
        wants_tool: bool = False,
    ) -> None:
        self.lines = lines
        self.body = body
        self.last = last
        self.functions = functions
        self.imports_all = imports_all
        self.wants_tool = wants_tool


def read_lines(code: str) -> list[str]:
    """Cut source into lines as the compiler does, each with its line end."""
    return list(io.StringIO(code, newline=None))


def compile_program(code: str) -> Program:
    """Compile the code. Raises `BadSource`."""
    code = code.removeprefix("\ufeff")
    lines = read_lines(code)
    linecache.cache[SOURCE] = (len(code), None, lines, SOURCE)
    try:
        try:
            tree = compile(code, SOURCE, "exec", ast.PyCF_ONLY_AST, dont_inherit=True)
            assert isinstance(tree, ast.Module)
        except (RecursionError, MemoryError):
            # Too deep to be looked at as a tree; it can still be run as it is.
            return Program(lines, compile(code, SOURCE, "exec", _FLAGS, dont_inherit=True))
        return _compile_tree(tree, lines)
    except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError) as error:
        if isinstance(error, SyntaxError):
            _quote(error, lines)
        raise BadSource from error


def _quote(error: SyntaxError, lines: list[str]) -> None:
    """Give an error its line of the source, which the compiler of a tree has not got."""
    if error.text is None and error.lineno is not None and 0 < error.lineno <= len(lines):
        error.text = lines[error.lineno - 1]


def _compile_tree(tree: ast.Module, lines: list[str]) -> Program:
    last: ast.Expr | None = None
    functions, unknown = tuple(entry_functions(tree)), imports_all(tree)
    if tree.body and isinstance(tree.body[-1], ast.Expr):
        last = tree.body[-1]
        if not _is_suppressed(last, lines):
            tree.body.pop()
        else:
            last = None
    body = compile(tree, SOURCE, "exec", _FLAGS, dont_inherit=True)
    value = None
    if last is not None:
        flags = _FLAGS | (body.co_flags & _FUTURES)
        value = compile(ast.Expression(last.value), SOURCE, "eval", flags, dont_inherit=True)
    return Program(lines, body, value, functions, imports_all=unknown, wants_tool=_wants_tool(tree, lines))


def _is_suppressed(last: ast.Expr, lines: list[str]) -> bool:
    """Whether a semicolon follows the expression: after it only brackets, comments and line ends can stand."""
    assert last.end_lineno is not None
    assert last.end_col_offset is not None
    rest = lines[last.end_lineno - 1 :]
    if not rest:
        return False
    rest[0] = rest[0].encode()[last.end_col_offset :].decode("utf-8", "replace")
    return any(";" in line.partition("#")[0] for line in rest)


def _wants_tool(tree: ast.Module, lines: list[str]) -> bool:
    # To walk through a large tree takes longer than to compile it. Letters beyond ASCII may be read as plain ones.
    if not any("tool" in line or not line.isascii() for line in lines):
        return False
    from ast import walk

    for node in walk(tree):
        for decorator in getattr(node, "decorator_list", ()):
            named = decorator.func if isinstance(decorator, ast.Call) else decorator
            if isinstance(named, ast.Name) and named.id == "tool":
                return True
    return False


def tool(*arguments: Any, **_options: Any) -> Any:
    """Stand in for an agent framework's decorator: gives what is decorated back as it is, bare or called first.

    What is bound to a name already, and is no function, is not being decorated: `@tool(Schema)`.
    """
    if len(arguments) != 1 or _options or not callable(arguments[0]):
        return _same
    decorated = arguments[0]
    if type(decorated) is not types.FunctionType and _is_bound(decorated, _getframe(1)):
        return _same
    return decorated


def _is_bound(value: Any, frame: types.FrameType) -> bool:
    scopes = frame.f_locals, frame.f_globals, frame.f_builtins
    return any(value is bound for scope in scopes for bound in scope.values())


def _same(function: Any) -> Any:
    return function


class Main(types.ModuleType):
    """The module that the program runs as.

    Its file is not there: a run would wait for it to be written. Only a process that is spawned reads it, to run the
    code anew, and is led to one that is written when it is asked for.
    """

    __slots__ = ("_lines",)

    def __init__(self, lines: list[str]) -> None:
        super().__init__("__main__")
        self._lines = lines
        self.__dict__["__builtins__"] = builtins
        self.__dict__["__file__"] = FILE

    @property
    def __file__(self) -> str:
        """Give the name of the file, as the module has it, or of one that can be read by a process that is spawned."""
        named: str | None = self.__dict__.get("__file__")
        if named is None:
            raise AttributeError("module '__main__' has no attribute '__file__'")
        asking = str(_getframe(1).f_globals.get("__name__"))
        return _write_source(self._lines) if asking.rpartition(".")[2] == "spawn" else named

    @__file__.setter
    def __file__(self, name: str) -> None:
        self.__dict__["__file__"] = name


def _write_source(lines: list[str]) -> str:
    beside = f"{_READABLE}.{_getpid()}"
    with _open(beside, "w", encoding="utf-8") as file:
        file.writelines(lines)
    _replace(beside, _READABLE)  # another process may be reading it
    return _READABLE


def make_main(program: Program) -> types.ModuleType:
    """Make the module that the program runs as, in place of the runner's own `__main__`."""
    module = Main(program.lines)
    linecache.cache[FILE] = linecache.cache[SOURCE]
    if program.wants_tool:
        module.__dict__["tool"] = tool
    sys.modules["__main__"] = module
    return module


def load(program: Program, namespace: dict[str, Any]) -> Any:
    """Run the code once as a script; gives the value of its last bare expression, None without one."""
    if sys.getrecursionlimit() == _RECURSION_LIMIT:
        _discount_frames()
    codes = [code for code in (program.body, program.last) if code is not None]
    if any(code.co_flags & _COROUTINE for code in codes):
        return finish_awaitable(_load_awaiting(codes, namespace))
    value = None
    for code in codes:
        value = eval(code, namespace)
    return value if program.last is not None else None


def _discount_frames() -> None:
    """Let the code call as deep as if our own frames did not lie beneath it."""
    frame: types.FrameType | None = _getframe(1)
    depth = 0
    while frame is not None:
        frame, depth = frame.f_back, depth + 1
    sys.setrecursionlimit(_RECURSION_LIMIT + depth)


async def _load_awaiting(codes: list[types.CodeType], namespace: dict[str, Any]) -> Any:
    value = None
    for code in codes:
        value = eval(code, namespace)
        if code.co_flags & _COROUTINE:
            value = await value
    return value


def finish_awaitable(value: Any) -> Any:
    """Run an awaitable to its end in an event loop of its own."""
    import asyncio

    async def wait() -> Any:
        return await value

    return asyncio.run(value if isinstance(value, types.CoroutineType) else wait())


def finds_main(program: Program, namespace: dict[str, Any]) -> bool:
    """Whether the code, now run as a script, has brought a `main` along that nothing in it told of before."""
    return program.imports_all and callable(namespace.get("main"))


def call(program: Program, namespace: dict[str, Any], entrypoint: str | None, value: Any) -> Any:
    """Call the entry function with the input, `NO_INPUT` for none; an async function's value is awaited."""
    name, function = choose_function(namespace, list(program.functions), entrypoint)
    positional, named = match_arguments(name, function, value)
    try:
        given = function(*positional, **named)
    except TypeError as error:
        match_wrapped(name, function, value, error)
        raise
    return finish_awaitable(given) if _is_awaitable(given) else given


def _is_awaitable(value: Any) -> bool:
    if isinstance(value, types.GeneratorType):
        return bool(value.gi_code.co_flags & _ITERABLE_COROUTINE)
    return isinstance(value, Awaitable)


def input_as_text(value: Any) -> bytes:
    """Write an input as JSON for a script that reads it from stdin; `NO_INPUT` is nothing."""
    if value is NO_INPUT:
        return b""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
