"""What README tells a newcomer to type is there; settings and endpoints are held by tests/test_documentation.py."""

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.matrix.test_llamaindex import CELLS
from tests.matrix.test_matrix import CLIENTS, PROVIDERS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = [(found[1], found[2]) for found in re.finditer(r"^```(\w+)\n(.*?)^```", README, re.M | re.S)]


@pytest.mark.parametrize("path", sorted(set(re.findall(r"(?:scripts|tests)/[\w./-]*\w", README))))
def test_a_script_that_the_readme_names_is_there(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.parametrize("code", [code for language, code in BLOCKS if language == "python"])
def test_python_in_the_readme_is_python(code: str) -> None:
    assert ast.parse(code).body


@pytest.mark.parametrize("commands", [code for language, code in BLOCKS if language == "sh"])
def test_commands_in_the_readme_are_ones_that_bash_reads(commands: str) -> None:
    checked = subprocess.run(["bash", "-n"], input=commands, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_programs_in_the_readme_are_those_that_are_installed() -> None:
    installed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    assert set(re.findall(r"^sandgate-\w+", README, re.M)) == set(installed)


def test_the_clients_of_the_matrix_stand_in_the_readme() -> None:
    told = README.partition("### Clients that are tried")[2].partition("\n## ")[0]
    makers = {make.name.split()[0] for make in CLIENTS}  # type: ignore[attr-defined]  # classes, each with a name
    assert makers == {"openai", "anthropic", "ollama", "langchain"}
    assert [maker for maker in (*makers, "llamaindex") if maker not in told.lower()] == []
    assert [kind for kind, *_ in CELLS if f"`{kind}`" not in told] == []
    assert [name for name in PROVIDERS if name not in README.lower()] == []
