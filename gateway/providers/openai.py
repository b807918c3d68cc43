"""OpenAI itself. Source: OpenAI API reference, "Create chat completion", "Create embeddings"."""

import re

from gateway.providers.openai_body import Profile
from gateway.providers.openai_compatible import OpenAICompatible

VENDOR = OpenAICompatible(
    Profile(
        name="openai",
        needs_key=True,
        developer_role=True,
        hands_back_reasoning=False,
        # Models that think refuse `max_tokens`; the name is all that tells them apart.
        reasoning_models=re.compile(r"(?:ft:)?(?:o\d|gpt-[5-9]|codex|computer-use)"),
        known_extras=frozenset(
            {
                "audio",
                "metadata",
                "modalities",
                "moderation",
                "prediction",
                "prompt_cache_key",
                "prompt_cache_options",
                "prompt_cache_retention",
                "safety_identifier",
                "service_tier",
                "store",
                "stream_options",
                "verbosity",
                "web_search_options",
            }
        ),
        known_embeddings_extras=frozenset({"encoding_format"}),
    )
)
