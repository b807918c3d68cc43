"""Where options are given: the command line, the environment, `.env`; and which of them wins."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any, NoReturn

from dotenv.parser import parse_stream

from gateway.configuration.options import BY_NAME, COMMANDS, OPTIONS, Option
from gateway.configuration.values import BadSetting

COMMAND_LINE, ENVIRONMENT, DOTENV, FILE, DEFAULT = range(5)


@dataclass(frozen=True, slots=True)
class Given:
    """A value as it was read, who gave it ("--port", "GATEWAY_PORT", "config file"), and how much that counts.

    Lower ranks win.
    """

    value: Any = field(repr=False)
    source: str
    rank: int


@dataclass(frozen=True, slots=True)
class Values:
    """All options by name: given or default."""

    by_name: Mapping[str, Given]

    def __getitem__(self, name: str) -> Any:
        return self.by_name[name].value

    def source(self, name: str) -> str:
        """Who gave the option; its usual name in the environment where nobody did."""
        given = self.by_name[name]
        return label(BY_NAME[name]) if given.rank == DEFAULT else given.source

    def rank(self, name: str) -> int:
        """How much its source counts: lower wins."""
        return self.by_name[name].rank

    def is_given(self, name: str) -> bool:
        """Whether anybody gave the option."""
        return self.by_name[name].rank != DEFAULT


@dataclass(frozen=True, slots=True)
class Invocation:
    """The command line taken apart: the command ("serve" when there is none), the options and the command's own."""

    command: str
    options: Mapping[str, Given]
    arguments: Mapping[str, str]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        # argparse's own messages name the option, and quote no value of an option that takes any text.
        raise BadSetting(message.replace("argument ", "", 1))


def label(option: Option) -> str:
    """Name an option to a person: its variable, or its longest flag."""
    return option.environment[0] if option.environment else option.flags[-1]


def _command_line_parser() -> _Parser:
    parser = _Parser(add_help=False, allow_abbrev=False)
    for option in OPTIONS:
        if option.switch:
            parser.add_argument(*option.flags, dest=option.name, action="store_const", const="true")
        elif option.flags:
            parser.add_argument(*option.flags, dest=option.name)
    parser.add_argument("--help", action="store_true")
    parser.add_argument("--sub")
    parser.add_argument("--scope")
    parser.add_argument("--ttl")
    parser.add_argument("--refresh", action="store_const", const="true")
    return parser


_OWN = ("sub", "scope", "ttl", "refresh")
_ARGUMENTS = {"token": ("sub", "scope", "ttl"), "models": ("refresh",), "check": (), "serve": (), "help": ()}


def read_command_line(argv: Sequence[str]) -> Invocation:
    """Take `argv` (without the program's name) apart; `BadSetting` for what is unknown."""
    found, rest = _command_line_parser().parse_known_args(list(argv))
    unknown = [word for word in rest if word.startswith("-")]
    if unknown:
        raise BadSetting(f"unknown option {unknown[0].partition('=')[0]}; --help lists them all")
    if len(rest) > 1 or (rest and rest[0] not in COMMANDS):
        raise BadSetting(f"unexpected argument; expected options, or one command of {', '.join(COMMANDS)}")
    command = "help" if found.help else rest[0] if rest else "serve"
    named = {key: value for key, value in vars(found).items() if value is not None}
    arguments: dict[str, str] = {key: named.pop(key) for key in _OWN if key in named}
    for key in arguments:
        if command != "help" and key not in _ARGUMENTS[command]:
            owner = next(name for name, own in _ARGUMENTS.items() if key in own)
            raise BadSetting(f"--{key} is an option of the command {owner}")
    options = {
        option.name: Given(_parse(option, named[option.name], option.flags[-1]), option.flags[-1], COMMAND_LINE)
        for option in OPTIONS
        if option.name in named
    }
    return Invocation(command, options, arguments)


def read_environment(variables: Mapping[str, str], rank: int) -> dict[str, Given]:
    """Find options in `variables`; an alias counts where the first name is not set, and an empty value not at all."""
    found: dict[str, Given] = {}
    for option in OPTIONS:
        for variable in option.environment:
            if value := variables.get(variable, "").strip():
                source = f"{variable} in .env" if rank == DOTENV else variable
                found[option.name] = Given(_parse(option, value, source), source, rank)
                break
    return found


def read_dotenv(file: Path) -> dict[str, str]:
    """Read a `.env` file, values as they stand; none where there is no file, `BadSetting` for a line that is none."""
    try:
        content = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise BadSetting(f"{file.name}: cannot be read: {_reason(error)}") from None
    variables: dict[str, str] = {}
    for binding in parse_stream(StringIO(content)):
        if binding.error:
            raise BadSetting(f"{file.name}:{binding.original.line}: expected NAME=value")
        if binding.key is not None and binding.value is not None:
            variables[binding.key] = binding.value
    return variables


def combine(*sources: Mapping[str, Given]) -> Values:
    """Lay the sources over each other, the strongest first, and the defaults below."""
    merged = {
        option.name: Given(None if option.default is None else option.parse(option.default), "default", DEFAULT)
        for option in OPTIONS
    }
    for source in reversed(sources):
        merged.update(source)
    return Values(merged)


def parse_in_file(option: Option, value: object, place: str) -> Given:
    """Read an option's value of the config file, which may be a list where a comma-separated one is wanted."""
    if isinstance(value, list) and all(isinstance(entry, str) for entry in value):
        value = ",".join(value)
    if isinstance(value, bool):
        value = str(value).lower()
    if not isinstance(value, str | int | float):
        raise BadSetting(f"{place}: expected {option.expects}")
    return Given(_parse(option, str(value).strip(), place), f"config file ({option.name})", FILE)


def _parse(option: Option, value: str, source: str) -> object:
    try:
        return option.parse(value)
    except ValueError:
        hidden = option.secret or "@" in value or len(value) > 200
        got = "" if hidden else f", got {value!r}"
        raise BadSetting(f"{source}: expected {option.expects}{got}") from None


def _reason(error: Exception) -> str:
    return error.strerror or "unknown error" if isinstance(error, OSError) else "not UTF-8"


def write_help() -> str:
    """Write what `--help` prints: commands, and every option with its variables and its default."""
    lines = ["usage: sandgate-gateway [COMMAND] [OPTIONS]", ""]
    lines.append("The gateway: one door to every LLM provider. Precedence: command line > environment > .env in the")
    lines += ["working directory > config file > default.", "", "Commands (none: serve):"]
    lines += [f"  {name:<8} {meaning}" for name, meaning in COMMANDS.items()]
    section = ""
    for option in OPTIONS:
        if option.section != section:
            section = option.section
            lines += ["", f"{section}:"]
        flags = ", ".join(option.flags) + ("" if option.switch or not option.flags else f" {option.metavar}")
        first, *also = option.environment or ("",)
        variable = first + (f" (also {', '.join(also)})" if also else "")
        lines.append("  " + "   ".join(part for part in (flags, variable) if part))
        lines.append(f"      {option.meaning} [{option.default_text}]")
    lines += ["", "  --help", "      print this and leave"]
    return "\n".join(lines)


def print_error(message: str) -> None:
    """Say on stderr, in one line, why the gateway does not start."""
    print(f"sandgate-gateway: {' '.join(message.split())}", file=sys.stderr)  # noqa: T201
