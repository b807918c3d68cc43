"""Settings, or the refusal of them, from what a test gives: arguments, variables, a config file."""

from pathlib import Path

import pytest

from gateway.configuration import BadSetting, load
from gateway.settings import Settings
from tests.secret_watch import MARK

SECRET = f"{MARK}-of-at-least-thirty-two-bytes"


def given(tmp_path: Path, *argv: str, file: str = "", suffix: str = "yaml", **environ: str) -> Settings:
    if file:
        (tmp_path / f"sandgate.{suffix}").write_text(file)
        argv = ("--config", f"sandgate.{suffix}", *argv)
    return load(argv, environ, tmp_path)


def refusal(tmp_path: Path, *argv: str, file: str = "", suffix: str = "yaml", **environ: str) -> str:
    with pytest.raises(BadSetting) as caught:
        given(tmp_path, *argv, file=file, suffix=suffix, **environ)
    assert "\n" not in caught.value.message
    return caught.value.message.replace(f"{tmp_path}/", "")
