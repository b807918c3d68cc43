import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from scripts.benchmarks import gateway_figures, load, systems, tables
from scripts.benchmarks.gateway_figures import Plan

ROOT = Path(__file__).parents[2]
BENCH = [sys.executable, "-P", "-m", "scripts.benchmarks"]
TINY = Plan(
    starts=1, settle=0, warm_up=0.1, saturation=0.1, open_loop=0.2, paced=(5, 1, 4), held=(20, 1, 2), flood=0.1,
    flood_chunks=20, repeated=50,
)  # fmt: skip
ASK = load.Request("/v1/chat/completions", {}, {"messages": []})


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, load.Load]:
    return load.build(tmp_path_factory.mktemp("bench"))


@contextmanager
def answering(answer: bytes) -> Iterator[int]:
    """A server that sends `answer` to whatever comes first on a connection, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder)}


def working_in(folder: Path) -> list[str]:
    """Command lines of the processes whose working directory is inside `folder`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink().is_relative_to(folder):
                found.append((process / "cmdline").read_text())
        except OSError:
            continue
    return found


def test_sandgate_is_measured_beside_a_plain_proxy(tmp_path: Path) -> None:
    measured = gateway_figures.measure(tmp_path, TINY, [systems.sandgate, systems.plain_proxy])
    assert measured["left_out"] == {}
    assert list(measured["systems"]) == ["direct", "Sandgate", "Sanic + httpx"]
    for figures in measured["systems"].values():
        assert figures["throughput_openai"]["per_second"] > 0
        assert figures["open_100"]["answers"] == 20
        assert (figures["paced"]["answers"], figures["paced"]["chunks"], figures["paced"]["lost"]) == (5, 20, 0)
        assert (figures["held"]["answers"], figures["held"]["lost"]) == (20, 0)
        assert figures["flood"]["chunks_per_second"] > 0
        assert [figures[key]["errors"] for key in ("throughput_openai", "open_300", "paced", "flood")] == [0] * 4
    ours = measured["systems"]["Sandgate"]
    assert ours["throughput_anthropic"]["answers"] > 0
    assert ours["throughput_gemini"]["answers"] > 0
    assert 0 < ours["start_s"] < 20
    assert ours["memory_rest_mb"] > 10
    printed = tables.gateway_tables(measured)
    assert "x Sanic + httpx" in printed
    assert "Sandgate, Gemini behind" in printed


def test_a_system_that_cannot_start_is_left_out_with_its_reason(tmp_path: Path) -> None:
    def broken(_provider: int, _folder: Path) -> systems.System:
        return systems.System(name="broken", version="", port=1, command=("sh", "-c", "echo no luck; exit 1"))

    measured = gateway_figures.measure(tmp_path, TINY, [broken])
    assert list(measured["systems"]) == ["direct"]
    assert "no luck" in measured["left_out"]["broken"]


def test_answers_that_are_errors_do_not_count_as_throughput(built: tuple[Path, load.Load]) -> None:
    refusal = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"
    with answering(refusal) as port:
        got = built[1].closed(port, ASK, connections=2, seconds=0.2)
    assert got["answers"] == 0
    assert got["errors"] > 0


def test_a_stream_that_is_cut_short_is_an_error(built: tuple[Path, load.Load]) -> None:
    cut = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n12\r\n@0000000000000001@\r\n"
    with answering(cut) as port:
        got = built[1].streams(port, ASK, connections=1, rounds=1, within=0.2, chunks=2)
    assert (got["answers"], got["errors"] > 0) == (0, True)


def test_a_chunk_that_never_came_is_counted_as_lost(built: tuple[Path, load.Load]) -> None:
    short = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        b"9\r\n@00000000\r\n9\r\n00000001@\r\n0\r\n\r\n"  # one stamp, in two pieces
    )
    with answering(short) as port:
        got = built[1].streams(port, ASK, connections=1, rounds=1, within=1, chunks=3)
    assert (got["answers"], got["chunks"], got["lost"]) == (1, 1, 2)


def test_an_interrupted_run_leaves_no_process_and_no_file(tmp_path: Path) -> None:
    with subprocess.Popen(
        [*BENCH, "gateway", "--quick"], env=environment(tmp_path), cwd=tmp_path, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stderr is not None
        for line in running.stderr:
            if "start" in line:
                break
        running.send_signal(signal.SIGINT)
        assert "interrupted" in running.stderr.read()
        assert running.wait(20) == 130
    assert working_in(tmp_path) == []
    assert [file.name for file in tmp_path.iterdir()] == [f"sandgate-bench-{os.getuid()}.lock"]


def test_two_benchmarks_never_measure_at_once(tmp_path: Path) -> None:
    with (tmp_path / f"sandgate-bench-{os.getuid()}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        told = subprocess.run(
            [*BENCH, "gateway"], env=environment(tmp_path), capture_output=True, text=True, timeout=30, check=False
        )
    assert (told.returncode, told.stdout) == (1, "")
    assert "another benchmark is running" in told.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [(["--bogus"], "unknown option --bogus"), (["gateway", "--json"], "--json wants the name of a file")],
)
def test_a_command_line_that_makes_no_sense_is_one_clear_line(arguments: list[str], complaint: str) -> None:
    told = subprocess.run([ROOT / "scripts" / "bench", *arguments], capture_output=True, text=True, check=False)
    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr == f"error: {complaint} (scripts/bench --help)\n"
