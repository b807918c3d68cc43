"""Options that a vendor cannot take: named in warnings, or refused where leaving them out would change the answer."""

from collections.abc import Iterable

from gateway.errors import Detail, Unsupported
from gateway.messages.chat import ChatRequest, ImagePart, ReasoningPart, TextPart
from gateway.messages.embeddings import EmbeddingsRequest


def left_out(option: str, vendor: str) -> str:
    """Say that `vendor` does not know `option`."""
    return f"{option}: not known to {vendor}, left out"


def one_answer_only(chat: ChatRequest, vendor: str) -> None:
    """Refuse `n` beyond 1, naming it."""
    if chat.options.n is not None and chat.options.n > 1:
        message = f"n: {vendor} gives one answer for each request"
        raise Unsupported(message, details=(Detail("n", "must be 1 for this provider"),))


def texts_only(embeddings: EmbeddingsRequest, vendor: str) -> list[str]:
    """Give the texts to embed; lists of token ids are refused, naming `input`."""
    texts = [entry for entry in embeddings.input if isinstance(entry, str)]
    if len(texts) != len(embeddings.input):
        message = f"input: {vendor} embeds texts, not lists of token ids"
        raise Unsupported(message, details=(Detail("input", "must be text for this provider"),))
    return texts


def unknown_options(chat: ChatRequest, vendor: str, names: Iterable[str]) -> list[str]:
    """Name those of OpenAI's options `names` that the chat gives and `vendor` does not know."""
    options = chat.options
    given = [name for name in names if getattr(options, name) is not None]
    if not given:
        return []
    # These values ask for nothing, so that leaving them out changes nothing.
    idle = {"parallel_tool_calls": True, "logprobs": False, "frequency_penalty": 0, "presence_penalty": 0}
    return [left_out(name, vendor) for name in given if idle.get(name, ...) != getattr(options, name)]


def is_plain(chat: ChatRequest) -> bool:
    """Whether the chat is texts and nothing else, so that no vendor has anything to leave out of its messages."""
    if chat.options.tools:
        return False
    for message in chat.messages:
        if message.role == "tool" or message.tool_calls or message.name:
            return False
        for part in message.content:
            if type(part) is not TextPart or part.cache_control:
                return False
    return True


def has_cache_control(chat: ChatRequest) -> bool:
    """Whether anything in the chat carries Anthropic's mark for prompt caching."""
    parts = (part for message in chat.messages for part in message.content if not isinstance(part, ReasoningPart))
    return any(part.cache_control for part in parts) or any(tool.cache_control for tool in chat.options.tools)


def is_hidden(thoughts: Iterable[ReasoningPart]) -> bool:
    """Whether some of the reasoning can be read only by the provider which has hidden it."""
    return any(part.redacted is not None for part in thoughts)


def has_image_detail(chat: ChatRequest) -> bool:
    """Whether an image asks for more or less detail than the provider would look at by itself."""
    parts = (part for message in chat.messages for part in message.content)
    return any(isinstance(part, ImagePart) and part.detail not in {None, "auto"} for part in parts)


def has_names(chat: ChatRequest) -> bool:
    """Whether a message names its author; the name of a tool's result is another matter."""
    return any(message.name and message.role != "tool" for message in chat.messages)


def unknown_strictness(chat: ChatRequest, vendor: str) -> list[str]:
    """Name `strict`, where a tool asks that its schema be kept to and the provider cannot be made to."""
    return [left_out("strict of a tool", vendor)] if any(tool.strict for tool in chat.options.tools) else []


def unknown_marks(chat: ChatRequest, vendor: str) -> list[str]:
    """Name what the messages carry and only OpenAI knows: image detail and authors' names."""
    marks = {"image detail": has_image_detail(chat), "name of a message": has_names(chat)}
    return [left_out(mark, vendor) for mark, found in marks.items() if found]
