"""The call log under several processes, some of which are killed."""

import os
import signal
import subprocess
import sys
import time

from gateway.telemetry.database import Database

WRITER = """
import asyncio, sys
from pathlib import Path
from gateway.settings import Settings
from gateway.telemetry.calls import Call, CallLog

async def main(name, count):
    log = CallLog(Settings(providers={}, workers=2), folder=Path(sys.argv[1]))
    await log.start()
    for n in range(count):
        log.record(Call(request_id=f"{name}-{n}", path="/llm", status=200, duration_ms=1.0))
        if n % 50 == 49:
            print(n + 1, flush=True)
            await asyncio.sleep(0.02)
    await log.stop()

asyncio.run(main(sys.argv[2], int(sys.argv[3])))
"""


def start(folder, name, count):
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder), name, str(count)], stdout=subprocess.PIPE, text=True
    )


def kept(folder):
    """The calls in the file, oldest first."""
    database = Database(folder / "calls.sqlite3")
    try:
        assert database.connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return database.read_calls(100_000, None, {}, None)[0][::-1]
    finally:
        database.close()


def test_two_processes_writing_at_once_lose_nothing(tmp_path):
    writers = [start(tmp_path, "one", 1500), start(tmp_path, "two", 1500)]
    for writer in writers:
        writer.communicate(timeout=30)
        assert writer.returncode == 0
    calls = kept(tmp_path)
    assert [call.id for call in calls] == list(range(1, 3001))
    assert len({call.request_id for call in calls}) == 3000


def write_and_be_killed(folder):
    """Write for 1.6 s until killed; gives how many calls are in the file, and had been recorded a second before."""
    folder.mkdir()
    writer = start(folder, "one", 100_000)
    recorded = [(0, int(writer.stdout.readline()))]
    began = time.monotonic()
    while time.monotonic() < began + 1.6:
        recorded.append((time.monotonic(), int(writer.stdout.readline())))
    os.kill(writer.pid, signal.SIGKILL)
    killed = time.monotonic()
    writer.communicate()
    names = [call.request_id for call in kept(folder)]
    assert names == [f"one-{n}" for n in range(len(names))]
    return len(names), max(count for moment, count in recorded if moment < killed - 1.0)


def test_a_killed_process_loses_the_last_second_at_most_and_leaves_a_sound_file(tmp_path):
    tries = (write_and_be_killed(tmp_path / str(number)) for number in range(4))
    assert any(written >= safe for written, safe in tries)  # a busy disk takes its time once, not always
    assert start(tmp_path / "0", "two", 10).wait(timeout=30) == 0
    assert [call.request_id for call in kept(tmp_path / "0")[-10:]] == [f"two-{n}" for n in range(10)]
