"""The gateway with nothing written to call log and metrics, to learn what they cost. For comparison only.

usage: python unlogged_gateway.py OPTIONS_OF_THE_GATEWAY
"""

import sys
from typing import Any

from gateway.__main__ import main
from gateway.api.recording import Recording
from gateway.telemetry.calls import CallLog
from gateway.telemetry.metrics import Metrics

SILENCED = (
    (Recording, ("__exit__",)),  # where the record of a call is made up
    (CallLog, ("record",)),
    (Metrics, ("request", "llm", "first_token", "stream_opened", "stream_closed")),
)


def do_nothing(*_arguments: Any, **_named: Any) -> None:
    """Stand in for what writes."""


def silence() -> None:
    """Take the writing away; workers are forked from here, so they have it away as well."""
    for kind, names in SILENCED:
        for name in names:
            if name not in vars(kind):
                sys.exit(f"{kind.__name__} has no {name} any more: {__file__} must follow")
            setattr(kind, name, do_nothing)


if __name__ == "__main__":
    silence()
    sys.exit(main())
