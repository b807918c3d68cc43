"""Where hits are counted on this machine: in one process, or exactly over all its processes.

Both keep, for each caller and window, the times of the last hits, as many as the window allows: a moving window, not
a fixed one. A hit that one window refuses is noted in none. The time is that of `time.monotonic`, which all processes
of a machine share and nobody sets.
"""

import fcntl
import os
import struct
import time
from bisect import bisect_right
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple, Protocol


class Window(NamedTuple):
    """So many hits (`amount`) in any stretch of so many `seconds`."""

    amount: int
    seconds: int


class Tally(NamedTuple):
    """One window after a hit: hits in it, seconds until the first of them leaves, seconds until a hit would fit."""

    window: Window
    used: int
    reset_seconds: float
    wait_seconds: float


class Counter(Protocol):
    """Counts hits of callers."""

    def take(self, who: str, windows: Sequence[Window]) -> list[Tally]:
        """Note a hit in all windows if all of them have room (every `wait_seconds` is 0), else in none."""
        ...

    def close(self) -> None:
        """Give back what the counter holds open."""
        ...


class LocalCounter:
    """Counts in this process. Of each window `MAXIMUM_CALLERS` are remembered; the one seen longest ago goes first."""

    MAXIMUM_CALLERS = 32_768

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._hits: dict[Window, OrderedDict[str, deque[float]]] = {}

    def take(self, who: str, windows: Sequence[Window]) -> list[Tally]:
        """See `Counter`."""
        now = self._clock()
        if len(windows) == 1:
            return [self._take_one(who, windows[0], now)]
        kept = [(self._recent(who, window, now), window) for window in windows]
        room = True
        for hits, window in kept:
            room = room and len(hits) < window.amount
        tallies = []
        for hits, window in kept:
            wait = hits[0] + window.seconds - now if len(hits) >= window.amount else 0.0
            if room:
                hits.append(now)
            if hits:
                callers = self._hits.get(window)
                if callers is None:
                    callers = self._hits[window] = OrderedDict()
                callers[who] = hits
                if len(callers) > 1:
                    callers.move_to_end(who)
                    self._tidy(callers, window, now)
            tallies.append(Tally(window, len(hits), hits[0] + window.seconds - now if hits else 0.0, wait))
        return tallies

    def close(self) -> None:
        """See `Counter`."""
        self._hits.clear()

    def _take_one(self, who: str, window: Window, now: float) -> Tally:
        """Do what `take` does for the one window that most callers have."""
        callers = self._hits.get(window)
        if callers is None:
            callers = self._hits[window] = OrderedDict()
        hits = callers.get(who)
        if hits is None:
            hits = callers[who] = deque()
        while hits and hits[0] + window.seconds <= now:
            hits.popleft()
        wait = 0.0
        if len(hits) < window.amount:
            hits.append(now)
        else:
            wait = hits[0] + window.seconds - now
        if len(callers) > 1:
            callers.move_to_end(who)
            self._tidy(callers, window, now)
        return Tally(window, len(hits), hits[0] + window.seconds - now, wait)

    def _recent(self, who: str, window: Window, now: float) -> deque[float]:
        callers = self._hits.get(window)
        hits = callers.get(who) if callers else None
        if hits is None:
            return deque()
        while hits and hits[0] + window.seconds <= now:
            hits.popleft()
        return hits

    def _tidy(self, callers: OrderedDict[str, deque[float]], window: Window, now: float) -> None:
        """Drop up to two of those seen longest ago: whose hits have all left the window, or who are too many."""
        for _ in range(2):
            who, hits = next(iter(callers.items()))
            if len(callers) <= self.MAXIMUM_CALLERS and hits and hits[-1] + window.seconds > now:
                return
            del callers[who]


_ENTRY = struct.Struct("<16sQd")  # digest of the caller, hits ever, when the caller was last seen
_TIME = struct.Struct("<d")
_WAYS = 8


class SharedCounter:
    """Counts in files of one folder that several processes share, under a lock of the system's.

    Each window has a file: a table of entries in sets of eight, and for each entry a ring of the times of its last
    hits. An entry whose hits have all left the window is free for another caller; when a set is full, the one seen
    longest ago goes. The files are sparse: they take as much room as there are hits. A process that dies gives its
    lock back and can leave at most one hit of its own uncounted. `OSError` when the folder is full or gone.
    """

    MAXIMUM_CALLERS = 16_384
    _LARGEST_FILE = 2**43

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._clock = clock
        self._lock = os.open(folder / "limits.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._files: dict[Window, int] = {}

    def take(self, who: str, windows: Sequence[Window]) -> list[Tally]:
        """See `Counter`."""
        digest = blake2b(who.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        try:
            now = self._clock()
            entries = [self._find(digest, window, now) for window in windows]
            recent = [self._recent(window, *entry, now) for window, entry in zip(windows, entries, strict=True)]
            waits = [self._wait(window, *entry, now) for window, entry in zip(windows, entries, strict=True)]
            room = not any(waits)
            for window, (slot, hits) in zip(windows, entries, strict=True):
                if room:
                    os.pwrite(self._file(window), _TIME.pack(now), self._offset(window, slot, hits))
                if room or hits:
                    entry = _ENTRY.pack(digest, hits + room, now)
                    os.pwrite(self._file(window), entry, slot * _ENTRY.size)
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)
        tallies = []
        for window, (used, oldest), wait in zip(windows, recent, waits, strict=True):
            first = now if oldest is None and room else oldest
            tallies.append(Tally(window, used + room, 0.0 if first is None else first + window.seconds - now, wait))
        return tallies

    def close(self) -> None:
        """See `Counter`."""
        for file in (self._lock, *self._files.values()):
            with suppress(OSError):
                os.close(file)
        self._files.clear()

    def _file(self, window: Window) -> int:
        if window not in self._files:
            path = self._folder / f"limits-{window.amount}-{window.seconds}"
            self._files[window] = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return self._files[window]

    def _slots(self, window: Window) -> int:
        fitting = self._LARGEST_FILE // (_TIME.size * window.amount) // _WAYS * _WAYS
        return max(_WAYS, min(self.MAXIMUM_CALLERS, fitting))

    def _find(self, digest: bytes, window: Window, now: float) -> tuple[int, int]:
        """Find the caller's slot, or the one to take; gives it with the number of hits ever (0: to be taken)."""
        first = int.from_bytes(digest[:8], "little") % (self._slots(window) // _WAYS) * _WAYS
        table = os.pread(self._file(window), _WAYS * _ENTRY.size, first * _ENTRY.size)
        table = table.ljust(_WAYS * _ENTRY.size, b"\0")
        free, longest_ago = first, float("inf")
        for way, (known, hits, seen) in enumerate(_ENTRY.iter_unpack(table)):
            over = not hits or seen + window.seconds <= now
            if known == digest and hits:
                return first + way, 0 if over else hits
            if (order := float("-inf") if over else seen) < longest_ago:
                free, longest_ago = first + way, order
        return free, 0

    def _offset(self, window: Window, slot: int, index: int) -> int:
        return self._slots(window) * _ENTRY.size + (slot * window.amount + index % window.amount) * _TIME.size

    def _time(self, window: Window, slot: int, index: int) -> float:
        """Read the time of the hit with a number, one of the last `amount`."""
        stored = os.pread(self._file(window), _TIME.size, self._offset(window, slot, index))
        return float(_TIME.unpack(stored)[0]) if len(stored) == _TIME.size else 0.0

    def _wait(self, window: Window, slot: int, hits: int, now: float) -> float:
        if hits < window.amount:
            return 0.0
        return max(0.0, self._time(window, slot, hits) + window.seconds - now)

    def _recent(self, window: Window, slot: int, hits: int, now: float) -> tuple[int, float | None]:
        """Count the hits in the window; with the time of the oldest of them."""
        kept = min(hits, window.amount)
        ends = partial(self._end, window, slot, hits - kept)
        gone = bisect_right(range(kept), now, key=ends)
        return kept - gone, ends(gone) - window.seconds if gone < kept else None

    def _end(self, window: Window, slot: int, first: int, index: int) -> float:
        return self._time(window, slot, first + index) + window.seconds
