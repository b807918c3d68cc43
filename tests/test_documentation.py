"""README and .env.example say what the code does: a setting or an endpoint that is missing there fails here."""

import re
from pathlib import Path

import pytest

from executor.settings import VARIABLES
from gateway.app import list_endpoints
from gateway.configuration import OPTIONS, load

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLE = (ROOT / ".env.example").read_text(encoding="utf-8")
SETTINGS = sorted({name for option in OPTIONS for name in option.environment} | {item.name for item in VARIABLES})


@pytest.mark.parametrize("name", SETTINGS)
def test_each_setting_stands_in_the_readme_and_in_the_example(name: str) -> None:
    assert f"`{name}`" in README
    assert re.search(rf"\b{name}\b", EXAMPLE)


@pytest.mark.parametrize("flag", sorted({flag for option in OPTIONS for flag in option.flags}))
def test_each_option_stands_in_the_readme(flag: str) -> None:
    assert f"`{flag}`" in README


def test_each_endpoint_stands_in_the_readme(tmp_path: Path) -> None:
    settings = load([], {}, tmp_path)
    missing = []
    for endpoint in list_endpoints(settings):
        path = re.sub(r"<(\w+):\w+>", lambda found: "{" + found[1] + "}", endpoint.path)
        path = path.replace("{model_id}", "{id}").replace("{execution_id}", "{id}")
        if path.endswith("/{path}") or not path.startswith(("/v1", "/api")):
            shown = "/<provider>/<path>" if path.endswith("/{path}") and not path.startswith("/v1") else path
            shown = shown.replace("/v1/{path}", "/v1/<anything else>")
            known = any(
                f"{start}{shown}`" in README
                for start in ("`", "`GET ", "`POST ", "`DELETE ", "`/v1", "`POST /v1", "`GET /v1")
            )
        else:
            known = any(f"{verb} {path}`" in README for verb in endpoint.methods.split())
        if not known:
            missing.append(path)
    assert missing == []


def test_the_decisions_are_the_readmes_last_section() -> None:
    assert re.findall(r"^## (.+)$", README, re.M)[-1] == "Decisions"
