"""The vendors, one file each: pure translators between what travels in this house and each vendor's wire format.

`base` says what a vendor's file offers. A new vendor is one file and one line in `VENDORS`. The other files are
shared by them: `framing` and `decoding` cut streams into events, `lenient` and `failures` read what cannot be
trusted, and `openai_body`, `openai_reply` and `openai_stream` are the three directions of OpenAI's wire format.
"""

from collections.abc import Mapping

from gateway.providers import anthropic, gemini, lmstudio, ollama, openai, openai_compatible, stub
from gateway.providers.base import Vendor
from gateway.settings import Kind

VENDORS: Mapping[Kind, Vendor] = {
    "openai": openai.VENDOR,
    "anthropic": anthropic.VENDOR,
    "gemini": gemini.VENDOR,
    "ollama": ollama.VENDOR,
    "lmstudio": lmstudio.VENDOR,
    "openai-compatible": openai_compatible.VENDOR,
    "stub": stub.VENDOR,
}
"""Each kind of provider that the settings know, and its translator; they keep no state."""
