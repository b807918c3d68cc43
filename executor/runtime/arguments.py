"""Which function is called, and with what (API.md 4.1: `input`, `entrypoint`)."""

from __future__ import annotations

import _ast as ast
from types import FunctionType

TYPE_CHECKING = False  # for types only: see `executor.runtime`
if TYPE_CHECKING:
    import inspect
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

_UNUSUAL = 0x04 | 0x08  # CO_VARARGS, CO_VARKEYWORDS
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_BLOCKS = frozenset({
    ast.If, ast.Try, ast.TryStar, ast.With, ast.AsyncWith, ast.For, ast.AsyncFor, ast.While, ast.Match,
    ast.ExceptHandler, ast.match_case,
})  # fmt: skip
_SEQUENCES = (ast.Tuple, ast.List)
NO_INPUT = object()


class BadInput(Exception):
    """There is no such function, or the input does not fit it; the message is for the caller."""


def entry_functions(tree: ast.Module) -> list[str]:
    """Name what may be the entry function: the functions of the top level, in order, and `main` however it is bound.

    The top level goes on within `if`, `try`, `with`, loops and `match`.
    """
    names: dict[str, None] = {}
    for statement in _statements(tree.body):
        if isinstance(statement, _FUNCTIONS):
            names[statement.name] = None
        elif "main" not in names and "main" in _bound_names(statement):
            names["main"] = None
    return list(names)


def imports_all(tree: ast.Module) -> bool:
    """Whether names are imported that only running the code can tell: `from module import *`."""
    return any(
        isinstance(statement, ast.ImportFrom) and statement.names[0].name == "*" for statement in _statements(tree.body)
    )


def _statements(body: list[Any]) -> Iterator[ast.AST]:
    for statement in body:
        yield statement
        if type(statement) in _BLOCKS:
            for block in ("body", "handlers", "cases", "orelse", "finalbody"):
                yield from _statements(getattr(statement, block, []))


def _bound_names(statement: ast.AST) -> Iterator[str]:
    if isinstance(statement, ast.Assign):
        for target in statement.targets:
            yield from _targets(target)
    elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
        yield from _targets(statement.target)
    elif isinstance(statement, ast.ImportFrom):
        yield from (alias.asname or alias.name for alias in statement.names)
    elif isinstance(statement, ast.ClassDef):
        yield statement.name


def _targets(target: ast.expr) -> Iterator[str]:
    if isinstance(target, ast.Name):
        yield target.id
    elif isinstance(target, _SEQUENCES):
        for element in target.elts:
            yield from _targets(element)


def choose_function(
    namespace: Mapping[str, Any], defined: list[str], entrypoint: str | None
) -> tuple[str, Callable[..., Any]]:
    """Give the entry function and its name: the one asked for, else `main`, else the first defined that is there."""
    wanted = ["main", *defined] if entrypoint is None else [entrypoint]
    for name in wanted:
        function = namespace.get(name)
        if callable(function):
            return name, function
    if not defined and entrypoint is None:
        raise BadInput("the code defines no function")
    name = entrypoint or defined[0]
    known = ", ".join(defined[:20]) or "none"
    if name in namespace:
        raise BadInput(f"{name!r} is not a function; functions defined at the top level: {known}")
    raise BadInput(f"there is no function {name!r}; functions defined at the top level: {known}")


def match_arguments(name: str, function: Callable[..., Any], value: Any) -> tuple[list[Any], dict[str, Any]]:
    """Turn the input into positional and keyword arguments; `BadInput` tells what does not fit.

    `NO_INPUT` means none. An object is matched by name (positional-only parameters as well); a list is one argument if
    there is exactly one positional parameter and no `*args`, else all of them; anything else is the one argument.
    """
    matched = _match_plainly(function, value)
    if matched is not None:
        return matched
    try:
        return _match(name, _signature(function), value)
    except BadInput:
        if not hasattr(function, "__wrapped__"):
            raise
        # The function that is wrapped has another signature: what is given to the wrapper may not be what it takes.
        own = _signature(function, follow_wrapped=False)
        if own == _signature(function):
            raise
        return _match(name, own, value)


def match_wrapped(name: str, function: Callable[..., Any], value: Any, error: TypeError) -> None:
    """Raise `BadInput` if a wrapper failed for no more than that the input does not fit the function it wraps."""
    step = error.__traceback__ and error.__traceback__.tb_next
    if step is None or step.tb_next is not None or step.tb_frame.f_code is not getattr(function, "__code__", None):
        return
    if hasattr(function, "__wrapped__"):
        _match(name, _signature(function), value)


def _signature(function: Callable[..., Any], *, follow_wrapped: bool = True) -> inspect.Signature:
    import inspect

    try:
        return inspect.signature(function, follow_wrapped=follow_wrapped)
    except (TypeError, ValueError):
        return inspect.Signature(
            [
                inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL),
                inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD),
            ]
        )


def _match(name: str, signature: inspect.Signature, value: Any) -> tuple[list[Any], dict[str, Any]]:
    if isinstance(value, dict):
        positional, named = _match_names(name, signature, value)
    elif value is NO_INPUT:
        positional, named = [], {}
    elif isinstance(value, list) and not _takes_one(signature):
        positional, named = list(value), {}
    else:
        positional, named = [value], {}
    try:
        signature.bind(*positional, **named)
    except TypeError as error:
        raise BadInput(f"the input does not fit {_show(name, signature)}: {error}") from None
    return positional, named


def _match_plainly(function: Callable[..., Any], value: Any) -> tuple[list[Any], dict[str, Any]] | None:
    """Match without `inspect`, which is slow in a fresh process: an ordinary function and an input that fits it."""
    if type(function) is not FunctionType or function.__dict__:
        return None
    code = function.__code__
    if code.co_flags & _UNUSUAL or code.co_kwonlyargcount or code.co_posonlyargcount:
        return None
    names = code.co_varnames[: code.co_argcount]
    needed = names[: len(names) - len(function.__defaults__ or ())]
    if isinstance(value, dict):
        fits = all(name in names for name in value) and all(name in value for name in needed)
        return ([], dict(value)) if fits else None
    if value is NO_INPUT:
        positional = []
    elif isinstance(value, list) and len(names) != 1:
        positional = list(value)
    else:
        positional = [value]
    return (positional, {}) if len(needed) <= len(positional) <= len(names) else None


def _takes_one(signature: inspect.Signature) -> bool:
    kinds = [parameter.kind.name for parameter in signature.parameters.values()]
    return "VAR_POSITIONAL" not in kinds and sum(kind.startswith("POSITIONAL_") for kind in kinds) == 1


def _match_names(name: str, signature: inspect.Signature, value: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    rest = dict(value)
    positional: list[Any] = []
    named: dict[str, Any] = {}
    missing = []
    takes_any = False
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            takes_any = True
        elif parameter.kind is parameter.VAR_POSITIONAL:
            continue
        elif parameter.name not in rest:
            if parameter.default is parameter.empty:
                missing.append(parameter.name)
            elif parameter.kind is parameter.POSITIONAL_ONLY:
                positional.append(parameter.default)
        elif parameter.kind is parameter.POSITIONAL_ONLY:
            positional.append(rest.pop(parameter.name))
        else:
            named[parameter.name] = rest.pop(parameter.name)
    if missing:
        raise BadInput(f"the input does not fit {_show(name, signature)}: missing {_list(missing)}")
    if rest and not takes_any:
        raise BadInput(f"the input does not fit {_show(name, signature)}: unexpected {_list(list(rest))}")
    return positional, named | rest


def _list(names: list[str]) -> str:
    shown = ", ".join(repr(name[:80]) for name in names[:10])
    return shown if len(names) <= 10 else f"{shown} and {len(names) - 10} more"


def _show(name: str, signature: inspect.Signature) -> str:
    parameters = [parameter.replace(annotation=parameter.empty) for parameter in signature.parameters.values()]
    plain = signature.replace(parameters=parameters, return_annotation=signature.empty)
    try:
        return f"{name}{plain}"[:300]
    except Exception:  # a default value whose repr fails
        return f"{name}(…)"
