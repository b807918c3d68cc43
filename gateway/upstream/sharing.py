"""Access tokens that the workers of one gateway share, so that one of them asks for all.

They stand in memory that the parent made before it forked, which has no path and goes with the last process. What
takes turns is a lock of the system's in the folder that the workers share: whoever dies gives it back.
"""

import asyncio
import fcntl
import os
import tempfile
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

SLOT_BYTES = 64 * 1024  # holds the longest token there may be, with every character escaped
LOOK_SECONDS = 0.02
LONGEST_WAIT = 15.0  # seconds for a turn: a worker that hangs must not hold up the others
_LENGTH_BYTES = 4


class SharedToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token as another worker got it; the times are those of `time.monotonic`, which all processes share."""

    value: str
    received: float
    expires: float
    renew_at: float
    forced: bool

    def __repr__(self) -> str:
        """Show everything but the token."""
        return f"SharedToken(expires={self.expires})"


def make_memory(folder: Path) -> int:
    """Make memory for tokens; gives its descriptor, which forked processes inherit.

    Where the system has no memory without a path, it is a file in `folder` that is taken out of it at once.
    """
    if hasattr(os, "memfd_create"):
        return os.memfd_create("sandgate-tokens")
    with tempfile.TemporaryFile(dir=folder) as file:
        return os.dup(file.fileno())


class SharedTokens:
    """One place for each provider with OAuth, by name; all processes must give the same names."""

    def __init__(self, memory: int, folder: Path, providers: Iterable[str]) -> None:
        self._memory = memory
        self._folder = folder
        self._slots = {name: number for number, name in enumerate(sorted(providers))}

    @asynccontextmanager
    async def turn(self, provider: str) -> AsyncIterator[None]:
        """Be the only one of all workers to read, fetch or write this provider's token.

        One that cannot have its turn, since another hangs or the folder is gone, goes on without.
        """
        path = self._folder / f"token-{self._slots[provider]}.lock"
        try:
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            yield
            return
        latest = time.monotonic() + LONGEST_WAIT
        try:
            # Another process tells nobody when it is done.
            while not _take(lock) and time.monotonic() < latest:  # noqa: ASYNC110
                await asyncio.sleep(LOOK_SECONDS)
            yield
        finally:
            os.close(lock)  # which gives it back

    def read(self, provider: str) -> SharedToken | None:
        """Give the provider's token, None when there is none yet."""
        start = self._slots[provider] * SLOT_BYTES
        length = int.from_bytes(os.pread(self._memory, _LENGTH_BYTES, start), "little")
        if not length:
            return None
        try:
            return msgspec.json.decode(os.pread(self._memory, length, start + _LENGTH_BYTES), type=SharedToken)
        except msgspec.DecodeError:
            return None  # somebody without a turn is writing it

    def write(self, provider: str, token: SharedToken) -> None:
        """Keep a token in the place of the one before; a process that dies meanwhile leaves none."""
        start = self._slots[provider] * SLOT_BYTES
        content = msgspec.json.encode(token)
        os.pwrite(self._memory, bytes(_LENGTH_BYTES), start)
        os.pwrite(self._memory, content, start + _LENGTH_BYTES)
        os.pwrite(self._memory, len(content).to_bytes(_LENGTH_BYTES, "little"), start)


def _take(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
