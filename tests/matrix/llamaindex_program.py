"""LlamaIndex's OpenAI classes at work; runs in LlamaIndex's own environment, so that it imports nothing of ours.

Reads a JSON object on stdin: `url`, `key`, `said`, `image` (base64) and `questions`, each of them a list of
[class, feature, model, streamed]. Prints a JSON line for each question, in their order: text, calls, usage and
vectors, or the error.
"""

import base64
import json
import sys
import warnings

warnings.simplefilter("ignore")

from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock  # noqa: E402
from llama_index.core.tools import FunctionTool  # noqa: E402
from llama_index.embeddings.openai import OpenAIEmbedding  # noqa: E402
from llama_index.llms.openai import OpenAI  # noqa: E402
from llama_index.llms.openai_like import OpenAILike  # noqa: E402


def weather(city: str, degrees: int) -> str:
    """Tells the weather of a city"""
    return f"{degrees} °C in {city}"


TOOLS = [FunctionTool.from_defaults(weather, name="weather")]


def make_llm(kind, job, model):
    usage = {"stream_options": {"include_usage": True}}
    options = {"api_base": f"{job['url']}/v1", "api_key": job["key"], "max_retries": 0, "additional_kwargs": usage}
    if kind == "OpenAI":
        return OpenAI(model=model, **options)
    return OpenAILike(model=model, is_chat_model=True, is_function_calling_model=True, **options)


def chat(llm, turns, streamed, tools):
    if tools:
        ask = llm.stream_chat_with_tools if streamed else llm.chat_with_tools
        answer = ask(TOOLS, chat_history=turns)
    else:
        answer = llm.stream_chat(turns) if streamed else llm.chat(turns)
    if not streamed:
        return answer
    pieces = list(answer)
    whole = pieces[-1]
    if not tools and "".join(piece.delta or "" for piece in pieces) != whole.message.content:
        raise ValueError("the pieces of the stream are not what it comes to")
    return whole


def counted(answer):
    usage = getattr(answer.raw, "usage", None)
    return [usage.prompt_tokens, usage.completion_tokens] if usage else None


def answer_question(job, kind, feature, model, streamed):
    if feature == "embeddings":
        embed = OpenAIEmbedding(
            model_name=model, api_base=f"{job['url']}/v1", api_key=job["key"], max_retries=0, embed_batch_size=10
        )
        return {"vectors": embed.get_text_embedding_batch(["a", "b"]), "query": embed.get_query_embedding("a")}
    llm = make_llm(kind, job, model)
    blocks = [TextBlock(text=job["said"])]
    if feature == "image":
        blocks.append(ImageBlock(image=base64.b64decode(job["image"]), image_mimetype="image/png"))
    turns = [ChatMessage(role="user", blocks=blocks)]
    answer = chat(llm, turns, streamed, feature == "tools")
    found = {"text": answer.message.content, "usage": counted(answer), "calls": []}
    if feature == "tools":
        calls = llm.get_tool_calls_from_response(answer, error_on_no_tool_call=False)
        found["calls"] = [[call.tool_name, call.tool_kwargs] for call in calls]
        turns.append(answer.message)
        for call in calls:
            result = {"tool_call_id": call.tool_id}
            turns.append(ChatMessage(role="tool", content="21 °C", additional_kwargs=result))
        found["after"] = chat(llm, turns, streamed, tools=True).message.content
    return found


def main():
    job = json.load(sys.stdin)
    for question in job["questions"]:
        try:
            found = answer_question(job, *question)
        except Exception as error:  # noqa: BLE001  # whatever it is, the test that asked is to say it
            found = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(found) + "\n")


main()
