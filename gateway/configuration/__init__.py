"""From options, environment, `.env` and config file to `Settings`.

options.py     the one table of all options
sources.py     command line, environment, .env, and which wins
file.py        the config file, with the place of everything in it
values.py      text to values
providers.py, models.py, access.py    the sections of the settings
report.py      what the gateway says at its start
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.configuration.access import build_auth, build_limits, check_secret
from gateway.configuration.file import Section, read_file
from gateway.configuration.models import build_map, build_models
from gateway.configuration.options import OPTIONS
from gateway.configuration.providers import build_providers, check_prefix
from gateway.configuration.report import report
from gateway.configuration.sources import (
    DOTENV,
    ENVIRONMENT,
    FILE,
    Invocation,
    Values,
    combine,
    parse_in_file,
    print_error,
    read_command_line,
    read_dotenv,
    read_environment,
    write_help,
)
from gateway.configuration.values import BadSetting
from gateway.settings import ProviderSettings, Settings

__all__ = [
    "OPTIONS",
    "BadSetting",
    "Invocation",
    "build",
    "load",
    "print_error",
    "read_command_line",
    "report",
    "write_help",
]

_SECTIONS = ("providers", "models", "model_provider_map", "keys")


def load(argv: Sequence[str], environ: Mapping[str, str], cwd: Path) -> Settings:
    """Read everything that the gateway is told; `argv` is without the program's name.

    `BadSetting` for an unknown option, a value that cannot be used, or an invalid file.
    """
    return build(read_command_line(argv), environ, cwd)


def build(invocation: Invocation, environ: Mapping[str, str], cwd: Path) -> Settings:
    """Make the settings of a command line that has been read."""
    dotenv = read_dotenv(cwd / ".env")
    environment = read_environment(environ, ENVIRONMENT)
    from_dotenv = read_environment(dotenv, DOTENV)
    outer = combine(invocation.options, environment, from_dotenv)
    variables = {**dotenv, **environ}
    config = outer["config"]
    file = Section("config file", {}, {}) if config is None else read_file(cwd / config, variables)
    file.known(*dict.fromkeys((*(option.name for option in OPTIONS if option.in_file), *_SECTIONS)))
    in_file = {
        option.name: parse_in_file(option, file.value(option.name), file.place(option.name))
        for option in OPTIONS
        if option.in_file and option.name in file and option.name != "model_provider_map"
    }
    given = combine(invocation.options, environment, from_dotenv, in_file)
    return _settings(given, file, variables, cwd)


def _settings(given: Values, file: Section, variables: Mapping[str, str], cwd: Path) -> Settings:
    providers = build_providers(given, file.section("providers"))
    check_prefix(given, providers)
    patterns = build_map(given, file.section("model_provider_map"), providers)
    models = build_models(given, file.section("models"), providers, patterns, variables, cwd)
    auth, generated = build_auth(given, file.section("keys"))
    for name in ("default_provider", "provider_filter", "passthrough_provider"):
        if given[name] is not None and given[name] not in providers:
            # From the file it has a line there.
            place = file.place(name) if given.rank(name) == FILE else given.source(name)
            raise BadSetting(f"{place}: expected a provider, one of {', '.join(providers)}")
    return Settings(
        **_plain(given),
        **_paths(given, cwd),
        debug=given["debug"],
        log_level="DEBUG" if given["debug"] else given["log_level"],
        providers=providers,
        default_provider=_default_provider(given, providers),
        models=models,
        model_provider_map=patterns,
        placeholder_mode=given["use_placeholder_mode"],
        auth=auth,
        limits=build_limits(given),
        cors_allow_origins=given["cors_allow_origins"] or (),
        allowed_hosts=tuple(host.lower() for host in given["allowed_hosts"] or ()),
        executor_secret=check_secret(given, "executor_secret"),
        generated_key=generated,
        notes=_notes(given),
    )


# Options that are fields of the settings under the same name, as they are.
_SAME_NAME = (
    "port", "host", "published", "workers", "provider_filter", "model_filter", "passthrough_provider",
    "provider_rest_seconds", "upstream_transport", "trusted_proxies", "max_request_bytes", "executor_url",
    "log_requests", "log_format", "log_bodies", "default_language", "api_prefix",
)  # fmt: skip


def _plain(given: Values) -> dict[str, Any]:
    return {name: given[name] for name in _SAME_NAME}


def _paths(given: Values, cwd: Path) -> dict[str, Any]:
    paths = {name: None if given[name] is None else cwd / given[name] for name in ("log_file", "data_dir")}
    for name, path in paths.items():
        folder = path if path is None or name == "data_dir" else path.parent
        if folder and folder.exists() and not folder.is_dir():
            raise BadSetting(f"{given.source(name)}: expected a path whose folder is one")
    prompts = None if given["prompts_dir"] is None else cwd / given["prompts_dir"]
    if prompts and not prompts.is_dir():
        raise BadSetting(f"{given.source('prompts_dir')}: expected a folder that exists")
    config = None if given["config"] is None else cwd / given["config"]
    return {**paths, "prompts_dir": prompts, "config_file": config}


def _default_provider(given: Values, providers: Mapping[str, ProviderSettings]) -> str:
    if given["use_placeholder_mode"]:
        return "stub"
    if given["default_provider"] is not None:
        return str(given["default_provider"])
    return next((name for name, provider in providers.items() if provider.configured), "stub")


def _notes(given: Values) -> tuple[str, ...]:
    """Name what was given and has no effect as things stand."""
    notes = []
    if not given["enable_auth"]:
        notes += [
            f"{given.source(name)} is given, but JWT auth is off: turn it on with --enable-auth (ENABLE_AUTH=true)"
            for name in ("jwt_secret", "jwt_jwks_url")
            if given.is_given(name)
        ]
    return tuple(notes)
