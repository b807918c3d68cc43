import logging
import subprocess
import sys

from gateway.telemetry.rotation import SharedRotatingFile

WRITER = """
import logging, sys
from pathlib import Path
from gateway.telemetry.rotation import SharedRotatingFile
handler = SharedRotatingFile(Path(sys.argv[1]), max_bytes=4000, backups=50)
log = logging.getLogger("w")
log.addHandler(handler)
log.setLevel("INFO")
for n in range(400):
    log.info("%s line %04d", sys.argv[2], n)
"""


def line(text):
    return logging.LogRecord("x", logging.INFO, "", 0, text, (), None)


def test_the_oldest_file_goes_and_the_newest_has_the_name(tmp_path):
    handler = SharedRotatingFile(tmp_path / "log", max_bytes=100, backups=2)
    for n in range(20):
        handler.emit(line(f"line {n:02d} " + "x" * 40))
    handler.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "log.1", "log.2", "log.lock"]
    assert "line 19" in (tmp_path / "log").read_text()
    assert "line 00" not in "".join(path.read_text() for path in tmp_path.iterdir())


def test_processes_that_rotate_one_file_lose_and_mix_no_line(tmp_path):
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "log"), name]) for name in ("one", "two")]
    assert [writer.wait() for writer in writers] == [0, 0]
    files = [path for path in tmp_path.iterdir() if path.name != "log.lock"]
    lines = sorted(line for path in files for line in path.read_text().splitlines())
    assert lines == sorted(f"{name} line {n:04d}" for name in ("one", "two") for n in range(400))
    assert len(files) > 2


def test_a_file_moved_away_by_somebody_else_is_begun_anew(tmp_path):
    handler = SharedRotatingFile(tmp_path / "log", max_bytes=10_000, backups=1)
    handler.emit(line("before"))
    (tmp_path / "log").rename(tmp_path / "moved")
    handler.emit(line("after"))
    handler.close()
    assert (tmp_path / "log").read_text() == "after\n"
    assert (tmp_path / "moved").read_text() == "before\n"
