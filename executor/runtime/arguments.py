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
_BLOCKS = (ast.If, ast.Try, ast.With)
NO_INPUT = object()


class BadInput(Exception):
    """There is no such function, or the input does not fit it; the message is for the caller."""


def top_level_functions(tree: ast.Module) -> list[str]:
    """Name the functions that a module defines at its top level, also under `if`, `try` and `with`, in order."""
    return list(dict.fromkeys(_functions(tree.body)))


def _functions(body: list[ast.stmt]) -> Iterator[str]:
    for statement in body:
        if isinstance(statement, _FUNCTIONS):
            yield statement.name
        elif isinstance(statement, _BLOCKS):
            yield from _functions(statement.body)
            yield from _functions(getattr(statement, "orelse", []))
            for handler in getattr(statement, "handlers", []):
                yield from _functions(handler.body)
            yield from _functions(getattr(statement, "finalbody", []))


def choose_function(
    namespace: Mapping[str, Any], defined: list[str], entrypoint: str | None
) -> tuple[str, Callable[..., Any]]:
    """Give the entry function and its name: the one asked for, else `main`, else the first defined."""
    if entrypoint is not None:
        name = entrypoint
    elif callable(namespace.get("main")):
        name = "main"
    elif defined:
        name = defined[0]
    else:
        raise BadInput("the code defines no function")
    function = namespace.get(name)
    if callable(function):
        return name, function
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
    import inspect

    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        signature = inspect.Signature(
            [
                inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL),
                inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD),
            ]
        )
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
