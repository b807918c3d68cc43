"""A fake of Ollama: /api/chat, /api/embed, /api/tags, /api/show, /api/version (Ollama docs/api.md)."""

import hashlib
import json
from typing import Any

from sanic import HTTPResponse, Request, Sanic
from sanic.response import json as json_response
from sanic.response import text as text_response

from tests.fakes.scripted import USAGE, Fake, fill, words_of

CREATED_AT = "2024-05-01T12:00:00.123456789Z"
COUNTS = {
    "total_duration": 5_000_000_000,
    "load_duration": 1_000_000,
    "prompt_eval_count": USAGE["prompt"],
    "prompt_eval_duration": 1_000_000,
    "eval_count": USAGE["completion"],
    "eval_duration": 2_000_000,
}


class FakeOllama(Fake):
    """Ollama on a machine with three models."""

    vendor = "ollama"
    models = ("llama3:8b", "qwen3-think:4b", "nomic-embed-text:latest")

    def route(self, app: Sanic[Any, Any]) -> None:
        app.add_route(self.root, "/", methods=["GET", "HEAD"])
        app.add_route(self.chat, "/api/chat", methods=["POST"])
        app.add_route(self.embed, "/api/embed", methods=["POST"])
        app.add_route(self.tags, "/api/tags", methods=["GET"])
        app.add_route(self.version, "/api/version", methods=["GET"])

    def key_of(self, request: Request) -> str | None:
        return request.headers.get("authorization", "").removeprefix("Bearer ") or None

    def refuse_key(self) -> HTTPResponse:
        return json_response({"error": "unauthorized"}, 401)

    async def root(self, request: Request) -> HTTPResponse:
        return text_response("Ollama is running")

    async def version(self, request: Request) -> HTTPResponse:
        return json_response({"version": "0.12.0"})

    async def tags(self, request: Request) -> HTTPResponse:
        details = {"parent_model": "", "format": "gguf", "family": "llama", "families": ["llama"]}
        models = [
            {
                "name": name,
                "model": name,
                "modified_at": "2024-05-01T12:00:00.123456789+02:00",
                "size": 4661224676,
                "digest": hashlib.sha256(name.encode()).hexdigest(),
                "details": {**details, "parameter_size": "8B", "quantization_level": "Q4_0"},
            }
            for name in self.models
        ]
        return json_response({"models": models})

    async def chat(self, request: Request) -> HTTPResponse | None:
        body = request.json
        if body["model"] == "missing":
            return json_response({"error": "model 'missing' not found"}, 404)
        if complaint := _complain(body):
            return json_response({"error": complaint}, 400)
        head = {"model": body["model"], "created_at": CREATED_AT}
        message = self._answer(body)
        if body.get("stream", True):
            await self.stream(request, _lines(head, message), "application/x-ndjson")
            return None
        return json_response({**head, "message": message, "done": True, "done_reason": "stop", **COUNTS})

    def _answer(self, body: dict[str, Any]) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": ""}
        if body.get("think"):
            message["thinking"] = "Let me think."
        last = body["messages"][-1]
        if body.get("tools") and last["role"] != "tool":
            function = body["tools"][0]["function"]
            message["tool_calls"] = [
                {"function": {"name": function["name"], "arguments": fill(function["parameters"])}}
            ]
        elif self.reply is not None:
            message["content"] = self.reply
        elif isinstance(body.get("format"), dict):
            message["content"] = json.dumps(fill(body["format"]), ensure_ascii=False)
        elif body.get("format") == "json":
            message["content"] = '{"ok": true}'
        elif last["role"] == "tool":
            message["content"] = f"The tool said: {last['content']}"
        else:
            images = len(last.get("images") or ())
            message["content"] = f"You said: {last['content']}" + (f" [{images} images]" if images else "")
        return message

    async def embed(self, request: Request) -> HTTPResponse:
        body = request.json
        texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
        size = body.get("dimensions") or 4
        vectors = [[byte / 255 for byte in hashlib.sha256(text.encode()).digest()[:size]] for text in texts]
        return json_response({"model": body["model"], "embeddings": vectors, "prompt_eval_count": 5})


def _complain(body: dict[str, Any]) -> str | None:
    """Check what Ollama's JSON decoder checks."""
    for message in body["messages"]:
        if message["role"] not in {"system", "user", "assistant", "tool"}:
            return f"invalid role: {message['role']}"
        if not isinstance(message.get("content", ""), str):
            return "json: cannot unmarshal array into Go struct field ChatRequest.messages.content of type string"
        if any(image.startswith(("data:", "http")) for image in message.get("images") or ()):
            return "illegal base64 data at input byte 4"
        for call in message.get("tool_calls") or ():
            if not isinstance(call["function"]["arguments"], dict):
                return "json: cannot unmarshal string into Go struct field of type api.ToolCallFunctionArguments"
    unknown = set(body.get("options") or ()) & {"max_tokens", "model", "keep_alive", "think"}
    return f"invalid option: {unknown}" if unknown else None


def _lines(head: dict[str, Any], message: dict[str, Any]) -> list[bytes]:
    pieces: list[dict[str, Any]] = [{"content": "", "thinking": word} for word in words_of(message.get("thinking", ""))]
    pieces += [{"content": word} for word in words_of(message["content"])]
    pieces += [{"content": "", "tool_calls": [call]} for call in message.get("tool_calls", ())]
    lines: list[dict[str, Any]] = [
        {**head, "message": {"role": "assistant", **piece}, "done": False} for piece in pieces
    ]
    end = {**head, "message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop", **COUNTS}
    return [json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in [*lines, end]]
