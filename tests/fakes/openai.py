"""A fake of OpenAI, and of LM Studio when `prefix` is `/v1` and there is no key (OpenAI API reference)."""

import base64
import hashlib
import json
import struct
from typing import Any

from sanic import HTTPResponse, Request, Sanic
from sanic.response import json as json_response

from tests.fakes.scripted import USAGE, Fake, fill, sse, words_of


def usage() -> dict[str, Any]:
    return {
        "prompt_tokens": USAGE["prompt"],
        "completion_tokens": USAGE["completion"],
        "total_tokens": USAGE["prompt"] + USAGE["completion"],
        "prompt_tokens_details": {"cached_tokens": USAGE["cached"]},
        "completion_tokens_details": {"reasoning_tokens": USAGE["reasoning"]},
    }


def refuse(status: int, message: str, kind: str, code: str | None = None, param: str | None = None) -> HTTPResponse:
    error = {"message": message, "type": kind, "param": param, "code": code}
    return json_response({"error": error}, status, headers={"x-request-id": "req_fake"})


class FakeOpenAI(Fake):
    """`/v1/chat/completions`, `/v1/embeddings`, `/v1/models`; its base URL ends with `/v1`, LM Studio's does not."""

    vendor = "openai"
    models = ("gpt-4o-mini", "gpt-5-think", "text-embedding-3-small")

    def route(self, app: Sanic[Any, Any]) -> None:
        app.add_route(self.chat, "/v1/chat/completions", methods=["POST"])
        app.add_route(self.embed, "/v1/embeddings", methods=["POST"])
        app.add_route(self.list_models, "/v1/models", methods=["GET"])

    def key_of(self, request: Request) -> str | None:
        return request.headers.get("authorization", "").removeprefix("Bearer ") or None

    def refuse_key(self) -> HTTPResponse:
        given = self.last.headers.get("authorization", "")
        return refuse(401, f"Incorrect API key provided: {given}.", "invalid_request_error", "invalid_api_key")

    async def chat(self, request: Request) -> HTTPResponse | None:
        body = request.json
        if body["model"] == "missing":
            message = "The model `missing` does not exist or you do not have access to it."
            return refuse(404, message, "invalid_request_error", "model_not_found")
        if complaint := _complain(body["messages"]):
            return refuse(400, complaint, "invalid_request_error", param="messages")
        answers = [self._answer(body) for _ in range(body.get("n") or 1)]
        head = {"id": "chatcmpl-fake", "created": 1700000000, "model": f"{body['model']}-2024-07-18"}
        if body.get("stream"):
            await self.stream(request, _chunks(body, head, answers), "text/event-stream; charset=utf-8")
            return None
        choices = [
            {"index": index, "message": message, "logprobs": None, "finish_reason": reason}
            for index, (message, reason) in enumerate(answers)
        ]
        whole = {**head, "object": "chat.completion", "choices": choices, "usage": usage()}
        return json_response({**whole, "system_fingerprint": "fp_fake"})

    def _answer(self, body: dict[str, Any]) -> tuple[dict[str, Any], str]:
        message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
        if "think" in body["model"] and self.vendor != "openai":
            message["reasoning_content"] = "Let me think."
        last = body["messages"][-1]
        if body.get("tools") and last["role"] != "tool" and body.get("tool_choice") != "none":
            function = body["tools"][0]["function"]
            arguments = json.dumps(fill(function["parameters"]), ensure_ascii=False)
            call = {"id": "call_fake_1", "type": "function"}
            message["tool_calls"] = [{**call, "function": {"name": function["name"], "arguments": arguments}}]
            return message, "tool_calls"
        wanted = body.get("response_format") or {}
        if self.reply is not None:
            message["content"] = self.reply
        elif wanted.get("type") == "json_schema":
            message["content"] = json.dumps(fill(wanted["json_schema"]["schema"]), ensure_ascii=False)
        elif wanted.get("type") == "json_object":
            message["content"] = '{"ok": true}'
        elif last["role"] == "tool":
            message["content"] = f"The tool said: {last['content']}"
        else:
            message["content"] = f"You said: {_said(last)}"
        return message, "stop"

    async def embed(self, request: Request) -> HTTPResponse:
        body = request.json
        texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
        packed = body.get("encoding_format") == "base64"
        data = []
        for index, text in enumerate(texts):
            vector = [byte / 255 for byte in hashlib.sha256(str(text).encode()).digest()[: body.get("dimensions") or 4]]
            binary = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
            data.append({"object": "embedding", "index": index, "embedding": binary if packed else vector})
        counts = {"prompt_tokens": 5, "total_tokens": 5}
        return json_response({"object": "list", "data": data, "model": body["model"], "usage": counts})

    async def list_models(self, request: Request) -> HTTPResponse:
        data = [{"id": name, "object": "model", "created": 1700000000, "owned_by": "system"} for name in self.models]
        return json_response({"object": "list", "data": data})


class FakeLMStudio(FakeOpenAI):
    """LM Studio: no key, no `n`, `tool_choice` as a word, `response_format` as a schema only."""

    vendor = "lmstudio"
    models = ("qwen2.5-7b-instruct", "deepseek-think", "nomic-embed")

    async def chat(self, request: Request) -> HTTPResponse | None:
        body = request.json
        if isinstance(body.get("tool_choice"), dict):
            return json_response({"error": "Invalid tool_choice type: 'object'. Supported: none, auto, required"}, 400)
        if (body.get("response_format") or {}).get("type") == "json_object":
            return json_response({"error": "'response_format.type' must be 'json_schema' or 'text'"}, 400)
        return await super().chat(request)


def _said(message: dict[str, Any]) -> str:
    content = message["content"]
    if isinstance(content, str):
        return content
    images = sum(part["type"] == "image_url" for part in content)
    return "".join(part.get("text", "") for part in content) + (f" [{images} images]" if images else "")


def _complain(messages: list[dict[str, Any]]) -> str | None:
    """Check what OpenAI checks: each tool result answers a call made before, and each call is answered."""
    open_calls: set[str] = set()
    for message in messages:
        if message["role"] == "tool":
            if message["tool_call_id"] not in open_calls:
                return "messages with role 'tool' must be a response to a preceding message with 'tool_calls'."
            open_calls.discard(message["tool_call_id"])
        elif open_calls:
            return "An assistant message with 'tool_calls' must be followed by tool messages."
        for call in message.get("tool_calls") or ():
            if not isinstance(call["function"]["arguments"], str):
                return "tool call arguments must be a string"
            open_calls.add(call["id"])
    return None


def _chunks(body: dict[str, Any], head: dict[str, Any], answers: list[tuple[dict[str, Any], str]]) -> list[bytes]:
    wants_usage = (body.get("stream_options") or {}).get("include_usage")
    rest = {"usage": None} if wants_usage else {}
    head = {**head, "object": "chat.completion.chunk", "system_fingerprint": "fp_fake"}

    def chunk(index: int, delta: dict[str, Any], reason: str | None = None) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}
        return sse({**head, "choices": [choice], **rest})

    events: list[bytes] = []
    for index, (message, reason) in enumerate(answers):
        events.append(chunk(index, {"role": "assistant", "content": None if message.get("tool_calls") else ""}))
        events += [chunk(index, {"reasoning_content": word}) for word in words_of(message.get("reasoning_content", ""))]
        events += [chunk(index, {"content": word}) for word in words_of(message["content"] or "")]
        for number, call in enumerate(message.get("tool_calls", ())):
            function = call["function"]
            first = {**call, "index": number, "function": {"name": function["name"], "arguments": ""}}
            events.append(chunk(index, {"tool_calls": [first]}))
            for start in range(0, len(function["arguments"]), 5):
                piece = {"index": number, "function": {"arguments": function["arguments"][start : start + 5]}}
                events.append(chunk(index, {"tool_calls": [piece]}))
        events.append(chunk(index, {}, reason))
    if wants_usage:
        events.append(sse({**head, "choices": [], "usage": usage()}))
    return [*events, sse("[DONE]")]
