"""Who owns a box: an id for the place where an executor stands, which outlives the process.

The id stands for the place (host name, address, port) and not for the process, and is held by a file lock that the
kernel drops when the process dies, however it dies. So an executor that is started again gets its predecessor's id
and knows at once that whatever bears it was left behind, while a second executor beside a living one gets another.

A file that nobody has locked says nothing: it is removed when its holder stops, and whoever starts removes those of
the dead. So a lock counts only if its file is still the one of that name.
"""

import contextlib
import fcntl
import hashlib
import os
import secrets
import socket
import tempfile
from pathlib import Path

_SLOTS = 64
_TRIES = 100
_NAMES = "sandgate-executor-*.lock"
_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC


class Owner:
    """An id that is ours until `release`, or until this process ends."""

    def __init__(
        self,
        id: str,  # noqa: A002 what else to call it
        descriptor: int | None = None,
        path: Path | None = None,
    ) -> None:
        self.id = id
        self._descriptor = descriptor
        self._path = path

    def release(self) -> None:
        """Let the next one have the id. Idempotent."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                if self._path is not None:
                    self._path.unlink(missing_ok=True)
                os.close(self._descriptor)
            self._descriptor = None


def claim_owner(place: str) -> Owner:
    """Take the id that boxes of this executor bear; `place` says where it stands on this host.

    Where no lock can be kept (no writable temporary folder) the id is a new one, and what a predecessor left is only
    removed once it has expired.
    """
    stem = hashlib.sha256(f"{socket.gethostname()}|{place}".encode()).hexdigest()[:12]
    folder = Path(tempfile.gettempdir())
    for number in range(_SLOTS):
        path = folder / f"sandgate-executor-{stem}-{number}.lock"
        try:
            descriptor = _lock(path, os.O_CREAT)
        except PermissionError:
            continue
        except OSError:
            break
        if descriptor is not None:
            _sweep(folder)
            return Owner(f"{stem}-{number}", descriptor, path)
    return Owner(f"{stem}-{secrets.token_hex(4)}")


def _lock(path: Path, more: int = 0) -> int | None:
    """Lock a file of this name; gives its descriptor, None if a living process holds it. Raises `OSError`."""
    for _ in range(_TRIES):
        descriptor = os.open(path, _FLAGS | more, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(path, descriptor):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError:
            os.close(descriptor)
            raise
        # Somebody removed it between the two steps.
        os.close(descriptor)
    return None


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(follow_symlinks=False), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _sweep(folder: Path) -> None:
    """Remove the files of the dead. Ours is locked, and so stays."""
    for path in folder.glob(_NAMES):
        with contextlib.suppress(OSError):
            descriptor = _lock(path)
            if descriptor is not None:
                path.unlink(missing_ok=True)
                os.close(descriptor)
