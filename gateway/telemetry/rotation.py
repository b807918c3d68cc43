"""A log file that several processes append to and that any of them may rotate."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from logging import LogRecord
from logging.handlers import RotatingFileHandler
from pathlib import Path


class SharedRotatingFile(RotatingFileHandler):
    """`RotatingFileHandler` for more than one process: one rotates under a lock, the others notice and follow.

    The standard one renames a file that the other workers still write to, once per worker, and so shifts live
    logs out of the back. Lines are appended whole (O_APPEND), so they never mix.
    """

    def __init__(self, path: Path, *, max_bytes: int, backups: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600))
        self._lock_path = f"{path}.lock"
        super().__init__(path, maxBytes=max_bytes, backupCount=backups, encoding="utf-8", errors="backslashreplace")

    def emit(self, record: LogRecord) -> None:
        """Write one record to the file that now has the name, whoever has put it there."""
        if not self._is_current():
            self._reopen()
        super().emit(record)

    def doRollover(self) -> None:  # noqa: N802 (the standard library's name)
        """Rotate, unless another process has just done so."""
        with self._alone():
            if self._is_current():
                super().doRollover()
            else:
                self._reopen()

    def _is_current(self) -> bool:
        if self.stream is None:
            return True
        try:
            named = Path(self.baseFilename).stat()
        except FileNotFoundError:
            return False
        opened = os.fstat(self.stream.fileno())
        return (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino)

    def _reopen(self) -> None:
        if self.stream is not None:
            self.stream.close()
        self.stream = self._open()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        descriptor = os.open(self._lock_path, os.O_CREAT | os.O_WRONLY, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
