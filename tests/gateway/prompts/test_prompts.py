from pathlib import Path

import pytest

from gateway.errors import InvalidRequest
from gateway.prompts import PACKAGED, Prompts


def library(folder: Path, **files: str) -> Prompts:
    for place, text in files.items():
        file = folder / f"{place.replace('__', '/')}.prompt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return Prompts(folder, "en")


def test_every_packaged_prompt_is_there_in_english_and_polish() -> None:
    prompts = Prompts(None, "en")
    assert {"en", "pl"} <= set(prompts.languages())
    for name in prompts.names():
        assert (PACKAGED / "en" / f"{name}.prompt").read_text(encoding="utf-8").strip()
        assert (PACKAGED / "pl" / f"{name}.prompt").read_text(encoding="utf-8").strip()


def test_a_prompt_comes_in_its_language(tmp_path: Path) -> None:
    prompts = library(tmp_path, en__default="Hello", pl__default="Cześć")
    assert prompts.find(None, "pl") == ("Cześć", "pl")
    assert prompts.find("default", None) == ("Hello", "en")


def test_an_unknown_language_and_a_missing_name_fall_back_to_the_default_language(tmp_path: Path) -> None:
    prompts = library(tmp_path, en__default="Hello", en__deep__nested="Deep", pl__default="Cześć")
    assert prompts.find(None, "xx") == ("Hello", "en")
    assert prompts.find("deep/nested", "pl") == ("Deep", "en")


@pytest.mark.parametrize("name", ["nothing", "../en/default", "/etc/passwd", "default.prompt", "en/default"])
def test_a_name_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path, name: str) -> None:
    prompts = library(tmp_path, en__default="Hello", en__other="x")
    with pytest.raises(InvalidRequest, match="default, other"):
        prompts.find(name, "en")


@pytest.mark.parametrize("language", ["..", "/etc", "", "."])
def test_a_language_never_leads_out_of_the_folder(tmp_path: Path, language: str) -> None:
    assert library(tmp_path, en__default="Hello").find(None, language) == ("Hello", "en")


def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    prompts = library(tmp_path, en__default="Hello")
    assert prompts.find(None, None)[0] == "Hello"
    (tmp_path / "en" / "default.prompt").write_text("Good day", encoding="utf-8")
    assert prompts.find(None, None)[0] == "Good day"
