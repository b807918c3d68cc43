"""Rows of numbers that each worker counts in by itself, and whoever is asked adds up.

A worker's row is a file of doubles that it maps into its memory, so that counting is an addition in memory, what is
counted outlives the worker, and another one can read it at any time. Beside it stands a file that says what the
numbers are, one line of JSON for each stretch. Without a folder the row is in memory alone.
"""

import itertools
import mmap
import os
import time
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

FIRST_CELLS = 8192
_BYTES = 8
_PREFIX = "figures-"


class Stretch(NamedTuple):
    """Numbers that belong together: a name, its labels' values, and the numbers as they are now.

    `living` tells whether the worker that counts them still runs.
    """

    name: str
    labels: tuple[str, ...]
    numbers: tuple[float, ...]
    living: bool


class Cells:
    """The row of this process. `row[place]` may be added to at once; look `row` up each time, since it grows."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._used = 0
        self._stretches: list[tuple[str, tuple[str, ...], int, int]] = []
        self.row: memoryview[float] | array[float]
        if folder is None:
            self.row = array("d")
            return
        # The time too, since a worker that died may have had this process's id.
        path = folder / f"{_PREFIX}{os.getpid()}-{time.monotonic_ns()}"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._file = os.open(path.with_suffix(".cells"), flags, 0o600)
        self._names = os.open(path.with_suffix(".names"), flags | os.O_APPEND, 0o600)
        self._map(FIRST_CELLS)

    def add(self, name: str, labels: tuple[str, ...], count: int) -> int:
        """Take `count` more cells, at 0, for `name` with `labels`; gives the place of the first."""
        place = self._used
        self._used += count
        if self._folder is None:
            self.row = array("d", (*self.row, *itertools.repeat(0.0, count)))
            self._stretches.append((name, labels, place, count))
            return place
        if self._used > len(self.row):
            self._map(max(self._used, 2 * len(self.row)))
        os.write(self._names, msgspec.json.encode((name, labels, place, count)) + b"\n")
        return place

    def read(self) -> list[Stretch]:
        """Give what all workers have counted, those that have ended too."""
        if self._folder is None:
            row = tuple(self.row)
            return [
                Stretch(name, labels, row[place : place + count], living=True)
                for name, labels, place, count in self._stretches
            ]
        newest: dict[int, Path] = {}
        files = sorted(self._folder.glob(f"{_PREFIX}*.names"), key=_born)
        for file in files:
            newest[_owner(file)] = file
        living = {file for pid, file in newest.items() if _runs(pid)}
        return list(itertools.chain.from_iterable(_read(file, living=file in living) for file in files))

    def _map(self, cells: int) -> None:
        os.ftruncate(self._file, cells * _BYTES)
        self.row = memoryview(mmap.mmap(self._file, cells * _BYTES)).cast("d")


def _read(file: Path, *, living: bool) -> Iterator[Stretch]:
    names, row = file.read_bytes(), array("d")
    cells = file.with_suffix(".cells").read_bytes()  # after the names: it has at least what they speak of
    row.frombytes(cells[: len(cells) // _BYTES * _BYTES])
    for line in names.splitlines():
        name, labels, place, count = msgspec.json.decode(line, type=tuple[str, tuple[str, ...], int, int])
        yield Stretch(name, labels, tuple(row[place : place + count]), living)


def _owner(file: Path) -> int:
    return int(file.stem.removeprefix(_PREFIX).partition("-")[0])


def _born(file: Path) -> int:
    return int(file.stem.rpartition("-")[2])


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
