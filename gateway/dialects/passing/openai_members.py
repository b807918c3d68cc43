"""Members that whole answers and chunks have in common, as strictly as OpenAI writes them."""

from typing import Annotated, Literal

import msgspec

from gateway.messages.chat import Usage

Count = Annotated[int, msgspec.Meta(ge=0)]
Name = Annotated[str, msgspec.Meta(min_length=1)]
FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "function_call"]


class _PromptDetails(msgspec.Struct):
    cached_tokens: Count | msgspec.UnsetType | None = msgspec.UNSET
    cache_write_tokens: Count | None = None


class _CompletionDetails(msgspec.Struct):
    reasoning_tokens: Count | None = None


class Counts(msgspec.Struct):
    """The `usage` of an answer, or of a stream's last chunk; what others write is for `read_usage`."""

    prompt_tokens: Count
    completion_tokens: Count
    total_tokens: Count
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None
    prompt_cache_hit_tokens: Count | None = None


def take_usage(counts: Counts) -> Usage:
    """Give the counts as ours."""
    details = counts.prompt_tokens_details
    cached = details.cached_tokens if details else msgspec.UNSET
    return Usage(
        prompt_tokens=counts.prompt_tokens,
        completion_tokens=counts.completion_tokens,
        cached_tokens=counts.prompt_cache_hit_tokens if cached is msgspec.UNSET else cached,
        cache_write_tokens=details.cache_write_tokens if details else None,
        reasoning_tokens=counts.completion_tokens_details.reasoning_tokens
        if counts.completion_tokens_details
        else None,
    )
