"""No secret ever comes out: many requests to a gateway full of marked secrets, and a search of all that it says."""

import base64
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import jwt
import pytest
from sanic import HTTPResponse, Request, Sanic
from sanic.response import json as json_response

from tests.conftest import serve
from tests.fakes.anthropic import FakeAnthropic
from tests.fakes.gemini import FakeGemini
from tests.fakes.oauth import CLIENT_SECRET, FakeOAuth
from tests.fakes.ollama import FakeOllama
from tests.fakes.openai import FakeOpenAI
from tests.fakes.scripted import Fake, Received
from tests.gateway.serving import gateway
from tests.secret_watch import MARK

pytestmark = pytest.mark.anyio

OPENAI_KEY = f"sk-{MARK}-openai-key-0123456789"
COMPAT_KEY = f"{MARK}.compat.key/without+a=shape"
ANTHROPIC_KEY = f"sk-ant-{MARK}-anthropic-0123456789"
GEMINI_KEY = f"{MARK}-gemini-key-0123456789"
ACCESS_KEY = f"sk-{MARK}-access-key-0123456789"
NAMED_KEY = f"{MARK}-named-access-key-0123456789"
JWT_SECRET = f"{MARK}-jwt-secret-of-more-than-32-bytes"
EXECUTOR_SECRET = f"{MARK}-executor-secret-of-more-than-32"
HEADER = f"{MARK}-team-header-0123456789"
PASSWORD = f"{MARK}-password-0123456789"
CALLERS_KEY = f"{MARK}-callers-own-key-0123456789"
WRONG_KEY = f"{MARK}-wrong-credential-0123456789"
LIMIT_PASSWORD = f"{MARK}-redis-password-0123456789"
SECRETS = (
    OPENAI_KEY, COMPAT_KEY, ANTHROPIC_KEY, GEMINI_KEY, ACCESS_KEY, NAMED_KEY, JWT_SECRET, EXECUTOR_SECRET, HEADER,
    PASSWORD, CALLERS_KEY, WRONG_KEY, LIMIT_PASSWORD, CLIENT_SECRET,
)  # fmt: skip

SAID = [{"role": "user", "content": "hello"}]
FAMILIES: dict[str, dict[str, Any]] = {
    "/llm": {"type": "chat", "messages": SAID},
    "/v1/chat/completions": {"messages": SAID},
    "/chat/completions": {"messages": SAID},
    "/v1/completions": {"prompt": "hello"},
    "/v1/responses": {"input": "hello"},
    "/v1/embeddings": {"input": "hello"},
    "/v1/messages": {"max_tokens": 50, "messages": SAID},
    "/v1/messages/count_tokens": {"messages": SAID},
    "/proxy": {"messages": SAID},
    "/proxy/stream": {"messages": SAID},
    "/api/chat": {"messages": SAID},
    "/api/generate": {"prompt": "hello"},
    "/api/embed": {"input": "hello"},
    "/api/show": {},
    "/api/conversation_with_model": {"user_last_statement": "hello"},
    "/api/extended_conversation_with_model": {"user_last_statement": "hello"},
}
MODELS = (
    "openai:gpt-4o-mini", "compat:gpt-4o-mini", "anthropic:claude-sonnet-4-5", "gemini:gemini-2.5-flash",
    "ollama:llama3.2", "work:guarded-model", "logged:gpt-4o-mini", "down:x", "stub:stub", "nonsense", "openai:missing",
)  # fmt: skip
PATHS = (
    "/", "/health", "/healthz", "/metrics", "/v1/models", "/v1/models/openai:gpt-4o-mini", "/api/ping", "/api/tags",
    "/api/version", "/api/ps", "/openapi.json", "/docs", "/api/config", "/api/logs", "/api/logs/api-calls",
    "/api/logs/server-events", "/api/stats", "/execute/limits", "/executions", "/nothing", "/v1/nothing",
    "/openai/models", "/compat/models", "/anthropic/v1/models", "/gemini/v1beta/models", "/ollama/api/tags",
    "/work/models", "/logged/models", "/down/x", "/openai/%2e%2e/x",
)  # fmt: skip


@dataclass
class Heard:
    """All that the gateway has said, and the tokens that were made on the way."""

    answers: list[tuple[str, bytes]] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    shown: set[str] = field(default_factory=set)

    def note(self, answer: httpx.Response) -> None:
        head = b"\n".join(name + b": " + value for name, value in answer.headers.raw)
        self.answers.append((f"{answer.request.method} {answer.request.url.path}", head + b"\n\n" + answer.content))

    def spellings(self) -> Iterator[str]:
        """Give every secret as it is, as a URL has it, and as basic authentication has it."""
        for secret in (*SECRETS, *self.tokens):
            yield secret
            yield quote(secret, safe="")
            yield base64.b64encode(f"user:{secret}".encode()).decode()

    def search(self, what: str, said: bytes) -> None:
        text = said.decode("utf-8", "replace")
        for spelling in self.spellings():
            if spelling in text:
                place = text.index(spelling)
                self.shown.add(f"{what} shows {text[max(0, place - 60) : place + len(spelling)]!r}")


def executor(heard: Heard) -> Sanic[Any, Any]:
    app: Sanic[Any, Any] = Sanic("executor")

    @app.route("/<path:path>", methods=["GET", "POST", "DELETE"])
    async def answer(request: Request, path: str) -> HTTPResponse:
        heard.tokens.add(request.headers.get("authorization", "Bearer unused-token").partition(" ")[2])
        return json_response({"path": path, "executions": []}, 503 if request.args.get("fail") else 200)

    return app


@asynccontextmanager
async def marked_gateway(
    folder: Path, heard: Heard, *argv: str, **environ: str
) -> AsyncIterator[tuple[httpx.AsyncClient, list[Fake]]]:
    """Serve a gateway with a secret wherever one can stand, everything logged, in debug mode."""
    oauth = FakeOAuth()
    fakes: list[Fake] = [
        FakeOpenAI(OPENAI_KEY), FakeOpenAI(COMPAT_KEY), FakeAnthropic(ANTHROPIC_KEY), FakeGemini(GEMINI_KEY),
        FakeOllama(), FakeOpenAI(), oauth,
    ]  # fmt: skip
    async with AsyncExitStack() as stack:
        urls = [await stack.enter_async_context(serve(fake.app)) for fake in fakes]
        work = {"token_endpoint": f"{urls[6]}/token", "client_id": "client:with/odd characters"}
        login = urls[5].replace("http://", f"http://user:{PASSWORD}@")
        config = {
            "providers": {
                "stub": {"kind": "stub"},
                "work": {
                    "kind": "openai-compatible",
                    "base_url": f"{urls[6]}/v1",
                    "oauth": {**work, "client_secret": CLIENT_SECRET},
                },
                "logged": {"kind": "openai-compatible", "base_url": f"{login}/v1", "headers": {"x-team": HEADER}},
                "down": {"kind": "openai", "base_url": f"http://user:{PASSWORD}@127.0.0.1:9/v1", "api_key": OPENAI_KEY},
            },
            "keys": {"named": {"key": NAMED_KEY, "scopes": ["llm"]}},
        }
        file = folder / "config.json"
        file.write_text(json.dumps(config if argv else {"providers": config["providers"]}))
        told = {
            "OPENAI_API_KEY": OPENAI_KEY, "OPENAI_BASE_URL": f"{urls[0]}/v1",
            "OPENAI_COMPAT_API_KEY": COMPAT_KEY, "OPENAI_COMPAT_BASE_URL": f"{urls[1]}/v1",
            "ANTHROPIC_API_KEY": ANTHROPIC_KEY, "ANTHROPIC_BASE_URL": urls[2],
            "GEMINI_API_KEY": GEMINI_KEY, "GEMINI_BASE_URL": urls[3],
            "OLLAMA_BASE_URL": urls[4],
            "EXECUTOR_URL": await stack.enter_async_context(serve(executor(heard))),
            "EXECUTOR_SECRET": EXECUTOR_SECRET,
            "SANDGATE_CONFIG": str(file), "DATA_DIR": str(folder / "data"), "LOG_FILE": str(folder / "gateway.log"),
            "LOG_BODIES": "true", "LOG_REQUESTS": "true", "LOG_FORMAT": "json", "DEBUG": "true",
            "PROVIDER_REST_SECONDS": "0",
        }  # fmt: skip
        client = await stack.enter_async_context(gateway(folder, *argv, **told, **environ))
        yield client, fakes
        heard.tokens |= set(oauth.grants)


def echo(received: Received) -> dict[str, Any]:
    """Give the error of a provider that shows the whole request it was sent."""
    shown = "; ".join(f"{name}: {value}" for name, value in received.headers.items())
    return {"error": {"message": f"Cannot serve {shown}", "type": "odd", "param": None, "code": "odd"}}


async def ask_everything(client: httpx.AsyncClient, heard: Heard, headers: dict[str, str]) -> None:
    for path, body in FAMILIES.items():
        for model in MODELS:
            for more in ({}, {"stream": True}) if "embed" not in path and "count" not in path else ({},):
                named = {"model": model, "model_name": model} if "conversation" in path else {"model": model}
                answer = await client.post(path, json={**body, **named, **more}, headers=headers)
                heard.note(answer)
        heard.note(
            await client.post(path, content=b'{"broken', headers={"content-type": "application/json", **headers})
        )
        heard.note(await client.get(path, headers=headers))
    for path in PATHS:
        heard.note(await client.get(path, headers=headers))
        heard.note(await client.request("OPTIONS", path, headers={"origin": "http://localhost", **headers}))
    for provider in ("openai", "compat", "work", "logged", "down"):
        described = {"provider": provider, "path": "/chat/completions", "body": {"model": "x", "messages": SAID}}
        heard.note(await client.post("/api/passthrough", json=described, headers=headers))
    for body in ({"code": "1"}, {"nonsense": 1}):
        heard.note(await client.post("/execute", json=body, headers=headers))
    heard.note(await client.post("/v1/models/refresh", json={}, headers=headers))


async def ask_in_trouble(client: httpx.AsyncClient, heard: Heard, fakes: list[Fake], headers: dict[str, str]) -> None:
    """Ask while the providers refuse and say back what they were sent."""
    for status in (400, 401, 403, 404, 429, 500, 200):
        for fake, model in zip((*fakes[:4], *fakes[5:]), (*MODELS[:4], MODELS[6], MODELS[5]), strict=True):
            for path in ("/v1/chat/completions", "/llm", "/v1/messages", "/api/chat", "/v1/responses"):
                for stream in (False, True):
                    fake.failures.clear()
                    fake.fail(status, echo(fake.last))
                    body = {"model": model, "stream": stream, **FAMILIES[path]}
                    heard.note(await client.post(path, json=body, headers=headers))
            fake.failures.clear()
            fake.fail(status if status != 200 else 418, echo(fake.last))
            heard.note(await client.get(f"/{model.partition(':')[0]}/models", headers=headers))
            fake.failures.clear()


async def listen(client: httpx.AsyncClient, heard: Heard, headers: dict[str, str]) -> None:
    """Hear what the gateway tells of itself after all that; the access keys are their holder's to see in one place."""
    for path in ("/metrics", "/healthz", "/api/logs", "/api/logs/api-calls?limit=1000", "/api/stats"):
        heard.note(await client.get(path, headers=headers))


def search_all(heard: Heard, folder: Path, printed: str) -> None:
    assert len(heard.answers) > 300
    assert any(b"200" in said or b"choices" in said for _, said in heard.answers)
    for what, said in heard.answers:
        if what == "GET /api/config":
            for key in (ACCESS_KEY, NAMED_KEY):
                said = said.replace(json.dumps(key).encode(), b'"shown to an admin"')
        heard.search(what, said)
    heard.search("stderr", printed.encode())
    kept = [file for file in folder.rglob("*") if file.is_file() and file.name != "config.json"]
    names = {file.name for file in kept}
    assert {"gateway.log", "calls.sqlite3", "catalogue.json"} <= names
    for file in kept:
        heard.search(file.name, file.read_bytes())
    assert not heard.shown


async def test_with_auth_on_no_secret_comes_out(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    heard = Heard()
    token = jwt.encode({"sub": "ann", "exp": 2**33, "scope": "llm execute admin"}, JWT_SECRET, "HS256")
    heard.tokens.add(token)
    limits = {"RATE_LIMIT": "100000/minute", "RATE_LIMIT_STORAGE_URI": f"redis://:{LIMIT_PASSWORD}@127.0.0.1:9/0"}
    environ = {"JWT_SECRET": JWT_SECRET, **limits}
    async with marked_gateway(tmp_path, heard, "--enable-auth", "-k", ACCESS_KEY, **environ) as (client, fakes):
        admin = {"authorization": f"Bearer {ACCESS_KEY}"}
        await ask_everything(client, heard, admin)
        await ask_in_trouble(client, heard, fakes, admin)
        for headers in (
            {"authorization": f"Bearer {token}", "x-provider-authorization": f"Bearer {CALLERS_KEY}"},
            {"x-api-key": NAMED_KEY},
            {"authorization": f"Bearer {WRONG_KEY}"},
            {"authorization": f"Basic {base64.b64encode(f'user:{WRONG_KEY}'.encode()).decode()}"},
            {"x-goog-api-key": WRONG_KEY, "x-request-id": f"{WRONG_KEY}/"},
        ):
            for path in (*PATHS, f"/gemini/v1beta/models?key={ACCESS_KEY}", f"/nothing?key={WRONG_KEY}"):
                heard.note(await client.get(path, headers=headers))
            for path, body in FAMILIES.items():
                heard.note(await client.post(path, json={"model": "stub", **body}, headers=headers))
        await listen(client, heard, admin)
    search_all(heard, tmp_path, "".join(capfd.readouterr()))


async def test_with_auth_off_the_callers_own_key_does_not_come_out(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    heard = Heard()
    async with marked_gateway(tmp_path, heard) as (client, fakes):
        await ask_everything(client, heard, {})
        await ask_in_trouble(client, heard, fakes, {})
        callers = {"authorization": f"Bearer {CALLERS_KEY}", "x-api-key": CALLERS_KEY}
        for path, body in FAMILIES.items():
            for model in MODELS:
                heard.note(await client.post(path, json={"model": model, **body}, headers=callers))
        await listen(client, heard, {})
    search_all(heard, tmp_path, "".join(capfd.readouterr()))


async def test_the_start_says_no_secret(tmp_path: Path) -> None:
    heard = Heard()
    environ = {
        "PATH": "/usr/bin", "OPENAI_API_KEY": OPENAI_KEY, "OAUTH_TOKEN_ENDPOINT": f"http://user:{PASSWORD}@localhost:9/t",
        "OAUTH_CLIENT_ID": "me", "OAUTH_CLIENT_SECRET": CLIENT_SECRET, "JWT_SECRET": JWT_SECRET, "ENABLE_AUTH": "1",
        "EXECUTOR_SECRET": EXECUTOR_SECRET, "GATEWAY_ACCESS_KEY": ACCESS_KEY, "OLLAMA_BASE_URL":
        f"http://user:{PASSWORD}@localhost:9", "EXECUTOR_URL": f"http://user:{PASSWORD}@localhost:9",
    }  # fmt: skip
    from gateway.configuration import load
    from gateway.configuration.report import report

    settings = load([], environ, tmp_path)
    heard.search("the start", "\n".join(report(settings)).encode())
    heard.search("repr", repr(settings).encode())
    assert not heard.shown
