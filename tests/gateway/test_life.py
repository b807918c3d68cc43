"""The real gateway as a process: its streams at SIGTERM, its catalogue over workers, its commands."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from sanic import Request, Sanic, response

from tests.conftest import free_port, serve
from tests.fakes.openai import FakeOpenAI
from tests.gateway.serving import NOBODY
from tests.pacing import PATIENCE
from tests.secret_watch import MARK, watch

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]

CHAT = {"messages": [{"role": "user", "content": "one two three four five six"}], "stream": True}


async def run(folder: Path, *argv: str, **environ: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "gateway", *argv),
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "TMPDIR": str(folder),
            "EXECUTOR_URL": NOBODY,
            **environ,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def finish(process: asyncio.subprocess.Process) -> tuple[int | None, list[str], str]:
    out, err = await asyncio.wait_for(process.communicate(), 60)
    watch.search("what a process said", out + err)
    return process.returncode, out.decode().splitlines(), err.decode()


@asynccontextmanager
async def running(
    folder: Path, *argv: str, **environ: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, httpx.AsyncClient]]:
    """Run the gateway until it answers; gives the process and a client that keeps no connection open."""
    port = free_port()
    process = await run(folder, "--port", str(port), *argv, **environ)
    limits = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", limits=limits, timeout=60) as client:
        try:
            async with asyncio.timeout(60):
                while not await answers(client):
                    await asyncio.sleep(0.05)
            yield process, client
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGKILL if "--workers" not in argv else signal.SIGTERM)
            await finish(process)


async def answers(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/health")).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/llm"])
async def test_a_stream_from_a_provider_is_finished_at_sigterm(tmp_path: Path, workers: str, path: str) -> None:
    async with running(tmp_path, "--workers", workers) as (process, client):
        body = {**CHAT, "model": "stub:stub-slow", **({"type": "chat"} if path == "/llm" else {})}
        async with client.stream("POST", path, json=body) as answer:
            pieces = answer.aiter_text()
            text = await anext(pieces)
            process.send_signal(signal.SIGTERM)
            text += "".join([piece async for piece in pieces])
        assert answer.status_code == 200
        assert text.count("data: ") > 5
        assert text.endswith("data: [DONE]\n\n")
        status, _, said = await finish(process)
        assert status == 0
        assert "Traceback" not in said


async def test_a_refresh_of_the_catalogue_reaches_all_workers(tmp_path: Path) -> None:
    fake = FakeOpenAI()
    async with (
        serve(fake.app) as url,
        running(tmp_path, "--workers", "2", OPENAI_COMPAT_BASE_URL=f"{url}/v1") as (_, client),
    ):
        await until_all_list(client, "compat:gpt-4o-mini")
        fake.models = ("brand-new",)
        assert (await client.post("/v1/models/refresh", json={})).json()["providers"]["compat"] == {"models": 1}
        await until_all_list(client, "compat:brand-new")


async def until_all_list(client: httpx.AsyncClient, model: str) -> None:
    """Wait until twenty new connections in a row, over all workers, find the model."""
    async with asyncio.timeout(PATIENCE):
        while not all([model in (await client.get("/v1/models")).text for _ in range(20)]):
            await asyncio.sleep(0.1)


async def test_models_prints_what_is_kept_and_asks_again_only_when_told_to(tmp_path: Path) -> None:
    fake = FakeOpenAI()
    async with serve(fake.app) as url:
        environ = {"OPENAI_COMPAT_BASE_URL": f"{url}/v1", "DATA_DIR": str(tmp_path / "data")}
        first = await finish(await run(tmp_path, "models", **environ))
        fake.models = ("brand-new",)
        second = await finish(await run(tmp_path, "models", **environ))
        assert first == second
        assert first[:2] == (0, ["compat:gpt-4o-mini", "compat:gpt-5-think", "compat:text-embedding-3-small"])
        assert (await finish(await run(tmp_path, "models", "--refresh", **environ)))[1] == ["compat:brand-new"]
        assert (await finish(await run(tmp_path, "models", **environ)))[1] == ["compat:brand-new"]


async def test_models_asks_only_the_provider_that_is_shown(tmp_path: Path) -> None:
    async with serve(FakeOpenAI().app) as url:
        environ = {"OPENAI_COMPAT_BASE_URL": f"{url}/v1", "OLLAMA_BASE_URL": NOBODY}
        for more in ([], ["--refresh"]):
            status, models, said = await finish(await run(tmp_path, "models", "--provider", "compat", *more, **environ))
            assert (status, said) == (0, "")
            assert models == ["compat:gpt-4o-mini", "compat:gpt-5-think", "compat:text-embedding-3-small"]
        assert (await finish(await run(tmp_path, "models", **environ)))[0] == 1


async def test_models_of_a_provider_that_is_away_are_those_known_last(tmp_path: Path) -> None:
    environ = {"DATA_DIR": str(tmp_path / "data")}
    async with serve(FakeOpenAI().app) as url:
        environ["OPENAI_COMPAT_BASE_URL"] = f"{url}/v1"
        await finish(await run(tmp_path, "models", **environ))
    status, models, said = await finish(await run(tmp_path, "models", "--refresh", **environ))
    assert status == 1
    assert "compat:gpt-4o-mini" in models
    assert said.count("\n") == 1
    assert said.startswith("sandgate-gateway: compat: ")


def executor(code: int = 200, **told: object) -> Sanic:  # type: ignore[type-arg]
    app = Sanic("executor")
    report = {"status": "healthy", "pool": {"base": {"ready": 3}, "data": {"ready": 1}}, **told}

    @app.get("/health")
    async def health(request: Request) -> response.HTTPResponse:
        return response.json(report, code)

    return app


async def test_check_shows_what_is_reachable(tmp_path: Path) -> None:
    async with serve(FakeOpenAI().app) as provider, serve(executor()) as executor_url:
        environ = {"OPENAI_COMPAT_BASE_URL": f"{provider}/v1", "EXECUTOR_URL": executor_url}
        status, table, said = await finish(await run(tmp_path, "check", **environ))
        assert (status, said) == (0, "")
        assert [line.split() for line in table] == [
            ["NAME", "STATE", "ADDRESS", "WHAT", "IT", "SAYS"],
            ["compat", "ok", f"{provider}/v1", "3", "models"],
            ["executor", "ok", executor_url, "4", "sandboxes", "ready"],
        ]


@pytest.mark.parametrize("away", ["provider", "executor", "credentials"])
async def test_check_fails_when_something_configured_cannot_be_had(tmp_path: Path, away: str) -> None:
    fake = FakeOpenAI(f"sk-the-right-{MARK}-of-the-provider" if away == "credentials" else None)
    async with serve(fake.app) as provider, serve(executor()) as executor_url:
        environ = {
            "OPENAI_COMPAT_BASE_URL": f"{NOBODY if away == 'provider' else provider}/v1",
            "OPENAI_COMPAT_API_KEY": f"sk-the-wrong-{MARK}-0123456789",
            "EXECUTOR_URL": NOBODY if away == "executor" else executor_url,
        }
        status, table, said = await finish(await run(tmp_path, "check", **environ))
    assert status == 1
    states = {line.split()[0]: line.split()[1] for line in table[1:]}
    failed = "executor" if away == "executor" else "compat"
    assert states == {"compat": "ok", "executor": "ok", failed: "FAILED"}
    assert MARK not in "".join(table) + said


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"status": "unhealthy", "message": "The image sandgate-sandbox:base is missing."}, "is missing."),
        ({}, "it answers with status 503"),
    ],
)
async def test_check_fails_when_the_executor_cannot_run_code(
    tmp_path: Path, told: dict[str, object], says: str
) -> None:
    async with serve(FakeOpenAI().app) as provider, serve(executor(503, **told)) as executor_url:
        environ = {"OPENAI_COMPAT_BASE_URL": f"{provider}/v1", "EXECUTOR_URL": executor_url}
        status, table, _ = await finish(await run(tmp_path, "check", **environ))
    assert status == 1
    assert table[-1].split()[:4] == ["executor", "FAILED", executor_url, "unhealthy:"]
    assert table[-1].endswith(says)
