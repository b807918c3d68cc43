"""Where values come from: command line, environment, .env, file, and which wins."""

from pathlib import Path

import pytest

from tests.gateway.configuration.given import given, refusal


def test_command_line_beats_environment_beats_dotenv_beats_file_beats_default(tmp_path: Path) -> None:
    assert given(tmp_path).port == 3500
    assert given(tmp_path, file="port: 1001").port == 1001
    (tmp_path / ".env").write_text("GATEWAY_PORT=1002\n")
    assert given(tmp_path, file="port: 1001").port == 1002
    assert given(tmp_path, file="port: 1001", GATEWAY_PORT="1003").port == 1003
    assert given(tmp_path, "--port", "1004", file="port: 1001", GATEWAY_PORT="1003").port == 1004


def test_an_alias_in_the_environment_counts_where_the_first_name_is_not_set(tmp_path: Path) -> None:
    assert given(tmp_path, PROXY_PORT="1005").port == 1005
    assert given(tmp_path, PROXY_PORT="1005", GATEWAY_PORT="1006").port == 1006


def test_an_alias_in_the_environment_beats_the_first_name_in_dotenv(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("GATEWAY_PORT=1002\n")
    assert given(tmp_path, PROXY_PORT="1005").port == 1005


def test_an_empty_variable_is_not_given(tmp_path: Path) -> None:
    settings = given(tmp_path, GATEWAY_PORT="", OPENAI_API_KEY="", GATEWAY_ACCESS_KEY="")
    assert settings.port == 3500
    assert not settings.providers["openai"].configured
    assert not settings.auth.enabled


def test_dotenv_values_stand_as_they_are_written(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("export OPENAI_API_KEY='sk-${HOME}-x'  # mine\n\nGATEWAY_HOST=::1\n")
    settings = given(tmp_path)
    assert settings.providers["openai"].api_key == "sk-${HOME}-x"
    assert settings.providers["openai"].key_source == "OPENAI_API_KEY in .env"
    assert settings.host == "::1"


def test_a_line_of_dotenv_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("GATEWAY_PORT=1\nthis is no setting = x y\n'broken\n")
    assert refusal(tmp_path).startswith(".env:2")


def test_nothing_outside_the_arguments_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_PORT", "1234")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-outside")
    settings = given(tmp_path)
    assert settings.port == 3500
    assert settings.providers["openai"].api_key is None


@pytest.mark.parametrize("argv", [["--prot", "1"], ["--jwt-secrt=hunter2"], ["--por", "1"], ["-x"]])
def test_an_unknown_option_is_named_without_its_value(tmp_path: Path, argv: list[str]) -> None:
    message = refusal(tmp_path, *argv)
    assert message == f"unknown option {argv[0].partition('=')[0]}; --help lists them all"


def test_an_option_without_its_value_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, "--port").startswith("-p/--port: ")


def test_short_options_work_and_h_is_the_host(tmp_path: Path) -> None:
    settings = given(tmp_path, "-p", "1001", "-h", "::1", "-k", "sk-1", "-m", "openai:gpt-4o")
    assert (settings.port, settings.host, settings.model_filter) == (1001, "::1", "openai:gpt-4o")
    assert settings.auth.keys[0].key == "sk-1"
