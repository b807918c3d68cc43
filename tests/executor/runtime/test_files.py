"""Files in and out: API.md 4.1 `files`, `outputs`, in real boxes."""

import base64
from typing import Any

import pytest

from executor.runtime.workdir import guess_mime
from tests.attacks.box import Boxes, policy_of, run_in_box
from tests.pacing import at_any_pace

pytestmark = pytest.mark.docker


def file(path: str, content: bytes = b"") -> dict[str, str]:
    return {"path": path, "content_base64": base64.b64encode(content).decode()}


def paths(files: list[dict[str, Any]]) -> list[str]:
    return [found["path"] for found in files]


def test_files_are_there_before_the_code_runs(boxes: Boxes) -> None:
    told = boxes.run("open('in/a b.txt', 'rb').read().hex()", files=[file("in/a b.txt", b"\x00\xff"), file("in/c")])
    assert told.result == "00ff"


def test_outputs_come_back_in_order_of_their_paths(boxes: Boxes) -> None:
    code = """
import os
os.makedirs("out/deep")
for path in ("z.txt", "a.png", "out/b.csv", "out/deep/c.csv", "skipped.log", ".hidden.txt"):
    open(path, "w").write(path)
"""
    told = boxes.run(
        code, outputs=["*.txt", "**/*.csv", "*.png", "/work/nothing"], files=[file("kept.txt"), file("un")]
    )
    assert told.status == "ok"
    assert paths(told.files) == ["a.png", "kept.txt", "out/b.csv", "out/deep/c.csv", "z.txt"]
    first = told.files[0]
    assert (first["mime"], first["size"], base64.b64decode(first["content_base64"])) == ("image/png", 5, b"a.png")


@pytest.mark.parametrize("size", [0, 1, 2, 3, 196607, 196608, 196609, 3_000_001])
def test_content_of_any_size_is_exact(boxes: Boxes, size: int) -> None:
    told = boxes.run(f"open('f', 'wb').write(bytes(i % 251 for i in range({size})))", outputs=["f"])
    assert base64.b64decode(told.files[0]["content_base64"], validate=True) == bytes(i % 251 for i in range(size))


def test_outputs_come_back_after_an_error_too(boxes: Boxes) -> None:
    told = boxes.run("open('f', 'w').write('x')\n1/0", outputs=["f"])
    assert (told.status, paths(told.files)) == ("error", ["f"])


def test_no_outputs_after_a_kill(boxes: Boxes) -> None:
    def attempt(pace: float) -> None:
        code = "import time\nopen('f', 'w').write('x')\nprint('written', end='')\ntime.sleep(60)"
        told = boxes.run(code, outputs=["f"], timeout_seconds=0.3 * pace)
        assert (told.status, told.stdout, told.files) == ("timeout", "written", [])

    at_any_pace(attempt)


def test_beyond_the_caps_files_are_named(boxes: Boxes) -> None:
    code = "for n in range(5): open(f'{n}', 'w').write('x' * (10 + 100 * (n == 1)))"
    told = boxes.run(code, outputs=["*"], limits={"files_count": 3, "files_bytes": 100})
    assert paths(told.files) == ["0", "2", "3"]
    assert told.verdict["truncated"]["files"] == ["1", "4"]


def test_only_regular_files_are_taken(boxes: Boxes) -> None:
    code = """
import os, socket
open("real", "w").write("x")
os.symlink("/etc/passwd", "link")
os.symlink("/etc", "folder")
os.symlink("real", "inner")
os.link("real", "twin")
os.mkfifo("pipe")
socket.socket(socket.AF_UNIX).bind("socket")
os.mkdir("named.txt")
open(b"bad\\xff.txt", "w").write("x")
open("new\\nline", "w").write("x")
open("-dash", "w").write("x")
"""
    told = boxes.run(code, outputs=["*", "folder/*", "named.txt/**"])
    assert told.status == "ok"
    assert paths(told.files) == ["-dash", "new\nline"]
    skipped = {entry["path"] for entry in told.verdict["truncated"]["skipped"]}
    assert skipped == {"bad�.txt", "folder", "inner", "link", "pipe", "real", "socket", "twin"}


def test_no_file_from_elsewhere_can_be_given_a_name_in_the_working_directory(boxes: Boxes) -> None:
    code = """
import errno, os
open("/tmp/mine", "w").close()
found = []
for path in ("/tmp/mine", "/etc/passwd", "/etc/hostname", "/proc/self/environ", "/proc/1/environ"):
    try: os.link(path, f"named{len(found)}"); found.append(path)
    except OSError as error: found.append(errno.errorcode[error.errno])
found
"""
    told = boxes.run(code, outputs=["*"])
    assert set(told.result) <= {"EXDEV", "EPERM", "EACCES"}
    assert told.files == []


@pytest.mark.parametrize(
    ("name", "mime"),
    [("a.css", "text/css"), ("a.BMP", "image/bmp"), ("a.ogg", "audio/ogg"), ("a", "application/octet-stream"),
     ("a.xls", "application/vnd.ms-excel"), ("a.tar.gz", "application/gzip"),
     ("a.docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
     ("a.pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation")],
)  # fmt: skip
def test_the_type_of_a_file_is_told_by_its_ending(name: str, mime: str) -> None:
    assert guess_mime(name) == mime


def test_a_huge_sparse_file_is_named_and_not_read(boxes: Boxes) -> None:
    code = "import os\nfd = os.open('sparse', os.O_CREAT | os.O_RDWR)\nos.ftruncate(fd, 60 << 20)"
    told = boxes.run(code, outputs=["*"])
    assert (told.status, told.files, told.verdict["truncated"]["files"]) == ("ok", [], ["sparse"])


def test_a_deep_and_crowded_folder_ends_in_time(boxes: Boxes) -> None:
    code = """
import os
for n in range(12_000): open(f"f{n}", "w").close()
os.mkdir("d"); top = os.open("d", os.O_RDONLY)
for _ in range(1000):
    os.mkdir("d", dir_fd=top); inner = os.open("d", os.O_RDONLY, dir_fd=top); os.close(top); top = inner
"""
    told = boxes.run(code, outputs=["**"])
    assert told.status == "ok"
    assert len(told.files) == 100
    assert len(told.verdict["truncated"]["files"]) == 1000
    assert any(entry["reason"] == "too deep" for entry in told.verdict["truncated"]["skipped"])


def test_a_pattern_that_explodes_elsewhere_takes_no_time(boxes: Boxes) -> None:
    def attempt(pace: float) -> None:
        told = boxes.run("open('a' * 200, 'w').close()", outputs=["*a" * 60 + "b", "**/" * 30 + "b"])
        assert (told.status, told.files) == ("ok", [])
        assert told.times[-1] < pace

    at_any_pace(attempt)


@pytest.mark.parametrize(
    "path",
    ["/etc/x", "../x", "a/../../x", "", ".", "a/", "a\0b", "x" * 256, "/".join("d" * 40), "\udcff"],
)
def test_files_outside_are_refused(boxes: Boxes, path: str) -> None:
    told = boxes.run("print('never')", files=[file(path)])
    assert (told.status, told.stdout) == ("bad_input", "")


@pytest.mark.parametrize("both", [("a", "a/b"), ("a/b/c", "a/b"), ("a", "a"), ("a", "./a")])
def test_files_in_each_others_way_are_refused(boxes: Boxes, both: tuple[str, str]) -> None:
    assert boxes.run("1", files=[file(path) for path in both]).status == "bad_input"


def test_files_that_do_not_fit_are_refused() -> None:
    told = run_in_box("1", policy_of(workdir_mb=1), files=[file(f"f{n}", b"x" * 300_000) for n in range(5)])
    assert told.status == "bad_input"
    assert "WORKDIR_MB" in told.error["message"]


@pytest.mark.parametrize("pattern", ["/etc/*", "../*", "a/../../b", ""])
def test_patterns_that_lead_outside_are_refused(boxes: Boxes, pattern: str) -> None:
    assert boxes.run("1", outputs=[pattern]).status == "bad_input"
