"""The working directory: files laid in before the run, and files taken out after it.

Taking out happens when no process of the user's lives any more. Even so nothing is followed: every step of a path is
opened by its name in the folder that is already open, and only regular files with a single name are read.
"""

from __future__ import annotations

import binascii
import errno
import os
import stat
import time

from executor.runtime.patterns import check_patterns, matches
from executor.runtime.processes import WORKDIR

TYPE_CHECKING = False  # for types only: see `executor.runtime`
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

MAX_PATH_BYTES = 1024
MAX_NAME_BYTES = 255
MAX_DEPTH = 32
MAX_SEEN = 20_000
MAX_NAMED = 1000
WALK_SECONDS = 2.0
_PIECE = 3 * 64 * 1024  # base64 without padding between pieces
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PLAIN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_OFFICE = "application/vnd.openxmlformats-officedocument"
_OPEN = "application/vnd.oasis.opendocument"
_MIME = {
    "7z": "application/x-7z-compressed", "aac": "audio/aac", "avi": "video/x-msvideo", "avif": "image/avif",
    "bmp": "image/bmp", "bz2": "application/x-bzip2", "css": "text/css", "csv": "text/csv",
    "doc": "application/msword", "docx": f"{_OFFICE}.wordprocessingml.document",
    "eml": "message/rfc822", "eps": "application/postscript", "epub": "application/epub+zip", "flac": "audio/flac",
    "geojson": "application/geo+json", "gif": "image/gif", "gz": "application/gzip", "h5": "application/x-hdf5",
    "hdf5": "application/x-hdf5", "heic": "image/heic", "htm": "text/html", "html": "text/html",
    "ico": "image/vnd.microsoft.icon", "ics": "text/calendar", "ini": "text/plain",
    "ipynb": "application/x-ipynb+json", "jpeg": "image/jpeg", "jpg": "image/jpeg", "js": "text/javascript",
    "json": "application/json", "jsonl": "application/jsonl", "log": "text/plain", "m4a": "audio/mp4",
    "md": "text/markdown", "mid": "audio/midi", "mjs": "text/javascript", "mkv": "video/x-matroska",
    "mov": "video/quicktime", "mp3": "audio/mpeg", "mp4": "video/mp4", "mpeg": "video/mpeg",
    "npy": "application/octet-stream", "odp": f"{_OPEN}.presentation", "ods": f"{_OPEN}.spreadsheet",
    "odt": f"{_OPEN}.text", "oga": "audio/ogg", "ogg": "audio/ogg", "ogv": "video/ogg", "opus": "audio/ogg",
    "otf": "font/otf", "parquet": "application/vnd.apache.parquet", "pdf": "application/pdf", "png": "image/png",
    "ppt": "application/vnd.ms-powerpoint", "pptx": f"{_OFFICE}.presentationml.presentation",
    "ps": "application/postscript", "py": "text/x-python", "rst": "text/x-rst", "rtf": "application/rtf",
    "sh": "application/x-sh", "sql": "application/sql", "sqlite": "application/vnd.sqlite3",
    "sqlite3": "application/vnd.sqlite3", "svg": "image/svg+xml", "tar": "application/x-tar",
    "tex": "application/x-tex", "tgz": "application/gzip", "tif": "image/tiff", "tiff": "image/tiff",
    "toml": "application/toml", "tsv": "text/tab-separated-values", "ttf": "font/ttf", "txt": "text/plain",
    "vcf": "text/vcard", "wasm": "application/wasm", "wav": "audio/x-wav", "webm": "video/webm", "webp": "image/webp",
    "woff": "font/woff", "woff2": "font/woff2", "xhtml": "application/xhtml+xml", "xls": "application/vnd.ms-excel",
    "xlsx": f"{_OFFICE}.spreadsheetml.sheet", "xml": "text/xml", "xz": "application/x-xz", "yaml": "application/yaml",
    "yml": "application/yaml", "zip": "application/zip", "zst": "application/zstd",
}  # fmt: skip


class BadFile(Exception):
    """A file of the job cannot be taken; the message is for its author."""


class Found:
    """Paths that match, with their sizes, in order; and what was passed over, with the reason."""

    def __init__(self) -> None:
        self.files: list[tuple[str, int]] = []
        self.skipped: list[tuple[str, str]] = []

    def skip(self, path: str, reason: str) -> None:
        """Note what is passed over, up to a bound."""
        if len(self.skipped) < MAX_NAMED:
            self.skipped.append((path, reason))


def check_path(path: Any) -> tuple[str, ...]:
    """Take a relative path apart; `BadFile` unless it stays inside the working directory."""
    if not isinstance(path, str) or not path:
        raise BadFile("a file needs a path that is not empty")
    shown = ascii(path[:80])
    if "\0" in path:
        raise BadFile(f"the path {shown} has a NUL in it")
    if path.startswith("/"):
        raise BadFile(f"the path {shown} is absolute; paths are relative to the working directory")
    try:
        raw = path.encode()
    except UnicodeEncodeError:
        raise BadFile(f"the path {shown} is not valid Unicode") from None
    parts = tuple(part for part in path.split("/") if part not in ("", "."))
    if not parts or path.endswith("/"):
        raise BadFile(f"the path {shown} does not name a file")
    if ".." in parts:
        raise BadFile(f"the path {shown} leaves the working directory")
    if len(raw) > MAX_PATH_BYTES or len(parts) > MAX_DEPTH or any(len(p.encode()) > MAX_NAME_BYTES for p in parts):
        raise BadFile(f"the path {shown} is too long or too deep")
    return parts


def check_paths(paths: Sequence[Any]) -> list[tuple[str, ...]]:
    """Take all paths apart; `BadFile` also where two are the same, or one is a folder of another."""
    checked = [check_path(path) for path in paths]
    names = set(checked)
    if len(names) < len(checked):
        twice = next(parts for parts in checked if checked.count(parts) > 1)
        raise BadFile(f"the path {'/'.join(twice)!a} is given twice")
    for parts in checked:
        for depth in range(1, len(parts)):
            if parts[:depth] in names:
                raise BadFile(f"{'/'.join(parts[:depth])!a} is given as a file and as a folder")
    return checked


def lay_in(files: Sequence[Mapping[str, Any]], root: str = WORKDIR) -> None:
    """Write the job's files below `root`, where nothing of the user's lives yet. `BadFile` if one cannot be."""
    for file, parts in zip(files, check_paths([file.get("path") for file in files]), strict=True):
        try:
            content = binascii.a2b_base64(file["content_base64"], strict_mode=True)
        except (binascii.Error, KeyError, TypeError, ValueError):
            raise BadFile(f"the content of {file['path']!a} is not base64") from None
        target = os.path.join(root, *parts)
        try:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, "xb") as opened:
                opened.write(content)
        except OSError as error:
            raise BadFile(f"{file['path']!a} could not be written: {_explain(error)}") from None


def _explain(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "the working directory is full (WORKDIR_MB)"
    if error.errno == errno.EFBIG:
        return "it is larger than a file may be (MAX_FILE_MB)"
    return os.strerror(error.errno or 0)


def find_outputs(patterns: Sequence[Any], root: str = WORKDIR) -> Found:
    """Look through the working directory for regular files that match, ordered by path. Bounded in number and time."""
    checked = check_patterns(patterns)
    found = Found()
    if not checked:
        return found
    walk = _Walk(checked, found, time.monotonic() + WALK_SECONDS)
    try:
        top = os.open(root, _FOLDER)
    except OSError:
        return found
    walk.enter(top, ())
    found.files.sort()
    found.skipped.sort()
    return found


class _Walk:
    """One pass through the working directory, which may hold anything."""

    def __init__(self, patterns: list[tuple[str, ...]], found: Found, deadline: float) -> None:
        self.patterns = patterns
        self.found = found
        self.deadline = deadline
        self.seen = 0

    def enter(self, folder: int, above: tuple[str, ...]) -> None:
        """Look through an open folder, which is closed then."""
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    self.seen += 1
                    if self.seen > MAX_SEEN or time.monotonic() > self.deadline:
                        self.found.skip("/".join(above) or ".", "too many files to look through")
                        return
                    self._look(entry, folder, (*above, entry.name))
        except OSError as error:
            self.found.skip("/".join(above) or ".", os.strerror(error.errno or 0))
        finally:
            os.close(folder)

    def _look(self, entry: os.DirEntry[str], folder: int, path: tuple[str, ...]) -> None:
        shown = "/".join(path)
        if entry.is_dir(follow_symlinks=False):
            self._descend(entry.name, folder, path)
            return
        if not any(matches(path, pattern) for pattern in self.patterns):
            return
        try:
            shown.encode()
        except UnicodeEncodeError:
            self.found.skip(shown.encode("utf-8", "surrogateescape").decode("utf-8", "replace"), "name is not UTF-8")
            return
        status = entry.stat(follow_symlinks=False)
        if not stat.S_ISREG(status.st_mode):
            self.found.skip(shown, "not a regular file")
        elif status.st_nlink != 1:
            self.found.skip(shown, "a hard link")
        else:
            self.found.files.append((shown, status.st_size))

    def _descend(self, name: str, folder: int, path: tuple[str, ...]) -> None:
        if len(path) >= MAX_DEPTH:
            self.found.skip("/".join(path).encode("utf-8", "replace").decode(), "too deep")
            return
        try:
            inner = os.open(name, _FOLDER, dir_fd=folder)
        except OSError:
            return
        self.enter(inner, path)


def open_output(path: str, root: str = WORKDIR) -> tuple[int, int] | None:
    """Open a file that was found, again without following anything; gives descriptor and size, or None."""
    *folders, name = path.split("/")
    folder = os.open(root, _FOLDER)
    try:
        for part in folders:
            inner = os.open(part, _FOLDER, dir_fd=folder)
            os.close(folder)
            folder = inner
        descriptor = os.open(name, _PLAIN, dir_fd=folder)
    except OSError:
        return None
    finally:
        os.close(folder)
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
        return descriptor, status.st_size
    os.close(descriptor)
    return None


def read_base64(descriptor: int, size: int) -> Iterator[bytes]:
    """Give exactly `size` bytes of an open file as base64, piece by piece; what is missing is filled with zeros."""
    left = size
    while left:
        wanted = min(left, _PIECE)
        piece = b""
        while len(piece) < wanted:
            more = os.read(descriptor, wanted - len(piece))
            if not more:
                piece += bytes(wanted - len(piece))
            piece += more
        left -= wanted
        yield binascii.b2a_base64(piece, newline=False)


def guess_mime(path: str) -> str:
    """Name the type of a file by its ending."""
    return _MIME.get(path.rpartition(".")[2].lower(), "application/octet-stream")
