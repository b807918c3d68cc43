"""The dashboard's files and the configuration over HTTP."""

import re
from pathlib import Path

import pytest

from tests.gateway.serving import gateway
from tests.secret_watch import MARK

pytestmark = pytest.mark.anyio

KEY = f"sk-the-static-{MARK}-of-these-tests"
SECRETS = {
    "OPENAI_API_KEY": f"sk-openai-{MARK}-1234",
    "EXECUTOR_SECRET": f"{MARK} that the two services share",
    "JWT_SECRET": f"{MARK}, a secret of at least thirty-two bytes",
    "OAUTH_TOKEN_ENDPOINT": f"https://name:{MARK}-of-it@idp.example.com/token",
    "OAUTH_CLIENT_ID": "the-client",
    "OAUTH_CLIENT_SECRET": f"the-client-{MARK}-itself",
    "RATE_LIMIT_ENABLED": "true",
}


async def test_the_page_is_there_for_everybody(tmp_path: Path) -> None:
    async with gateway(tmp_path, "--key", KEY) as client:
        page = await client.get("/")
        head = await client.head("/")
    assert page.status_code == head.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "Sandgate" in page.text
    assert KEY not in page.text
    assert head.content == b""


async def test_the_policy_allows_nothing_inline_and_nothing_from_elsewhere(tmp_path: Path) -> None:
    async with gateway(tmp_path) as client:
        answer = await client.get("/")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_every_file_that_the_page_names_is_served_and_known_by_its_etag(tmp_path: Path) -> None:
    async with gateway(tmp_path) as client:
        pages = [(await client.get(path)).text for path in ("/", "/docs", "/redoc")]
        named = {name for page in pages for name in re.findall(r'(?:src|href)="(/static/[^"]+)"', page)}
        assert len(named) > 8
        for name in named:
            answer = await client.get(name)
            assert answer.status_code == 200, name
            again = await client.get(name, headers={"if-none-match": answer.headers["etag"]})
            assert (again.status_code, again.content) == (304, b""), name


async def test_text_is_gzipped_for_whoever_takes_it_and_is_the_same_either_way(tmp_path: Path) -> None:
    async with gateway(tmp_path) as client:
        packed = await client.get("/static/page.css", headers={"accept-encoding": "gzip"})
        plain = await client.get("/static/page.css", headers={"accept-encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.text == plain.text


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/static/nothing.js"]
)  # fmt: skip
async def test_no_path_leads_out_of_the_packaged_files(tmp_path: Path, path: str) -> None:
    async with gateway(tmp_path) as client:
        assert (await client.get(path)).status_code == 404


async def test_the_configuration_shows_no_secret_but_the_access_key(tmp_path: Path) -> None:
    async with gateway(tmp_path, "--key", KEY, **SECRETS) as client:
        answer = await client.get("/api/config", headers={"authorization": f"Bearer {KEY}"})
    told = answer.json()
    for name in ("OPENAI_API_KEY", "EXECUTOR_SECRET", "JWT_SECRET", "OAUTH_CLIENT_SECRET"):
        assert SECRETS[name] not in answer.text, name
    assert f"{MARK}-of-it" not in answer.text
    providers = {provider["name"]: provider for provider in told["providers"]}
    assert providers["openai"]["api_key"] == "sk-…1234"
    assert providers["openai"]["key_source"] == "OPENAI_API_KEY"
    assert told["auth"]["keys"][0]["key"] == KEY
    assert told["limits"]["enabled"] is True


async def test_the_base_url_is_where_the_client_came_to(tmp_path: Path) -> None:
    async with gateway(tmp_path, TRUSTED_PROXIES="1") as client:
        plain = (await client.get("/api/config")).json()
        behind = (
            await client.get("/api/config", headers={"host": "gate.internal", "x-forwarded-proto": "https"})
        ).json()
    assert plain["base_url"] == str(client.base_url).rstrip("/")
    assert behind["base_url"] == "https://gate.internal"
