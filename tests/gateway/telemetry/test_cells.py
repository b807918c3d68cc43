"""Numbers that workers count in by themselves, and that anyone adds up."""

import subprocess
import sys
from pathlib import Path

from gateway.telemetry.cells import FIRST_CELLS, Cells

WORKER = """
import sys
from pathlib import Path
from gateway.telemetry.cells import Cells
cells = Cells(Path(sys.argv[1]))
place = cells.add("calls", ("a",), 2)
for _ in range(100_000):
    cells.row[place] += 1
print("counted", flush=True)
sys.stdin.read()
"""


def test_what_is_counted_is_there_at_once_for_everybody(tmp_path: Path) -> None:
    mine, other = Cells(tmp_path), Cells(tmp_path)
    place = mine.add("calls", ("a", 'quote"\n'), 2)
    mine.row[place] += 2
    mine.row[place + 1] += 0.5
    (found,) = other.read()
    assert (found.name, found.labels, found.numbers) == ("calls", ("a", 'quote"\n'), (2.0, 0.5))


def test_rows_grow_and_lose_nothing(tmp_path: Path) -> None:
    for cells in (Cells(tmp_path), Cells(None)):
        for number in range(2 * FIRST_CELLS // 10):
            place = cells.add("calls", (str(number),), 10)
            cells.row[place + 9] += number
        last = [stretch.numbers[-1] for stretch in cells.read()]
        assert last == list(range(2 * FIRST_CELLS // 10))


def test_without_a_folder_the_row_is_this_objects_own() -> None:
    mine, other = Cells(None), Cells(None)
    place = mine.add("calls", (), 1)
    mine.row[place] += 3
    assert [stretch.numbers for stretch in mine.read()] == [(3.0,)]
    assert other.read() == []


def test_a_worker_that_was_killed_has_counted_all_and_is_known_to_be_gone(tmp_path: Path) -> None:
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert worker.stdout is not None
    assert worker.stdout.readline() == "counted\n"
    reader = Cells(tmp_path)
    assert [(stretch.numbers, stretch.living) for stretch in reader.read()] == [((100_000.0, 0.0), True)]
    worker.kill()
    worker.communicate()
    assert [(stretch.numbers, stretch.living) for stretch in reader.read()] == [((100_000.0, 0.0), False)]


def test_of_two_workers_with_one_process_id_only_the_later_one_lives(tmp_path: Path) -> None:
    first, second = Cells(tmp_path), Cells(tmp_path)
    first.add("calls", ("first",), 1)
    second.add("calls", ("second",), 1)
    assert {stretch.labels[0]: stretch.living for stretch in first.read()} == {"first": False, "second": True}
