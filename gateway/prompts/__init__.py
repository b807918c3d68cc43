"""The prompt library: `<folder>/<language>/<name>.prompt`, UTF-8, re-read when a file changes (API.md 3.5).

English and Polish are packaged. Names may be nested (`deep/nested`); what a language lacks is taken from the
default one.
"""

from pathlib import Path

from gateway.errors import Detail, InvalidRequest

PACKAGED = Path(__file__).parent
DEFAULT_NAME = "default"
SUFFIX = ".prompt"
MAX_BYTES = 1024 * 1024


class Prompts:
    """The prompts of one folder. Files are read when they are asked for, and kept until they change."""

    def __init__(self, folder: Path | None, default_language: str) -> None:
        self._folder = folder or PACKAGED
        self.default_language = default_language
        self._kept: dict[Path, tuple[tuple[int, int], str]] = {}

    def languages(self) -> tuple[str, ...]:
        """Give the languages that have a folder."""
        return tuple(sorted(place.name for place in self._folder.iterdir() if any(place.rglob(f"*{SUFFIX}"))))

    def names(self) -> tuple[str, ...]:
        """Give the names of all prompts, of all languages together."""
        found = set()
        for language in self.languages():
            root = self._folder / language
            found |= {file.relative_to(root).with_suffix("").as_posix() for file in root.rglob(f"*{SUFFIX}")}
        return tuple(sorted(found))

    def find(self, name: str | None, language: str | None) -> tuple[str, str]:
        """Give a prompt and the language it is in; an unknown language falls back to the default one.

        `InvalidRequest` for a name that no language has; it lists those that there are.
        """
        wanted = name or DEFAULT_NAME
        if wanted in self.names():
            for candidate in (language, self.default_language, *self.languages()):
                text = self._read(candidate, wanted) if candidate in self.languages() else None
                if text is not None:
                    assert candidate is not None
                    return text, candidate
        known = ", ".join(self.names())
        complaint = Detail("prompt_name", f"there is no prompt {wanted[:100]!r}; there are {known}")
        raise InvalidRequest.naming([complaint])

    def _read(self, language: str | None, name: str) -> str | None:
        file = self._folder / str(language) / f"{name}{SUFFIX}"
        try:
            state = file.stat()
        except OSError:
            self._kept.pop(file, None)
            return None
        mark = (state.st_mtime_ns, state.st_size)
        kept = self._kept.get(file)
        if kept is not None and kept[0] == mark:
            return kept[1]
        text = file.read_bytes()[:MAX_BYTES].decode("utf-8", errors="replace").strip()
        self._kept[file] = (mark, text)
        return text
