"""LM Studio, whose OpenAI-compatible server stands under `/v1` of its root (LM Studio docs, "OpenAI Compatibility").

It answers once (no `n`), knows `tool_choice` only as a word, and `response_format` only as a schema.
"""

from gateway.providers.openai_body import Profile
from gateway.providers.openai_compatible import OpenAICompatible

VENDOR = OpenAICompatible(
    Profile(
        name="lmstudio",
        prefix="/v1",
        many_answers=False,
        named_tool_choice=False,
        json_object=False,
        token_ids=False,
    )
)
