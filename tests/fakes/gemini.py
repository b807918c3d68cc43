"""A fake of the Gemini API: generateContent, streamGenerateContent, batchEmbedContents, models (v1beta reference)."""

import hashlib
import json
from typing import Any
from urllib.parse import unquote

from sanic import HTTPResponse, Request, Sanic
from sanic.response import json as json_response

from tests.fakes.scripted import USAGE, Fake, fill, sse, words_of

SIGNATURE = "RXFRQkNnSVlBaElNMWdiY0RhOUdKd1pBMmIzaA=="
SKIPPED_SIGNATURE = "skip_thought_signature_validator"
_BODY = {"contents", "systemInstruction", "generationConfig", "tools", "toolConfig", "safetySettings", "cachedContent"}
_CONFIG = {
    "temperature", "topP", "topK", "maxOutputTokens", "stopSequences", "seed", "candidateCount", "presencePenalty",
    "frequencyPenalty", "responseLogprobs", "logprobs", "responseMimeType", "responseJsonSchema", "responseSchema",
    "thinkingConfig", "mediaResolution", "responseModalities",
}  # fmt: skip


def refuse(status: int, word: str, message: str, details: list[dict[str, Any]] | None = None) -> HTTPResponse:
    error = {"code": status, "message": message, "status": word, "details": details or []}
    return json_response({"error": error}, status)


class FakeGemini(Fake):
    """Gemini, strict about names of fields and about thought signatures."""

    vendor = "gemini"
    models = ("gemini-2.5-flash", "gemini-3-pro-think", "gemini-embedding-001")

    def route(self, app: Sanic[Any, Any]) -> None:
        # Google's newest clients ask /v1 by default, all others and the documentation /v1beta.
        for version in ("v1beta", "v1"):
            app.add_route(self.call, f"/{version}/models/<target:path>", methods=["POST"], name=f"call_{version}")
            app.add_route(self.list_models, f"/{version}/models", methods=["GET"], name=f"models_{version}")

    def key_of(self, request: Request) -> str | None:
        return request.headers.get("x-goog-api-key") or request.args.get("key")

    def refuse_key(self) -> HTTPResponse:
        details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]
        return refuse(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", details)

    async def call(self, request: Request, target: str) -> HTTPResponse | None:
        model, _, verb = unquote(target).rpartition(":")
        body = request.json
        if model == "missing":
            message = f"models/{model} is not found for API version v1beta, or is not supported for {verb}."
            return refuse(404, "NOT_FOUND", message)
        if verb == "batchEmbedContents":
            return _embed(body, model)
        if complaint := _complain(body, model):
            return refuse(400, "INVALID_ARGUMENT", complaint)
        parts = self._answer(body, model)
        if verb == "streamGenerateContent":
            await self.stream(request, _chunks(model, parts), "text/event-stream")
            return None
        return json_response(_response(model, parts, "STOP"))

    def _answer(self, body: dict[str, Any], model: str) -> list[dict[str, Any]]:
        config = body.get("generationConfig") or {}
        parts: list[dict[str, Any]] = []
        if (config.get("thinkingConfig") or {}).get("includeThoughts"):
            parts.append({"text": "Let me think.", "thought": True})
        last = body["contents"][-1]["parts"]
        results = [part["functionResponse"] for part in last if "functionResponse" in part]
        mode = ((body.get("toolConfig") or {}).get("functionCallingConfig") or {}).get("mode")
        if body.get("tools") and not results and mode != "NONE":
            tool = body["tools"][0]["functionDeclarations"][0]
            call = {
                "name": tool["name"],
                "args": fill(tool.get("parametersJsonSchema") or tool.get("parameters_json_schema") or {}),
            }
            return [*parts, {"functionCall": call, "thoughtSignature": SIGNATURE}]
        if self.reply is not None:
            text = self.reply
        elif "responseJsonSchema" in config:
            text = json.dumps(fill(config["responseJsonSchema"]), ensure_ascii=False)
        elif config.get("responseMimeType") == "application/json":
            text = '{"ok": true}'
        elif results:
            response = results[0]["response"]
            text = "The tool said: " + str(response.get("result") or json.dumps(response, ensure_ascii=False))
        else:
            images = sum("inlineData" in part or "fileData" in part for part in last)
            said = "".join(part.get("text", "") for part in last)
            text = f"You said: {said}" + (f" [{images} images]" if images else "")
        return [*parts, {"text": text}]

    async def list_models(self, request: Request) -> HTTPResponse:
        """Give the models one by one, so that whoever lists them has to turn the pages."""
        place = int(request.args.get("pageToken") or 0)
        entry = {
            "name": f"models/{self.models[place]}",
            "version": "001",
            "displayName": "Fake",
            "inputTokenLimit": 1048576,
            "supportedGenerationMethods": ["generateContent"],
        }
        more = {"nextPageToken": str(place + 1)} if place + 1 < len(self.models) else {}
        return json_response({"models": [entry], **more})


def _complain(body: dict[str, Any], model: str) -> str | None:
    """Check what Gemini checks: unknown names, roles, empty parts, signatures of the calls it made."""
    config = body.get("generationConfig") or {}
    for unknown in [*(set(body) - _BODY), *(set(config) - _CONFIG)]:
        return f'Invalid JSON payload received. Unknown name "{unknown}": Cannot find field.'
    if not body["contents"]:
        return "* GenerateContentRequest.contents: contents is not specified"
    for content in body["contents"]:
        if content["role"] not in {"user", "model"}:
            return "Please use a valid role: user, model."
        if not content["parts"]:
            return "* GenerateContentRequest.contents.parts: must not be empty"
        calls = [part for part in content["parts"] if "functionCall" in part]
        if (
            calls
            and model.startswith("gemini-3")
            and calls[0].get("thoughtSignature") not in {SIGNATURE, SKIPPED_SIGNATURE}
        ):
            return "Function call is missing a thought_signature in functionCall parts."
        for part in content["parts"]:
            response = (part.get("functionResponse") or {"response": {}})["response"]
            if not isinstance(response, dict):
                return "functionResponse.response: must be an object"
            if "functionResponse" in part and not part["functionResponse"]["name"]:
                return "* GenerateContentRequest.contents.parts.function_response.name: Name cannot be empty."
    return None


def _usage() -> dict[str, Any]:
    return {
        "promptTokenCount": USAGE["prompt"],
        "candidatesTokenCount": USAGE["completion"] - USAGE["reasoning"],
        "thoughtsTokenCount": USAGE["reasoning"],
        "cachedContentTokenCount": USAGE["cached"],
        "totalTokenCount": USAGE["prompt"] + USAGE["completion"],
    }


def _response(model: str, parts: list[dict[str, Any]], reason: str | None) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
    if reason:
        candidate["finishReason"] = reason
    return {"candidates": [candidate], "usageMetadata": _usage(), "modelVersion": model, "responseId": "resp-fake"}


def _chunks(model: str, parts: list[dict[str, Any]]) -> list[bytes]:
    pieces: list[dict[str, Any]] = []
    for part in parts:
        pieces += [{**part, "text": word} for word in words_of(part["text"])] if "text" in part else [part]
    last = len(pieces) - 1
    return [sse(_response(model, [piece], "STOP" if place == last else None)) for place, piece in enumerate(pieces)]


def _embed(body: dict[str, Any], model: str) -> HTTPResponse:
    embeddings = []
    for entry in body["requests"]:
        if entry["model"] != f"models/{model}":
            return refuse(400, "INVALID_ARGUMENT", "* BatchEmbedContentsRequest.requests: model does not match")
        digest = hashlib.sha256(entry["content"]["parts"][0]["text"].encode()).digest()
        size = entry.get("outputDimensionality") or 4
        embeddings.append({"values": [byte / 255 for byte in digest[:size]]})
    return json_response({"embeddings": embeddings})
