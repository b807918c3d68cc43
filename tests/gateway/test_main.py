"""The command line from outside: one clear line and a status for what is wrong, and the commands."""

import os
import subprocess
import sys
from pathlib import Path

import jwt
import pytest

import gateway.__main__ as command_line
from tests.secret_watch import MARK

SECRET = f"a-{MARK}-of-more-than-32-bytes-for-tests"


@pytest.fixture(autouse=True)
def _clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.endswith(("_KEY", "_SECRET")) or name.startswith(("GATEWAY_", "JWT_")):
            monkeypatch.delenv(name)


def test_python_m_gateway_help_prints_all_and_leaves(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "--help"],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2])},
        cwd=tmp_path,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "GATEWAY_PORT (also PROXY_PORT)" in done.stdout


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["--nonsense"], "sandgate-gateway: unknown option --nonsense; --help lists them all"),
        (["--port", "x"], "sandgate-gateway: --port: expected a port from 1 to 65535, got 'x'"),
        (["--enable-auth"], "sandgate-gateway: --enable-auth: expected JWT_SECRET (or JWT_JWKS_URL) to be set with it"),
        (
            ["serve-me"],
            "sandgate-gateway: unexpected argument; expected options, or one command of token, models, check",
        ),
        (["--ttl", "1h"], "sandgate-gateway: --ttl is an option of the command token"),
        (["check", "--refresh"], "sandgate-gateway: --refresh is an option of the command models"),
        (["token"], "sandgate-gateway: --sub: expected the name of a user"),
        (["token", "--sub", "a"], "sandgate-gateway: JWT_SECRET: expected to be set, the token is signed with it"),
    ],
)
def test_what_is_wrong_is_one_line_and_status_2(capsys: pytest.CaptureFixture[str], argv: list[str], line: str) -> None:
    assert command_line.main(argv) == 2
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", f"{line}\n")


def test_a_printed_token_says_what_was_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JWT_SECRET", SECRET)
    monkeypatch.setenv("JWT_ISSUER", "me")
    monkeypatch.setenv("JWT_AUDIENCE", "you")
    assert command_line.main(["token", "--sub", "alice", "--scope", "llm,admin", "--ttl", "30m"]) == 0
    token = capsys.readouterr().out.strip()
    claims = jwt.decode(token, SECRET, algorithms=["HS256"], issuer="me", audience="you")
    assert (claims["sub"], claims["scope"]) == ("alice", "llm admin")
    assert claims["exp"] - claims["iat"] == 1800


def test_a_token_without_scope_and_ttl_has_the_defaults(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JWT_SECRET", SECRET)
    assert command_line.main(["--port", "9", "token", "--sub", "alice"]) == 0
    claims = jwt.decode(capsys.readouterr().out.strip(), SECRET, algorithms=["HS256"])
    assert "scope" not in claims
    assert claims["exp"] - claims["iat"] == 12 * 3600


@pytest.mark.parametrize(
    "argv",
    [["--ttl", "soon"], ["--ttl", "0h"], ["--ttl", "-1h"], ["--scope", "root"], ["--scope", ","], ["--sub", "a\nb"]],
)
def test_a_token_that_cannot_be_made_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, argv: list[str]
) -> None:
    monkeypatch.setenv("JWT_SECRET", SECRET)
    assert command_line.main(["token", "--sub", "alice", *argv]) == 2
    assert capsys.readouterr().err.startswith(f"sandgate-gateway: {argv[0]}: expected")


def test_a_host_that_is_nobodys_is_one_line_and_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["--host", "203.0.113.1", "--port", "35999"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("sandgate-gateway: cannot listen on 203.0.113.1:35999: ")
    assert said.count("\n") == 1


@pytest.mark.parametrize("name", ["DATA_DIR", "LOG_FILE"])
@pytest.mark.parametrize("command", [[], ["models"]])
def test_a_folder_that_cannot_be_made_is_one_line_and_status_2(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str, command: list[str]
) -> None:
    monkeypatch.setenv(name, "/proc/x/y")
    assert command_line.main([*command, "--port", "35998"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"sandgate-gateway: {name}: expected a path that can be written to (")
    assert said.count("\n") == 1


@pytest.mark.parametrize("prefix", ["/", "/v1"])
def test_a_prefix_that_lies_over_other_paths_is_one_line_and_status_2(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, prefix: str
) -> None:
    monkeypatch.setenv("API_PREFIX", prefix)
    assert command_line.main([]) == 2
    said = capsys.readouterr().err
    assert said.startswith("sandgate-gateway: API_PREFIX: expected a path such as /api")
    assert said.count("\n") == 1


@pytest.mark.parametrize("command", ["--help", "models"])
def test_a_reader_that_has_left_is_no_failure(tmp_path: Path, command: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "gateway", command],
            stdout=writing,
            stderr=subprocess.PIPE,
            check=False,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(Path(__file__).parents[2]),
                "USE_PLACEHOLDER_MODE": "true",
            },
            cwd=tmp_path,
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")
