"""The gateway without its call log or without its metrics, to learn what they cost. For comparison only.

usage: python silenced_gateway.py log|metrics OPTIONS_OF_THE_GATEWAY
"""

import sys
from typing import Any

from gateway.__main__ import main
from gateway.telemetry.calls import CallLog
from gateway.telemetry.metrics import Metrics

SILENCED: dict[str, tuple[type, tuple[str, ...]]] = {
    "log": (CallLog, ("record",)),
    "metrics": (Metrics, ("request", "llm", "first_token", "stream_opened", "stream_closed")),
}


def do_nothing(*_arguments: Any, **_named: Any) -> None:
    """Stand in for what writes."""


def silence(part: str) -> None:
    """Take the writing away; workers are forked from here, so they have it away as well."""
    kind, names = SILENCED[part]
    for name in names:
        if name not in vars(kind):
            sys.exit(f"{kind.__name__} has no {name} any more: {__file__} must follow")
        setattr(kind, name, do_nothing)


if __name__ == "__main__":
    silence(sys.argv.pop(1))
    sys.exit(main())
