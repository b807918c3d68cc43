"""The proxy that everybody writes first: Sanic in front, httpx behind, nothing else. For comparison only.

usage: python plain_proxy.py PORT BASE_URL
"""

import sys
from typing import Any

import httpx
from sanic import HTTPResponse, Request, Sanic
from sanic.response import text

app: Sanic[Any, Any] = Sanic("plain_proxy")


@app.before_server_start
async def open_client(app: Sanic[Any, Any]) -> None:
    """One client for all requests, with httpx's own limits lifted."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    app.ctx.client = httpx.AsyncClient(base_url=sys.argv[2], limits=limits, timeout=60)


@app.get("/health")
async def health(_request: Request) -> HTTPResponse:
    """Alive."""
    return text("ok")


@app.post("/v1/chat/completions")
async def forward(request: Request) -> HTTPResponse | None:
    """Send the body on, and the answer back as it comes."""
    client: httpx.AsyncClient = request.app.ctx.client
    headers = {"content-type": "application/json"}
    if b'"stream":true' not in request.body:
        answer = await client.post("/v1/chat/completions", content=request.body, headers=headers)
        return HTTPResponse(answer.content, answer.status_code, content_type=answer.headers["content-type"])
    async with client.stream("POST", "/v1/chat/completions", content=request.body, headers=headers) as streamed:
        response: Any = await request.respond(content_type=streamed.headers["content-type"])
        async for piece in streamed.aiter_raw():
            await response.send(piece)
        await response.eof()
    return None


if __name__ == "__main__":
    app.run(host="127.0.0.1", port=int(sys.argv[1]), single_process=True, access_log=False, motd=False)
