"""Log lines: text for people, JSON for machines, one line per event, the request's id in each.

Text is `2026-11-21 09:40:12 INFO gateway.routing retrying request_id=… provider=openai attempt=2`. Whatever a client
sends stays inside its line: line breaks, terminal escapes and bidirectional marks are written out as escapes.
Stack traces are kept for `--debug`; without it the line names the exception and the module and line it came from.
"""

import json
import logging
import re
import sys
import traceback
from contextvars import ContextVar
from datetime import UTC, datetime
from logging import Handler, Logger, LogRecord

from gateway.settings import Settings
from gateway.telemetry.masking import masked
from gateway.telemetry.rotation import SharedRotatingFile

request_id: ContextVar[str] = ContextVar("request_id", default="")

LOG_FILE_BYTES = 10 * 1024 * 1024
LOG_FILE_BACKUPS = 5

_ACCESS = logging.getLogger("gateway.access")
_OFF = logging.CRITICAL + 1
_STANDARD = frozenset(vars(LogRecord("", 0, "", 0, "", (), None))) | {"message", "asctime", "taskName"}
_RESERVED = frozenset({"time", "level", "logger", "message", "request_id", "exception", "at", "traceback"})
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_BARE = re.compile(r"[^\s\"'=\\]+")
_SMALLEST, _LARGEST = -(2**63), 2**64 - 1

Fact = str | int | float | bool | None


def configure(settings: Settings) -> None:
    """Send the process's log records where the settings say, in their format. May be called again.

    The libraries beneath us speak up only for warnings: their lower levels show addresses and headers.
    """
    formatter = (JsonFormatter if settings.log_format == "json" else TextFormatter)(debug=settings.debug)
    handlers: list[Handler] = [logging.StreamHandler(sys.stderr)]
    if settings.log_file is not None:
        handlers.append(SharedRotatingFile(settings.log_file, max_bytes=LOG_FILE_BYTES, backups=LOG_FILE_BACKUPS))
    root = logging.getLogger()
    for old in [handler for handler in root.handlers if isinstance(handler.formatter, LineFormatter)]:
        root.removeHandler(old)
        old.close()
    for handler in handlers:
        handler.setFormatter(formatter)
        root.addHandler(handler)
    # The standard library reports a failed write with the record's raw arguments, which may hold a secret.
    logging.raiseExceptions = False
    root.setLevel(logging.WARNING)
    logging.getLogger("gateway").setLevel("DEBUG" if settings.debug else settings.log_level.upper())
    _ACCESS.setLevel(logging.INFO if settings.log_requests else _OFF)
    _quiet_sanic()


def _quiet_sanic() -> None:
    for name in ("sanic.root", "sanic.error", "sanic.server", "sanic.websockets"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.WARNING)
    silent: Logger = logging.getLogger("sanic.access")
    silent.handlers.clear()
    silent.setLevel(_OFF)


def access(method: str, path: str, status: int, duration_ms: float, **facts: Fact) -> None:
    """Write the access line of one request; nothing unless LOG_REQUESTS is on, whatever LOG_LEVEL says."""
    if _ACCESS.isEnabledFor(logging.INFO):
        extra = {"status": status, "duration_ms": round(duration_ms, 1), **facts}
        _ACCESS.info("%s %s", method, path, extra=extra)


class LineFormatter(logging.Formatter):
    """What text and JSON share: the record as plain values, masked. Never raises, whatever the record holds."""

    def __init__(self, *, debug: bool = False) -> None:
        super().__init__()
        self._debug = debug

    def message(self, record: LogRecord) -> str:
        """The record's message with its arguments; if they do not fit, side by side."""
        try:
            text = record.getMessage()
        except (TypeError, ValueError, KeyError):
            text = f"{record.msg} {record.args!r}"
        return masked(text)

    def facts(self, record: LogRecord) -> dict[str, Fact]:
        """The request's id, what was given as `extra`, and the exception if there is one."""
        facts: dict[str, Fact] = {}
        if identity := getattr(record, "request_id", None) or request_id.get():
            facts["request_id"] = _plain(identity)
        for name, value in record.__dict__.items():
            if name not in _STANDARD and name != "request_id":
                facts[f"{name}_" if name in _RESERVED else name] = _plain(value)
        if record.exc_info and record.exc_info[1] is not None:
            facts |= self._exception(record.exc_info[1])
        return facts

    def _exception(self, error: BaseException) -> dict[str, Fact]:
        facts: dict[str, Fact] = {"exception": masked(f"{type(error).__name__}: {error}")}
        frames = list(traceback.walk_tb(error.__traceback__))
        if frames:
            frame, line = frames[-1]
            facts["at"] = f"{frame.f_globals.get('__name__', '?')}:{line}"
        if self._debug:
            facts["traceback"] = masked("".join(traceback.format_exception(error)))
        return facts


class TextFormatter(LineFormatter):
    """Lines for people. Times are UTC."""

    def format(self, record: LogRecord) -> str:
        """One record as one line without a line break."""
        moment = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%d %H:%M:%S")
        words = [moment, record.levelname, _escape(record.name), _escape(self.message(record))]
        words += [f"{_escape(name)}={_word(value)}" for name, value in self.facts(record).items()]
        return " ".join(words)


class JsonFormatter(LineFormatter):
    """Lines for machines: one JSON object each, `time` in RFC 3339."""

    def format(self, record: LogRecord) -> str:
        """One record as one line of JSON."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {
            "time": moment.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self.message(record),
            **self.facts(record),
        }
        return _escape(json.dumps(line, ensure_ascii=False, allow_nan=False))


def _plain(value: object) -> Fact:
    """A value that a line can hold: text masked, numbers that JSON cannot carry as text."""
    match value:
        case None | bool():
            return value
        case int():
            return value if _SMALLEST <= value <= _LARGEST else str(value)
        case float():
            return value if value - value == 0 else str(value)
        case str():
            return masked(value)
    try:
        return masked(str(value))
    except Exception:  # noqa: BLE001 (a foreign object's __str__ must not cost the line)
        return f"<{type(value).__name__}>"


def _word(value: Fact) -> str:
    """A fact as text: bare if it cannot be mistaken for anything else, else quoted."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            bare = _BARE.fullmatch(value) is not None
            return _escape(value if bare else json.dumps(value, ensure_ascii=False))
    return str(value)


def _escape(text: str) -> str:
    r"""Text without line breaks, control characters, bidirectional marks and lone surrogates: `\u001b` instead."""
    return _UNSAFE.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(found[0], f"\\u{ord(found[0]):04x}")
