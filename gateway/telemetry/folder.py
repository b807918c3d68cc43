"""The temporary folder that all workers of one gateway share: metrics, and the call log when there is no DATA_DIR."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "sandgate-gateway-"


@contextmanager
def shared_folder() -> Iterator[Path]:
    """Make the folder, yield it, remove it. The parent does this before its workers start and after they ended.

    The owner holds a lock in it for as long as it lives; folders whose owner was killed are removed first.
    """
    _sweep()
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    held = _lock(folder)
    try:
        yield folder
    finally:
        if held is not None:
            os.close(held)
        shutil.rmtree(folder, ignore_errors=True)


def _sweep() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        try:
            mine = not folder.is_symlink() and folder.is_dir() and folder.stat().st_uid == os.getuid()
            if mine and (held := _lock(folder)) is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(held)
        except OSError:
            continue


def _lock(folder: Path) -> int | None:
    """The descriptor that holds the folder's lock, or None if somebody else does."""
    descriptor = os.open(folder / "lock", os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
