"""Random numbers in a batch: each input draws its own, unless the program has chosen a seed while it was loaded."""

from __future__ import annotations

import os
import random
import sys
from functools import wraps

from executor.runtime.results import BUILTINS

TYPE_CHECKING = False  # for types only: see `executor.runtime`
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

globals()["__builtins__"] = BUILTINS

_modules, _urandom = sys.modules, os.urandom
_getstate, _setstate = random.getstate, random.setstate


class Seeding:
    """Whether the program seeds the generators that all code shares: `random`'s, and NumPy's where that is imported."""

    def __init__(self) -> None:
        self._chosen: set[str] = set()
        self._state: tuple[Any, ...] | None = None
        self._seed_numpy: Callable[..., None] | None = None
        self._watched = [_modules[name] for name in ("random", "numpy.random") if name in _modules]
        for module in self._watched:
            for name in ("seed", "setstate", "set_state"):
                if hasattr(module, name):
                    setattr(module, name, self._noting(module.__name__, getattr(module, name)))

    def _noting(self, generator: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def note(*arguments: Any, **options: Any) -> Any:
            value = function(*arguments, **options)
            # To seed with nothing is to ask for numbers that nobody can know.
            if all(argument is None for argument in (*arguments, *options.values())):
                self._chosen.discard(generator)
            else:
                self._chosen.add(generator)
            return value

        return note

    def settle(self) -> None:
        """Take note of what the program, now loaded, has chosen."""
        if "random" in self._chosen:
            self._state = _getstate()
        numpy = _modules.get("numpy.random")
        if numpy is not None and not self._is_chosen(numpy):
            self._seed_numpy = numpy.seed

    def _is_chosen(self, numpy: ModuleType) -> bool:
        if numpy in self._watched:
            return numpy.__name__ in self._chosen
        try:  # imported by the program: a generator that has been seeded has forgotten what it began with
            return numpy.get_bit_generator().seed_seq is None
        except Exception:
            return False

    def prepare_copy(self) -> None:
        """Make the numbers of the next copy its own, before it is forked: that is done faster here."""
        if self._seed_numpy is not None:
            try:
                self._seed_numpy([*memoryview(_urandom(16)).cast("I")])
            except Exception:
                self._seed_numpy = None

    def enter_copy(self) -> None:
        """Give a copy the program's choice back: the `random` module has started anew at the fork."""
        if self._state is not None:
            _setstate(self._state)
