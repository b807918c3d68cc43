"""The watch over secrets sees them come out, wherever that is; or its silence would prove nothing."""

import base64
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.secret_watch import MARK, SecretWatch

LEAKS = """
import logging
from contextlib import asynccontextmanager

import httpx
import pytest
from sanic.response import text

from gateway.app import create_app
from gateway.configuration import load
from tests.conftest import serve
from tests.secret_watch import MARK

pytestmark = pytest.mark.anyio
KEY = f"{MARK}-of-the-provider"


@pytest.fixture
def anyio_backend():
    return "asyncio"


@asynccontextmanager
async def leaky(folder, key=KEY, *argv):
    app = create_app(load(argv, {"OPENAI_API_KEY": key, "EXECUTOR_URL": "http://127.0.0.1:9"}, folder))

    @app.get("/body")
    async def body(request):
        return text(f"it is {key}")

    @app.get("/head")
    async def head(request):
        return text("", headers={"x-key": key})

    @app.get("/stream")
    async def stream(request):
        answer = await request.respond()
        await answer.send("what follows is " + key)

    async with serve(app) as url, httpx.AsyncClient(base_url=url) as client:
        yield client, app.ctx


@pytest.mark.parametrize("where", ["body", "head", "stream"])
async def test_an_answer(tmp_path, where):
    async with leaky(tmp_path) as (client, _):
        assert (await client.get(f"/{where}")).status_code == 200


async def test_the_call_log(tmp_path):
    async with leaky(tmp_path) as (_, services):
        services.calls.event("leak", f"the key is {MARK}, which nobody registered")


async def test_an_unmarked_key(tmp_path):
    async with leaky(tmp_path, "sk-nobody-would-see-it"):
        pass


def test_a_log_line():
    logging.getLogger("somewhere").warning("the key is %s", f"{MARK}-that-nobody-registered")


def test_a_log_line_of_an_exception():
    try:
        raise ValueError(f"{MARK}-that-nobody-registered")
    except ValueError:
        logging.getLogger("somewhere").exception("it failed")


def test_what_is_printed():
    print(f"the key is {MARK}")


async def test_the_holder_of_an_access_key_may_see_it_in_one_place(tmp_path):
    async with leaky(tmp_path, KEY, "-k", f"sk-{MARK}-access") as (client, _):
        bearer = {"authorization": f"Bearer sk-{MARK}-access"}
        assert f"sk-{MARK}-access" in (await client.get("/api/config", headers=bearer)).text


async def test_nothing(tmp_path):
    async with leaky(tmp_path) as (client, _):
        assert (await client.get("/health")).text == "ok"
"""
WHERE = {
    "test_an_answer[body]": "the answer to GET /body",
    "test_an_answer[head]": "the answer to GET /head",
    "test_an_answer[stream]": "the answer to GET /stream",
    "test_the_call_log": "the call log",
    "test_an_unmarked_key": "the key of openai of a gateway in the tests has no mark",
    "test_a_log_line": "a log line of somewhere",
    "test_a_log_line_of_an_exception": "a log line of somewhere",
    "test_what_is_printed": "Captured stdout call",
}


def test_a_test_that_lets_a_secret_out_fails_and_is_told_where(tmp_path: Path) -> None:
    (tmp_path / "test_leaks.py").write_text(LEAKS)
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-p", "tests.secret_watch", "-p", "no:cacheprovider", "-c", os.devnull,
            "--rootdir", str(tmp_path), "--show-capture=no", "-rfE", str(tmp_path / "test_leaks.py"),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(root), "COLUMNS": "300"},
    )  # fmt: skip
    failed = {line.split("::")[1].split(" ")[0] for line in done.stdout.splitlines() if line.startswith("FAILED ")}
    assert failed == set(WHERE), done.stdout + done.stderr
    assert "2 passed" in done.stdout
    for where in WHERE.values():
        assert where in done.stdout
    assert MARK not in done.stdout + done.stderr


@pytest.mark.parametrize("before", ["", "x", "xy", "xyz"])
def test_the_mark_is_found_in_every_spelling_and_not_shown(before: str) -> None:
    watch = SecretWatch()
    secret = f"{before}{MARK}/tail of it"
    encoded = secret.encode()
    for said in (
        secret,
        secret.lower(),
        quote(secret, safe=""),
        repr(secret),
        base64.b64encode(encoded),
        encoded.hex(),
    ):
        watch.search("here", said)
        (found,) = watch.take()
        assert MARK.lower() not in found.lower()
        assert "tail" not in found
    watch.search("here", "a MARKED SECRET, and much besides")
    assert watch.take() == []
