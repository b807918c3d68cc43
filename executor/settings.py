"""Settings of the executor: frozen, built once from options and environment; nobody else reads the environment."""

import ipaddress
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

MIN_SECRET_BYTES = 32
IMAGES = {"base": "sandgate-sandbox:base", "data": "sandgate-sandbox:data"}
POOL_SIZE = {"base": 4, "data": 1}
CONTROL_NAMES = (
    "network",
    "root_read_only",
    "mounts",
    "ipc",
    "tmpfs",
    "capabilities",
    "no_new_privileges",
    "seccomp",
    "user",
    "memory_limit",
    "swap",
    "cpu_limit",
    "process_limit",
    "file_limits",
    "environment",
    "supervisor_hidden",
    "time_limit",
)


class SettingsError(Exception):
    """A setting is wrong; the message names the variable and says what was expected, never a secret's value."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """Everything that the executor was told. Sizes are in MiB where the name says `mb`, times in seconds.

    `images` maps the name that requests use to the engine's reference; the first is the default. `pool_size` has
    the same keys. Raises `SettingsError` where values do not go together.
    """

    host: str = "127.0.0.1"
    port: int = 3600
    secret: str | None = field(default=None, repr=False)

    docker_host: str = "unix:///var/run/docker.sock"
    images: Mapping[str, str] = field(default_factory=lambda: dict(IMAGES))
    runtime: str | None = None
    pool_size: Mapping[str, int] = field(default_factory=lambda: dict(POOL_SIZE))

    max_concurrent: int = 8
    max_queue: int = 64
    queue_seconds: float = 30.0

    default_timeout_seconds: float = 10.0
    max_timeout_seconds: float = 60.0
    default_memory_mb: int = 256
    max_memory_mb: int = 1024
    default_cpus: float = 1.0
    max_cpus: float = 2.0
    max_processes: int = 64
    max_open_files: int = 256
    max_file_mb: int = 64
    workdir_mb: int = 64
    tmp_mb: int = 64
    shm_mb: int = 16

    max_request_bytes: int = 16777216
    waive_controls: frozenset[str] = frozenset()
    log_level: str = "INFO"

    def __post_init__(self) -> None:
        if self.secret is not None and len(self.secret.encode()) < MIN_SECRET_BYTES:
            raise SettingsError(f"EXECUTOR_SECRET: must have at least {MIN_SECRET_BYTES} bytes")
        if self.secret is None and not _is_loopback(self.host):
            raise SettingsError(
                f"EXECUTOR_SECRET: must be set to listen on {self.host}; without it only loopback is allowed"
            )
        for name, default, most in (
            ("TIMEOUT_SECONDS", self.default_timeout_seconds, self.max_timeout_seconds),
            ("MEMORY_MB", self.default_memory_mb, self.max_memory_mb),
            ("CPUS", self.default_cpus, self.max_cpus),
        ):
            if default > most:
                raise SettingsError(f"DEFAULT_{name}: {default:g} is more than MAX_{name}, {most:g}")
        for name in self.pool_size:
            if name not in self.images:
                raise SettingsError(f"POOL_SIZE: no image is called {name!r} in SANDBOX_IMAGES")
        for name in sorted(self.waive_controls):
            if name not in CONTROL_NAMES:
                raise SettingsError(f"WAIVE_CONTROLS: unknown control {name!r}; known: {', '.join(CONTROL_NAMES)}")

    @property
    def default_image(self) -> str:
        """The name of the image that runs use which name none."""
        return next(iter(self.images))


@dataclass(frozen=True, kw_only=True, slots=True)
class Variable:
    """One environment variable: which setting it is, how its text is read, what `--help` says of it."""

    name: str
    setting: str
    read: Callable[[str], Any]
    help: str
    default: str = ""


def read_settings(environment: Mapping[str, str], options: Mapping[str, Any] | None = None) -> Settings:
    """Build the settings from the environment; `options` (setting name -> value) win. Raises `SettingsError`.

    A variable that is set but empty counts as not set, as compose writes it for `${NAME:-}`. A default that nobody
    set gives way to a maximum below it.
    """
    values: dict[str, Any] = {}
    for variable in VARIABLES:
        text = environment.get(variable.name, "").strip()
        if not text:
            continue
        try:
            values[variable.setting] = variable.read(text)
        except ValueError as complaint:
            raise SettingsError(f"{variable.name}: {complaint}") from None
    values |= {name: value for name, value in (options or {}).items() if value is not None}
    images = values.get("images", IMAGES)
    values["pool_size"] = {name: POOL_SIZE.get(name, 1) for name in images} | values.get("pool_size", {})
    usual = {each.name: each.default for each in fields(Settings)}
    for name in ("timeout_seconds", "memory_mb", "cpus"):
        if (most := values.get(f"max_{name}")) is not None:
            values.setdefault(f"default_{name}", min(usual[f"default_{name}"], most))
    return Settings(**values)


def read_port(text: str) -> int:
    """Read a TCP port, 0 for any free one; `ValueError` says what was expected."""
    return _whole(0, 65535)(text)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _whole(least: int, most: int = 2**31) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]{1,12}", text) or not least <= int(text) <= most:
            raise ValueError(f"expected a whole number from {least} to {most}, got {text!r}")
        return int(text)

    return read


def _number(least: float, most: float = 86400.0) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not least <= value <= most:
            raise ValueError(f"expected a number from {least:g} to {most:g}, got {text!r}")
        return value

    return read


def _pairs(text: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, sign, value = (piece.strip() for piece in part.partition("="))
        if not sign or not value or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
            raise ValueError(f"expected name=value pairs with commas between, got {part!r}")
        if name in pairs:
            raise ValueError(f"{name!r} is there twice")
        pairs[name] = value
    if not pairs:
        raise ValueError("expected at least one name=value pair")
    return pairs


def _sizes(text: str) -> dict[str, int]:
    size = _whole(0, 1000)
    return {name: size(value) for name, value in _pairs(text).items()}


def _engine(text: str) -> str:
    if not re.match(r"(unix:///|tcp://|http://)[^\s]+$", text):
        raise ValueError(f"expected unix:///path or tcp://host:port, got {text!r}")
    return text


def _word(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", text):
        raise ValueError(f"expected a name, got {text!r}")
    return text


def _level(text: str) -> str:
    if text.upper() not in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"):
        raise ValueError(f"expected DEBUG, INFO, WARNING, ERROR or CRITICAL, got {text!r}")
    return text.upper()


def _names(text: str) -> frozenset[str]:
    return frozenset(filter(None, (name.strip() for name in text.split(","))))


def _variable(name: str, setting: str, read: Callable[[str], Any], text: str, default: object) -> Variable:
    return Variable(name=name, setting=setting, read=read, help=text, default=str(default))


VARIABLES = (
    _variable("EXECUTOR_PORT", "port", read_port, "port to listen on", 3600),
    _variable("EXECUTOR_HOST", "host", str, "address to listen on", "127.0.0.1"),
    _variable("EXECUTOR_SECRET", "secret", str, "shared with the gateway, at least 32 bytes", "none: loopback only"),
    _variable("DOCKER_HOST", "docker_host", _engine, "engine to use", "unix:///var/run/docker.sock"),
    _variable(
        "SANDBOX_IMAGES",
        "images",
        _pairs,
        "name=image pairs, the first is the default",
        "base=sandgate-sandbox:base,data=sandgate-sandbox:data",
    ),
    _variable("SANDBOX_RUNTIME", "runtime", _word, "OCI runtime: runc, crun, runsc, kata", "the engine's"),
    _variable("POOL_SIZE", "pool_size", _sizes, "sandboxes kept ready per image", "base=4,data=1"),
    _variable("MAX_CONCURRENT", "max_concurrent", _whole(1, 1000), "runs at a time", 8),
    _variable("MAX_QUEUE", "max_queue", _whole(0, 100000), "waiting runs; more are refused with 429", 64),
    _variable("QUEUE_SECONDS", "queue_seconds", _number(0, 3600), "longest wait; longer is refused with 503", 30),
    _variable("DEFAULT_TIMEOUT_SECONDS", "default_timeout_seconds", _number(0.1, 3600), "time limit of a run", 10),
    _variable("MAX_TIMEOUT_SECONDS", "max_timeout_seconds", _number(0.1, 3600), "most a request may ask for", 60),
    _variable("DEFAULT_MEMORY_MB", "default_memory_mb", _whole(32), "memory limit of a run", 256),
    _variable("MAX_MEMORY_MB", "max_memory_mb", _whole(32), "most a request may ask for", 1024),
    _variable("DEFAULT_CPUS", "default_cpus", _number(0.1, 1024), "CPU quota of a run", 1),
    _variable("MAX_CPUS", "max_cpus", _number(0.1, 1024), "most a request may ask for", 2),
    _variable("MAX_PROCESSES", "max_processes", _whole(8, 100000), "processes and threads of a run", 64),
    _variable("MAX_OPEN_FILES", "max_open_files", _whole(32, 1048576), "open files of a process", 256),
    _variable("MAX_FILE_MB", "max_file_mb", _whole(1), "largest file that can be written", 64),
    _variable("WORKDIR_MB", "workdir_mb", _whole(1), "size of the working directory, counts as memory", 64),
    _variable("TMP_MB", "tmp_mb", _whole(1), "size of /tmp, counts as memory", 64),
    _variable("SHM_MB", "shm_mb", _whole(1), "size of /dev/shm, counts as memory", 16),
    _variable("MAX_REQUEST_BYTES", "max_request_bytes", _whole(1024), "larger bodies are refused with 413", 16777216),
    _variable("WAIVE_CONTROLS", "waive_controls", _names, "failed self-tests that are accepted", "none"),
    _variable("LOG_LEVEL", "log_level", _level, "DEBUG, INFO, WARNING, ERROR or CRITICAL", "INFO"),
)
