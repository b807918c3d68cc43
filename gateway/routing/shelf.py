"""The file of the catalogue: written whole and at once, read with forbearance, shared by all workers."""

import asyncio
import fcntl
import hashlib
import logging
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from gateway.messages.models import Model

log = logging.getLogger(__name__)

FILE = "catalogue.json"
LOCK = "catalogue.lock"
MAX_BYTES = 64 * 1024 * 1024

_Stamp = tuple[int, int, int]


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """What one provider last told, and when (Unix time in seconds)."""

    models: tuple[Model, ...]
    fetched: float


class _Entry(Listing, frozen=True, kw_only=True):
    identity: str


class Shelf:
    """The lists of all providers in `folder`, each good only as long as the provider is what it was."""

    def __init__(self, folder: Path, identities: Mapping[str, str]) -> None:
        self._folder = folder
        self._identities = {name: _digest(identity) for name, identity in identities.items()}
        self._seen: _Stamp | None = None

    def is_changed(self) -> bool:
        """Whether the file is another than the one last read or written here."""
        stamp = self._stamp()
        return stamp is not None and stamp != self._seen

    async def take(self) -> dict[str, Listing]:
        """Read the lists; empty when there is no file, or none that can be read."""
        return dict(await asyncio.to_thread(self._read))

    async def put(self, listings: Mapping[str, Listing]) -> None:
        """Write the lists; those in the file that are newer stay. A disk that refuses costs a line in the log."""
        try:
            await asyncio.to_thread(self._write, listings)
        except OSError as error:
            log.warning("the catalogue cannot be kept: %s", error.strerror or type(error).__name__)

    def _stamp(self) -> _Stamp | None:
        try:
            found = (self._folder / FILE).stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _read_all(self) -> dict[str, _Entry]:
        try:
            with (self._folder / FILE).open("rb") as file:
                return msgspec.json.decode(file.read(MAX_BYTES), type=dict[str, _Entry])
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            log.warning("the kept catalogue cannot be read, it is fetched anew")
            return {}

    def _read(self) -> dict[str, _Entry]:
        stamp = self._stamp()
        read = self._read_all()
        self._seen = stamp
        return {name: entry for name, entry in read.items() if entry.identity == self._identities.get(name)}

    def _write(self, listings: Mapping[str, Listing]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(self._folder / LOCK, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two workers must not each write without the other's news
            entries = self._read_all()
            for name, listing in listings.items():
                identity = self._identities.get(name, "")
                kept = entries.get(name)
                if kept is None or kept.identity != identity or kept.fetched <= listing.fetched:
                    entries[name] = _Entry(models=listing.models, fetched=listing.fetched, identity=identity)
            before = self._stamp()
            _replace(self._folder / FILE, msgspec.json.encode(entries))
            if before == self._seen:  # else there is news of another worker in it, to be read
                self._seen = self._stamp()
        finally:
            os.close(lock)


def _replace(file: Path, content: bytes) -> None:
    """Write a file so that whoever reads it finds the old one or the new one, and nothing in between."""
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(descriptor, "wb") as new:
            new.write(content)
            new.flush()
            os.fsync(new.fileno())
        Path(name).replace(file)
    except OSError:
        with suppress(OSError):
            Path(name).unlink()
        raise


def _digest(identity: str) -> str:
    """Give what stands for an identity in the file: an address may hold a password."""
    return hashlib.sha256(identity.encode()).hexdigest()[:32]
