"""Patterns and paths, without a box."""

import base64
import fnmatch
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.runtime import patterns, workdir

NAMES = st.text("ab.-", min_size=1, max_size=6).filter(lambda name: name.strip(".") != "")


@pytest.mark.parametrize(
    ("path", "pattern", "fits"),
    [
        ("a.png", "*.png", True),
        ("x/a.png", "*.png", False),
        ("a.png", "**/*.png", True),
        ("x/y/a.png", "**/*.png", True),
        ("x/y/a", "x/**", True),
        ("x", "x/**", False),
        ("x/b/a", "x/**/a", True),
        ("x/a", "x/**/a", True),
        ("a", "**", True),
        (".h", "*", False),
        (".h", ".*", True),
        (".git/a", "**", False),
        ("a1", "a[0-9]", True),
        ("a1", "a[!0-9]", False),
        ("a]", "a[]]", True),
        ("a[", "a[", True),
        ("ab", "a?", True),
        ("a", "a?", False),
        ("A", "a", False),
    ],
)
def test_patterns_match_as_in_a_shell(path: str, pattern: str, fits: bool) -> None:
    (parts,) = patterns.check_patterns([pattern])
    assert patterns.matches(path.split("/"), parts) is fits


@given(NAMES.filter(lambda name: not name.startswith(".")), st.text("ab.-*?", min_size=1, max_size=8))
def test_a_name_matches_as_fnmatch_says(name: str, pattern: str) -> None:
    if pattern == "**" or pattern.strip(".") == "":
        return
    assert patterns.matches([name], [pattern]) is fnmatch.fnmatchcase(name, pattern)


@given(st.text(max_size=40))
def test_a_path_that_is_taken_stays_inside(path: str) -> None:
    try:
        parts = workdir.check_path(path)
    except workdir.BadFile:
        return
    assert os.path.normpath("/work/" + path) == "/work/" + "/".join(parts)
    assert not path.startswith("/")


def test_a_link_put_in_place_of_a_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "f").write_text("x")
    root = tmp_path / "root"
    (root / "d").mkdir(parents=True)
    (root / "d" / "f").write_text("x")
    assert workdir.find_outputs(["**"], str(root)).files == [("d/f", 1)]
    (root / "d" / "f").unlink()
    (root / "d").rmdir()
    (root / "d").symlink_to(tmp_path / "secret")
    assert workdir.open_output("d/f", str(root)) is None
    assert workdir.find_outputs(["**"], str(root)).files == []


def test_a_pipe_put_in_place_of_a_file_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "f")
    assert workdir.open_output("f", str(tmp_path)) is None


@pytest.mark.parametrize("size", [0, 1, 3, 196_608, 196_610])
def test_a_file_that_shrinks_is_filled_up(tmp_path: Path, size: int) -> None:
    (tmp_path / "f").write_bytes(b"ab")
    opened = workdir.open_output("f", str(tmp_path))
    assert opened is not None
    try:
        text = b"".join(workdir.read_base64(opened[0], size))
    finally:
        os.close(opened[0])
    assert base64.b64decode(text) == (b"ab" + bytes(size))[:size]
