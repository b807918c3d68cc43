"""A fake of Anthropic: /v1/messages, /v1/messages/count_tokens, /v1/models (Claude API reference)."""

import json
import re
from typing import Any

from sanic import HTTPResponse, Request, Sanic
from sanic.response import json as json_response

from tests.fakes.scripted import USAGE, Fake, fill, sse, words_of

SIGNATURE = "EqQBCgIYAhIM1gbcDa9GJwZA2b3h"


def refuse(status: int, kind: str, message: str) -> HTTPResponse:
    body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_fake"}
    return json_response(body, status, headers={"request-id": "req_fake"})


def usage(output: int) -> dict[str, Any]:
    return {
        "input_tokens": USAGE["prompt"] - USAGE["cached"],
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": USAGE["cached"],
        "output_tokens": output,
        "service_tier": "standard",
    }


class FakeAnthropic(Fake):
    """Anthropic, strict about everything that its documentation is strict about."""

    vendor = "anthropic"
    models = ("claude-sonnet-4-5", "claude-opus-4-8", "claude-think-4-5")

    def route(self, app: Sanic[Any, Any]) -> None:
        app.add_route(self.messages, "/v1/messages", methods=["POST"])
        app.add_route(self.count_tokens, "/v1/messages/count_tokens", methods=["POST"])
        app.add_route(self.list_models, "/v1/models", methods=["GET"])

    def key_of(self, request: Request) -> str | None:
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        return request.headers.get("x-api-key") or bearer or None

    def refuse_key(self) -> HTTPResponse:
        return refuse(401, "authentication_error", f"invalid x-api-key: {self.last.headers.get('x-api-key')}")

    async def messages(self, request: Request) -> HTTPResponse | None:
        body = request.json
        if "anthropic-version" not in request.headers:
            return refuse(400, "invalid_request_error", "anthropic-version: header is required")
        if body["model"] == "missing":
            return refuse(404, "not_found_error", "model: missing")
        if complaint := _complain(body):
            return refuse(400, "invalid_request_error", complaint)
        blocks, reason = self._answer(body)
        head = {"id": "msg_fake", "type": "message", "role": "assistant", "model": body["model"]}
        if body.get("stream"):
            await self.stream(request, _events(head, blocks, reason), "text/event-stream; charset=utf-8")
            return None
        end = {"stop_reason": reason, "stop_sequence": None, "usage": usage(USAGE["completion"])}
        return json_response({**head, "content": blocks, **end}, headers={"request-id": "req_fake"})

    def _answer(self, body: dict[str, Any]) -> tuple[list[dict[str, Any]], str]:
        blocks: list[dict[str, Any]] = []
        if (body.get("thinking") or {}).get("type") in {"enabled", "adaptive"}:
            blocks.append({"type": "thinking", "thinking": "Let me think.", "signature": SIGNATURE})
        last = body["messages"][-1]["content"]
        last = [{"type": "text", "text": last}] if isinstance(last, str) else last
        results = [block for block in last if block["type"] == "tool_result"]
        if body.get("tools") and not results and (body.get("tool_choice") or {}).get("type") != "none":
            tool = body["tools"][0]
            call = {"type": "tool_use", "id": "toolu_fake_1", "name": tool["name"], "input": fill(tool["input_schema"])}
            return [*blocks, call], "tool_use"
        wanted = (body.get("output_config") or {}).get("format")
        if self.reply is not None:
            text = self.reply
        elif wanted:
            text = json.dumps(fill(wanted["schema"]), ensure_ascii=False)
        elif results:
            content = results[0].get("content") or ""
            text = "The tool said: " + (content if isinstance(content, str) else content[0]["text"])
        else:
            images = sum(block["type"] == "image" for block in last)
            said = "".join(block.get("text", "") for block in last)
            text = f"You said: {said}" + (f" [{images} images]" if images else "")
        return [*blocks, {"type": "text", "text": text}], "end_turn"

    async def count_tokens(self, request: Request) -> HTTPResponse:
        return json_response({"input_tokens": USAGE["prompt"]})

    async def list_models(self, request: Request) -> HTTPResponse:
        """Give the models one by one, so that whoever lists them has to turn the pages."""
        after = request.args.get("after_id")
        place = self.models.index(after) + 1 if after else 0
        entry = {
            "type": "model",
            "id": self.models[place],
            "display_name": "Fake",
            "created_at": "2025-02-19T00:00:00Z",
        }
        page = {"data": [entry], "first_id": entry["id"], "last_id": entry["id"]}
        return json_response({**page, "has_more": place + 1 < len(self.models)})


def _complain(body: dict[str, Any]) -> str | None:
    """Check what Anthropic checks."""
    if not isinstance(body.get("max_tokens"), int):
        return "max_tokens: Field required"
    if not body["messages"]:
        return "messages: at least one message is required"
    known = {"model", "max_tokens", "messages", "system", "stream", "stop_sequences", "temperature", "top_p", "top_k"}
    known |= {"tools", "tool_choice", "thinking", "metadata", "output_config", "service_tier", "cache_control"}
    if unknown := set(body) - known:
        return f"{sorted(unknown)[0]}: Extra inputs are not permitted"
    thinking = body.get("thinking") or {}
    if thinking.get("type") == "enabled" and not 1024 <= thinking["budget_tokens"] < body["max_tokens"]:
        return "max_tokens must be greater than thinking.budget_tokens"
    if "temperature" in body and body["model"].startswith("claude-opus-4-8"):
        return "`temperature` is deprecated for this model."
    return _complain_of_turns(body["messages"])


def _complain_of_turns(messages: list[dict[str, Any]]) -> str | None:
    role_before: str | None = None
    called: list[str] = []
    for place, message in enumerate(messages):
        if message["role"] not in {"user", "assistant"}:
            return f"messages.{place}.role: Input should be 'user' or 'assistant'"
        if message["role"] == role_before:
            return "messages: roles must alternate between user and assistant"
        role_before = message["role"]
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        answered = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        if sorted(answered) != sorted(called):
            return "tool_use ids were found without tool_result blocks immediately after"
        if [block["type"] == "tool_result" for block in blocks[: len(answered)]] != [True] * len(answered):
            return "tool_result blocks must come first"
        called = [block["id"] for block in blocks if block["type"] == "tool_use"]
        for block in blocks:
            if complaint := _complain_of_block(block):
                return f"messages.{place}.content: {complaint}"
    return None


def _complain_of_block(block: dict[str, Any]) -> str | None:
    if block["type"] == "text" and not block["text"]:
        return "text content blocks must be non-empty"
    if block["type"] == "tool_use" and not isinstance(block["input"], dict):
        return "tool_use.input: Input should be a valid dictionary"
    if block["type"] == "tool_use" and not re.fullmatch(r"[A-Za-z0-9_-]+", block["id"]):
        return "tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'"
    if block["type"] == "thinking" and block["signature"] != SIGNATURE:
        return "Invalid `signature` in `thinking` block"
    if block["type"] == "image" and block["source"]["type"] not in {"base64", "url"}:
        return "image.source.type: unknown"
    return None


def _events(head: dict[str, Any], blocks: list[dict[str, Any]], reason: str) -> list[bytes]:
    def event(kind: str, **fields: Any) -> bytes:
        return sse({"type": kind, **fields}, kind)

    start = {**head, "content": [], "stop_reason": None, "stop_sequence": None, "usage": usage(1)}
    events = [event("message_start", message=start), event("ping")]
    for index, block in enumerate(blocks):
        deltas: list[dict[str, Any]]
        if block["type"] == "text":
            begun = {"type": "text", "text": ""}
            deltas = [{"type": "text_delta", "text": word} for word in words_of(block["text"])]
        elif block["type"] == "thinking":
            begun = {"type": "thinking", "thinking": "", "signature": ""}
            deltas = [{"type": "thinking_delta", "thinking": word} for word in words_of(block["thinking"])]
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
        else:
            begun = {**block, "input": {}}
            written = json.dumps(block["input"], ensure_ascii=False) if block["input"] else ""
            pieces = ["", *(written[start : start + 5] for start in range(0, len(written), 5))]
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
        events.append(event("content_block_start", index=index, content_block=begun))
        events += [event("content_block_delta", index=index, delta=delta) for delta in deltas]
        events.append(event("content_block_stop", index=index))
    end = {"stop_reason": reason, "stop_sequence": None}
    events.append(event("message_delta", delta=end, usage={"output_tokens": USAGE["completion"]}))
    return [*events, event("message_stop")]
