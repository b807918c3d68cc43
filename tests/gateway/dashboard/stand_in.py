"""An executor that streams what it was told to, over the executor's own wire (API.md 4.2)."""

import asyncio
import json
from typing import Any

from sanic import Request, Sanic
from sanic.response import HTTPResponse
from sanic.response import json as answer_json

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'
TABLE = f"<style>td {{color: red}}</style><table><tr><td style='color: red' onclick='1'>cell</td></tr></table>{HOSTILE}"
HEALTH = {
    "status": "healthy", "message": None, "engine": {"runtime": "runc"}, "controls": {"network": "passed"},
    "pool": {"base": {"ready": 4, "target": 4}},
}  # fmt: skip
LIMITS = {
    "defaults": {"image": "base", "timeout_seconds": 10, "memory_mb": 256},
    "maxima": {"timeout_seconds": 60, "memory_mb": 1024, "cpus": 2, "processes": 64},
    "images": {"base": {"python": "3.13.5", "packages": {}}, "data": {"python": "3.13.5", "packages": {}}},
}
DONE = {
    "id": "exec_1", "success": True, "status": "ok", "result": 42, "result_repr": "42", "stdout": "", "stderr": "",
    "error": None, "usage": {"wall_ms": 12.5, "cpu_ms": 3.1, "memory_peak_mb": 11.3},
    "policy": {"timeout_seconds": 10, "memory_mb": 256, "network": "none"},
    "sandbox": {"python": "3.13.5", "warm": True},
}  # fmt: skip


class StandIn:
    """`go_on` lets a run that has begun come to its end; `left` is set when the gateway leaves one early."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.left = asyncio.Event()
        self.jobs: list[dict[str, Any]] = []
        self.app: Sanic[Any, Any] = Sanic("streaming-executor")
        for path, body in (("/health", HEALTH), ("/limits", LIMITS)):
            self.app.add_route(_constant(body), path, name=path.strip("/"))
        self.app.add_route(self.list_running, "/executions", name="executions")
        self.app.add_route(self.run, "/execute", methods=["POST"], name="execute")

    async def list_running(self, request: Request) -> HTTPResponse:
        return answer_json({"executions": [{"id": "exec_9", "user": HOSTILE, "image": "base", "started_at": 1}]})

    async def run(self, request: Request) -> None:
        self.jobs.append(request.json)
        response = await request.respond(content_type="text/event-stream")

        async def tell(event: str, data: dict[str, Any]) -> None:
            await response.send(f"event: {event}\ndata: {json.dumps(data)}\n\n".encode())

        await tell("start", {"id": "exec_1"})
        await tell("stdout", {"text": f"first line {HOSTILE}\n"})
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.left.set()
            raise
        await tell("stderr", {"text": "a warning\n"})
        await tell("display", {"mime": "image/png", "data": PIXEL})
        await tell("display", {"mime": "text/html", "data": TABLE})
        await tell("file", {"path": "plot.png", "size": 2048, "mime": "image/png"})
        await tell("done", DONE)
        await response.eof()


def _constant(body: dict[str, Any]) -> Any:
    async def answer(request: Request) -> HTTPResponse:
        return answer_json(body)

    return answer
