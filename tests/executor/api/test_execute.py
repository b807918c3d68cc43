"""POST /execute over HTTP, with real sandboxes (API.md 4.1)."""

import concurrent.futures
import json
import socket
import time
from functools import partial
from typing import Any

import httpx
import pytest

from tests.executor.conftest import Executor
from tests.pacing import at_any_pace

pytestmark = pytest.mark.docker

STREAMS = ("stdout", "stderr")
ANSWER_FIELDS = {
    "id",
    "success",
    "status",
    "result",
    "result_repr",
    "output",
    "stdout",
    "stderr",
    "error",
    "files",
    "displays",
    "truncated",
    "usage",
    "policy",
    "sandbox",
}


def test_a_script_gives_its_output_and_the_value_of_its_last_expression(executor: Executor) -> None:
    answer = executor.execute("print('hello')\n1 + 2")
    assert answer.keys() == ANSWER_FIELDS
    assert answer["id"].startswith("exec_")
    assert (answer["success"], answer["status"], answer["error"]) == (True, "ok", None)
    assert (answer["result"], answer["result_repr"], answer["stdout"]) == (3, "3", "hello\n")
    assert answer["output"] == "hello\n3"
    assert answer["truncated"] == {"stdout": 0, "stderr": 0, "result": False}
    assert answer["policy"] == {
        "timeout_seconds": 10,
        "memory_mb": 256,
        "cpus": 1,
        "processes": 64,
        "network": "none",
        "image": "base",
        "runtime": "runc",
    }
    assert answer["sandbox"]["python"].startswith("3.")
    assert answer["usage"].keys() == {"wall_ms", "cpu_ms", "memory_peak_mb", "queue_ms"}


def test_a_function_is_called_with_the_input(executor: Executor) -> None:
    answer = executor.execute("def add(a, b):\n    return a + b", input={"a": 1, "b": 2})
    assert (answer["status"], answer["result"], answer["output"]) == ("ok", 3, "3")


def test_an_exception_tells_its_line_and_what_was_written_before(executor: Executor) -> None:
    answer = executor.execute("print('before')\n\n1 / 0")
    assert (answer["success"], answer["status"], answer["stdout"]) == (False, "error", "before\n")
    assert (answer["error"]["type"], answer["error"]["line"]) == ("ZeroDivisionError", 3)
    assert "<code>" in answer["error"]["traceback"]


def test_an_endless_loop_ends_at_its_limit_with_the_output_so_far(executor: Executor) -> None:
    began = time.monotonic()
    answer = executor.execute("print('so far', flush=True)\nwhile True: pass", timeout_seconds=0.8)
    assert time.monotonic() - began < 8  # the default is 10
    assert (answer["status"], answer["stdout"]) == ("timeout", "so far\n")
    assert answer["error"]["type"] == "timeout"
    assert "0.8 s" in answer["error"]["message"]
    assert "timeout_seconds" in answer["error"]["message"]
    assert answer["error"]["traceback"] == ""
    assert answer["usage"]["wall_ms"] >= 780


def test_too_much_memory_is_told_as_that_and_which_field_raises_it(executor: Executor) -> None:
    answer = executor.execute("x = bytearray(10**9)\nfor i in range(0, 10**9, 4096): x[i] = 1", memory_mb=64)
    assert (answer["status"], answer["policy"]["memory_mb"]) == ("out_of_memory", 64)
    assert "64 MiB" in answer["error"]["message"]
    assert "memory_mb" in answer["error"]["message"]


def test_limits_of_a_run_are_those_that_it_asked_for(executor: Executor) -> None:
    eat = "x = bytearray(300 * 2**20)\nfor i in range(0, len(x), 4096): x[i] = 1\nlen(x)"
    assert executor.execute(eat)["status"] == "out_of_memory"
    answer = executor.execute(eat, memory_mb=512, cpus=2)
    assert answer["status"] == "ok"
    assert (answer["policy"]["memory_mb"], answer["policy"]["cpus"]) == (512, 2)


def test_files_go_in_and_come_out(executor: Executor) -> None:
    answer = executor.execute(
        "import pathlib\npathlib.Path('out.txt').write_text(pathlib.Path('in/a.txt').read_text().upper())",
        files=[{"path": "in/a.txt", "content": "hi"}],
        outputs=["*.txt"],
    )
    assert answer["files"] == [{"path": "out.txt", "size": 2, "mime": "text/plain", "content_base64": "SEk="}]


def test_a_match_that_is_no_regular_file_is_named_with_the_reason(executor: Executor) -> None:
    answer = executor.execute("import os\nos.symlink('/etc/passwd', 'stolen.txt')", outputs=["*.txt"])
    assert answer["files"] == []
    [skipped] = answer["truncated"]["skipped"]
    assert skipped["path"] == "stolen.txt"
    assert skipped["reason"] == "not a regular file"


def test_each_input_of_a_batch_has_its_own_result_in_order(executor: Executor) -> None:
    answer = executor.execute("def half(x):\n    print(x)\n    return 10 / x", inputs=[1, 0, 4])
    assert [part["status"] for part in answer["results"]] == ["ok", "error", "ok"]
    assert [part["result"] for part in answer["results"]] == [10, None, 2.5]
    assert [part["stdout"] for part in answer["results"]] == ["1\n", "0\n", "4\n"]
    assert (answer["success"], answer["status"], answer["stdout"]) == (False, "error", "1\n0\n4\n")
    assert answer["error"] == answer["results"][1]["error"] | {"message": answer["error"]["message"]}
    assert "1 of 3" in answer["error"]["message"]


def test_a_batch_has_the_exit_code_of_the_first_input_that_left(executor: Executor) -> None:
    answer = executor.execute("import sys\ndef leave(code):\n    sys.exit(code)", inputs=[0, 4, 5])
    assert [part["status"] for part in answer["results"]] == ["ok", "exit", "exit"]
    assert (answer["status"], answer["error"]["type"], answer["error"]["exit_code"]) == ("exit", "SystemExit", 4)


def test_a_batch_whose_code_does_not_compile_has_an_answer_for_each_input(executor: Executor) -> None:
    answer = executor.execute("def f(x:", inputs=[1, 2])
    assert answer["status"] == "syntax_error"
    assert [part["status"] for part in answer["results"]] == ["syntax_error"] * 2


def test_a_batch_without_inputs_is_ok_and_has_no_results(executor: Executor) -> None:
    answer = executor.execute("def f(x):\n    return x", inputs=[])
    assert (answer["success"], answer["status"], answer["results"]) == (True, "ok", [])


def test_numbers_and_texts_that_only_python_reads_arrive_as_it_reads_them(executor: Executor) -> None:
    code = b"def f(x):\\n    return [repr(each) for each in x]"
    for form in (b'"input": %s', b'"inputs": [%s]'):
        job = b'{"code": "%s", %s}' % (code, form % b'{"x": ["\\ud800", 1e999]}')
        with executor.client() as client:
            answer = client.post("/execute", content=job, headers={"content-type": "application/json"}).json()
        told = answer.get("results", [answer])[0]
        assert told["result"] == [r"'\ud800'", "inf"]


def test_one_slow_input_of_a_batch_does_not_end_the_others(executor: Executor) -> None:
    answer = executor.execute(
        "import time\ndef nap(x):\n    time.sleep(x)\n    return x", inputs=[0, 30, 0], timeout_seconds=1
    )
    assert [part["status"] for part in answer["results"]] == ["ok", "timeout", "ok"]


def test_no_two_runs_share_a_box(executor: Executor) -> None:
    executor.execute("open('/tmp/left', 'w').write('x')")
    assert executor.execute("import os\nos.path.exists('/tmp/left')")["result"] is False


@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        (b"{", "application/json", 400, "invalid_json"),
        (b"", "application/json", 400, "invalid_json"),
        (b"{}", "application/json", 400, "invalid_request"),
        (b'{"code": "1"}', "text/plain", 415, "unsupported_media_type"),
        (b'{"code": "1"}', "", 415, "unsupported_media_type"),
        (b'{"code": "1", "input": %s}' % (b"[" * 100_000), "application/json", 400, "invalid_json"),
        (b" " * (17 * 1024 * 1024), "application/json", 413, "request_too_large"),
    ],
)
def test_a_bad_request_is_refused_by_its_kind(
    executor: Executor, body: bytes, kind: str, status: int, code: str
) -> None:
    with executor.client() as client:
        answer = client.post("/execute", content=body, headers={"content-type": kind, "x-request-id": "my-id.1"})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["request_id"] == answer.headers["x-request-id"] == "my-id.1"


def test_a_body_of_unknown_length_is_counted(executor: Executor) -> None:
    with executor.client() as client:
        answer = client.post(
            "/execute",
            content=(b" " * 65536 for _ in range(300)),
            headers={"content-type": "application/json; charset=utf-8"},
        )
    assert answer.status_code == 413


@pytest.mark.parametrize("sent", ["", "a b", "x" * 129, "a/b"])
def test_an_insane_request_id_is_replaced(executor: Executor, sent: str) -> None:
    with executor.client() as client:
        answer = client.get("/executions", headers={"x-request-id": sent})
    assert answer.headers["x-request-id"] not in ("", sent)


def test_unknown_paths_methods_and_images_are_told_as_that(executor: Executor) -> None:
    with executor.client() as client:
        assert client.get("/nope").json()["code"] == "not_found"
        refused = client.get("/execute")
        assert (refused.status_code, refused.json()["error"]) == (405, "Method Not Allowed")
        assert refused.headers["allow"] == "POST"
        unknown = client.post("/execute", json={"code": "1", "image": "ml"})
    assert (unknown.status_code, unknown.json()["details"][0]["field"]) == (400, "image")


def events(response: httpx.Response) -> list[tuple[str, Any, float]]:
    """The events of a stream, each with when it came."""
    found = []
    name = ""
    for line in response.iter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            found.append((name, json.loads(line.removeprefix("data: ")), time.monotonic()))
    return found


def test_a_stream_tells_what_is_written_when_it_is_written(executor: Executor) -> None:
    at_any_pace(partial(hear_a_pause, executor))


def hear_a_pause(executor: Executor, pace: float) -> None:
    pause = f"time.sleep({0.6 * pace})"
    code = f"import sys, time\nprint('one', flush=True)\n{pause}\nprint('two', file=sys.stderr, flush=True)\n7"
    with executor.client() as client, client.stream("POST", "/execute", json={"code": code, "stream": True}) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-cache"
        assert answer.headers["x-request-id"]
        told = events(answer)
    assert [told[0][0], told[-1][0]] == ["start", "done"]
    written = {stream: [(data["text"], when) for name, data, when in told if name == stream] for stream in STREAMS}
    assert {stream: "".join(text for text, _ in texts) for stream, texts in written.items()} == {
        "stdout": "one\n",
        "stderr": "two\n",
    }
    assert written["stderr"][0][1] - written["stdout"][0][1] > 0.4 * pace
    done = told[-1][1]
    assert done.keys() == ANSWER_FIELDS
    assert (done["id"], done["stdout"], done["result"]) == (told[0][1]["id"], "one\n", 7)


def test_a_stream_cuts_no_character_in_two(executor: Executor) -> None:
    code = "import os, time\nfor byte in 'é\\u20ac'.encode():\n    os.write(1, bytes([byte]))\n    time.sleep(0.02)"
    with executor.client() as client, client.stream("POST", "/execute", json={"code": code, "stream": True}) as answer:
        told = events(answer)
    assert "".join(data["text"] for name, data, _ in told if name == "stdout") == "é€"
    assert told[-1][1]["stdout"] == "é€"


def test_a_streamed_batch_tells_each_result_as_it_comes(executor: Executor) -> None:
    fields = {"code": "def f(x):\n    print(x)\n    return x", "inputs": [1, 2], "stream": True}
    with executor.client() as client, client.stream("POST", "/execute", json=fields) as answer:
        told = events(answer)
    assert [(data["index"], data["result"]) for name, data, _ in told if name == "result"] == [(0, 1), (1, 2)]
    assert [part["result"] for part in told[-1][1]["results"]] == [1, 2]
    assert told[-1][1]["stdout"] == "".join(data["text"] for name, data, _ in told if name == "stdout") == "1\n2\n"


def test_a_file_of_a_stream_is_announced_and_comes_at_the_end(executor: Executor) -> None:
    fields = {"code": "open('a.txt', 'w').write('x')", "outputs": ["*"], "stream": True}
    with executor.client() as client, client.stream("POST", "/execute", json=fields) as answer:
        told = events(answer)
    assert ("file", {"path": "a.txt", "size": 1, "mime": "text/plain"}) in [(name, data) for name, data, _ in told]
    assert told[-1][1]["files"][0]["content_base64"] == "eA=="


def test_a_refusal_of_a_stream_is_an_ordinary_error(executor: Executor) -> None:
    with executor.client() as client:
        answer = client.post("/execute", json={"code": "", "stream": True})
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/json")


def test_a_run_that_is_cancelled_ends_as_that_with_its_output(executor: Executor) -> None:
    code = "print('begun', flush=True)\nimport time\ntime.sleep(30)"
    with concurrent.futures.ThreadPoolExecutor() as threads, executor.client() as client:
        [running] = executor.begin(threads, code, timeout_seconds=30, user="zoe")
        [entry] = listed(client, "zoe")
        assert entry.keys() == {"id", "user", "image", "request_id", "started_at"}
        assert client.delete(f"/executions/{entry['id']}").status_code == 202
        answer = running.result(timeout=20)
        assert (answer["status"], answer["stdout"], answer["id"]) == ("cancelled", "begun\n", entry["id"])
        assert client.delete(f"/executions/{entry['id']}").status_code == 404


def test_a_log_line_leads_from_a_container_to_its_request(executor: Executor) -> None:
    with executor.client() as client:
        answer = client.post("/execute", json={"code": "1"}, headers={"x-request-id": "from-a-test-of-lines"})
    told = [line for line in executor.log.read_text().splitlines() if "[from-a-test-of-lines]" in line]
    assert any(f"{answer.json()['id']} of ann runs in sandgate-" in line for line in told), told


def test_a_client_that_leaves_takes_its_run_with_it(executor: Executor) -> None:
    for stream in (False, True):
        job = json.dumps({"code": "import time; time.sleep(60)", "timeout_seconds": 60, "stream": stream}).encode()
        head = f"POST /execute HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {executor.token('leaver')}\r\n"
        head += f"content-type: application/json\r\ncontent-length: {len(job)}\r\n\r\n"
        url = httpx.URL(executor.url)
        with executor.client() as client:
            with socket.create_connection((url.host, url.port)) as leaver:
                leaver.sendall(head.encode() + job)
                executor.wait(lambda client=client: listed(client, "leaver"))
            executor.wait(lambda client=client: not listed(client, "leaver"), 10)


def listed(client: httpx.Client, user: str) -> list[dict[str, Any]]:
    return [entry for entry in client.get("/executions").json()["executions"] if entry["user"] == user]
