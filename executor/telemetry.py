"""The log: plain single lines on stderr, each with the id of the request it belongs to."""

import logging
import sys
from contextvars import ContextVar

current_request: ContextVar[str] = ContextVar("current_request", default="-")


class LineFormatter(logging.Formatter):
    """Writes one line for each record, whatever it holds."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the line."""
        if not hasattr(record, "request_id"):
            record.request_id = current_request.get()
        text = super().format(record)
        if text.isprintable():
            return text
        return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def set_up_logging(level: str) -> None:
    """Send the executor's log, and warnings of libraries, to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter("%(asctime)s %(levelname)s %(name)s [%(request_id)s] %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("executor").setLevel(level)
    for name in ("sanic.root", "sanic.error", "sanic.access", "sanic.server"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.WARNING)
