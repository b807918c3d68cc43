"""A call log to try things on, and calls to put into it."""

from contextlib import asynccontextmanager

from gateway.settings import Settings
from gateway.telemetry.calls import Call, CallLog


def call(**facts):
    known = {"request_id": "req-1", "path": "/v1/chat/completions", "status": 200, "duration_ms": 12.5}
    return Call(**(known | {"provider": "openai", "model": "gpt-4o"} | facts))


@asynccontextmanager
async def opened(folder=None, bounds=None, **settings):
    log = CallLog(Settings(providers={}, data_dir=folder, **settings), bounds=bounds)
    await log.start()
    try:
        yield log
    finally:
        await log.stop()
