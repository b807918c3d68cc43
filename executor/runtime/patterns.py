"""Glob patterns, matched in bounded time: a pattern comes from outside, and the matching is done by the supervisor."""

from __future__ import annotations

from executor.runtime.processes import WORKDIR

TYPE_CHECKING = False  # for types only: see `executor.runtime`
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

MAX_PATTERNS = 100
MAX_PATTERN = 1024


class BadPattern(Exception):
    """A pattern of the job cannot be taken; the message is for its author."""


def check_patterns(patterns: Sequence[Any]) -> list[tuple[str, ...]]:
    """Take glob patterns apart at their slashes; `BadPattern` on what cannot be one."""
    if len(patterns) > MAX_PATTERNS:
        raise BadPattern(f"{len(patterns)} patterns of outputs; {MAX_PATTERNS} are allowed")
    checked = []
    for pattern in patterns:
        if not isinstance(pattern, str) or not pattern or len(pattern) > MAX_PATTERN:
            raise BadPattern("a pattern of outputs must be a text that is neither empty nor too long")
        inside = pattern.removeprefix(f"{WORKDIR}/")
        if inside.startswith("/") or ".." in inside.split("/"):
            raise BadPattern(f"the pattern {pattern[:80]!a} leaves the working directory")
        parts = tuple(part for part in inside.split("/") if part not in ("", "."))
        checked.append((*parts, "*") if parts[-1:] == ("**",) else parts)  # a last `**` means the files below
    return checked


def matches(path: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a path fits a pattern, both taken apart: `*`, `?`, `[…]` within a name, `**` for any folders.

    As in a shell, a name that begins with a dot is only matched by a pattern that does. Takes time proportional to
    the product of both lengths, whatever the pattern.
    """
    reached = {0}
    for name in path:
        following = set()
        for at in _skip_stars(reached, pattern):
            if at == len(pattern):
                continue
            if pattern[at] == "**":
                if not name.startswith("."):
                    following.add(at)
            elif _fits(name, pattern[at]):
                following.add(at + 1)
        reached = following
    return len(pattern) in reached


def _skip_stars(reached: set[int], pattern: Sequence[str]) -> set[int]:
    everything = set(reached)
    for at in reached:
        while at < len(pattern) and pattern[at] == "**":
            at += 1
            everything.add(at)
    return everything


def _fits(name: str, pattern: str) -> bool:
    if name.startswith(".") and not pattern.startswith("."):
        return False
    tokens = _tokens(pattern)
    at = star = mark = 0
    star = -1
    index = 0
    while index < len(name):
        if at < len(tokens) and tokens[at] == "*":
            star, mark = at, index
            at += 1
        elif at < len(tokens) and _fits_one(name[index], tokens[at]):
            at += 1
            index += 1
        elif star >= 0:
            mark += 1
            at, index = star + 1, mark
        else:
            return False
    return all(token == "*" for token in tokens[at:])


def _tokens(pattern: str) -> list[str]:
    tokens = []
    at = 0
    while at < len(pattern):
        end = pattern.find("]", at + 2) if pattern[at] == "[" else -1
        if end > 0 and pattern[at : at + 3] == "[!]":
            end = pattern.find("]", at + 3)
        token = pattern[at : end + 1] if end > 0 else pattern[at]
        tokens.append(token)
        at += len(token)
    return tokens


def _fits_one(letter: str, token: str) -> bool:
    if token == "?" or (len(token) == 1 and token == letter):
        return True
    if len(token) < 3:
        return False
    body = token[1:-1]
    negated = body.startswith("!")
    body = body[1:] if negated else body
    inside = False
    at = 0
    while at < len(body):
        if body[at + 1 : at + 2] == "-" and at + 2 < len(body):
            inside |= body[at] <= letter <= body[at + 2]
            at += 3
        else:
            inside |= body[at] == letter
            at += 1
    return inside != negated
