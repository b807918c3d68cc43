"""What the benchmark says while it works: steps and warnings on stderr, so that tables can be piped."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


class CannotMeasure(Exception):
    """Something is missing that all measurements need; the message says what to do."""


class Unavailable(Exception):
    """One of the systems cannot be measured here; the message says why, and goes beside the tables."""


def paint(code: str, text: str) -> str:
    """Colour `text` by an ANSI code, if somebody watches."""
    return f"\x1b[{code}m{text}\x1b[0m" if sys.stderr.isatty() else text


def say(text: str) -> None:
    """One line of progress."""
    print(f"{paint('1', '==>')} {text}", file=sys.stderr, flush=True)


def warn(text: str) -> None:
    """One line about what is not as it should be."""
    print(f"{paint('33', 'note:')} {text}", file=sys.stderr, flush=True)


@contextmanager
def step(text: str) -> Iterator[None]:
    """A step on one line, with the seconds it took."""
    started = time.monotonic()
    if sys.stderr.isatty():
        print(f"    {text} …", end="\r", file=sys.stderr, flush=True)
    yield
    print(
        f"    {text} {paint('2', f'({time.monotonic() - started:.1f} s)')}\x1b[K"
        if sys.stderr.isatty()
        else f"    {text} ({time.monotonic() - started:.1f} s)",
        file=sys.stderr,
        flush=True,
    )
