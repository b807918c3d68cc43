"""What the gateway says at its start."""

from pathlib import Path

import pytest

from gateway.configuration import report
from gateway.settings import masked
from tests.gateway.configuration.given import SECRET, given


def test_the_report_names_providers_and_sources_but_no_secret(tmp_path: Path) -> None:
    settings = given(
        tmp_path,
        "--key",
        "sk-static-key",
        OPENAI_API_KEY="sk-provider-key",
        OLLAMA_BASE_URL="http://me:hunter2@box:1",
        EXECUTOR_SECRET=SECRET,
        RATE_LIMIT="60/minute",
    )
    said = "\n".join(report(settings))
    assert "openai  https://api.openai.com/v1  (key from OPENAI_API_KEY)" in said
    assert "ollama  http://box:1  (no key)" in said
    assert "on: access keys (key)" in said
    assert "60/minute" in said
    for secret in ("sk-static-key", "sk-provider-key", "hunter2", SECRET):
        assert secret not in said


def test_the_report_warns_of_an_open_gateway_beyond_loopback(tmp_path: Path) -> None:
    assert "WARNING" not in "\n".join(report(given(tmp_path)))
    assert "WARNING" not in "\n".join(report(given(tmp_path, "-h", "0.0.0.0", "-g")))
    said = "\n".join(report(given(tmp_path, "-h", "0.0.0.0")))
    assert "WARNING" in said
    assert "--generate-key" in said


@pytest.mark.parametrize(
    ("published", "warned", "url"),
    [
        ("127.0.0.1:81", False, "http://127.0.0.1:81/"),
        ("[::1]:81", False, "http://[::1]:81/"),
        ("0.0.0.0:81", True, "http://127.0.0.1:81/"),
        ("10.1.2.3:81", True, "http://10.1.2.3:81/"),
    ],
)
def test_in_a_container_the_published_address_counts(tmp_path: Path, published: str, warned: bool, url: str) -> None:
    said = "\n".join(report(given(tmp_path, "-h", "0.0.0.0", GATEWAY_PUBLISHED=published)))
    assert f"dashboard  {url}\n" in said
    assert ("WARNING: anybody who reaches" in said) is warned
    assert warned is (f"reaches {published}" in said)


def test_the_report_shows_a_generated_key_once(tmp_path: Path) -> None:
    settings = given(tmp_path, "-g")
    assert "\n".join(report(settings)).count(str(settings.generated_key)) == 1


def test_masking_shows_the_end_of_long_secrets_only() -> None:
    assert masked(None) is None
    assert masked("short") == "…"
    assert masked("sk-0123456789abcd") == "sk-…abcd"
    assert masked("0123456789abcdefgh") == "…efgh"
