"""Who owns a box: an id for the place where an executor stands, which outlives the process.

The id stands for the place (host name, address, port) and not for the process, and is held by a file lock that the
kernel drops when the process dies, however it dies. So an executor that is started again gets its predecessor's id
and knows at once that whatever bears it was left behind, while a second executor beside a living one gets another.
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


class Owner:
    """An id that is ours until `release`, or until this process ends."""

    def __init__(self, id: str, descriptor: int | None = None) -> None:  # noqa: A002 what else to call it
        self.id = id
        self._descriptor = descriptor

    def release(self) -> None:
        """Let the next one have the id. Idempotent."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = None


def claim_owner(place: str) -> Owner:
    """Take the id that boxes of this executor bear; `place` says where it stands on this host.

    Where no lock can be kept (no writable temporary folder) the id is a new one, and what a predecessor left is only
    removed once it has expired.
    """
    stem = hashlib.sha256(f"{socket.gethostname()}|{place}".encode()).hexdigest()[:12]
    for number in range(_SLOTS):
        path = Path(tempfile.gettempdir()) / f"sandgate-executor-{stem}-{number}.lock"
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except PermissionError:
            continue
        except OSError:
            break
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            continue
        return Owner(f"{stem}-{number}", descriptor)
    return Owner(f"{stem}-{secrets.token_hex(4)}")
