"""Answers that go through as they are, where the client's dialect is the provider's own wire format (API.md 3.8, 6).

What is well formed is passed on byte for byte, and only looked at in passing: for the usage, the finish and the first
token. What a half-compatible server writes otherwise is mended, and what it leaves out filled in; what is no event at
all is left out, and so is all that follows the end mark; an error in mid-stream is raised, for the edge to write it,
after whatever came before it. A stream that does not even begin in the expected form is not for
this room: `begins_well` says so, and it is then decoded and written anew like any other provider's.

base.py            what a passage has to offer, and what all streams have in common
frames.py          streams cut into frames, bytes kept
openai.py          chat completions; openai_chunks.py their streams, openai_mending.py what does not fit of them,
                   openai_calls.py the tool calls in them, openai_members.py what both have in common
anthropic.py       messages
ollama.py          chat; ollama_mending.py the lines that do not fit
"""

from gateway.dialects.passing.anthropic import ANTHROPIC
from gateway.dialects.passing.base import Passage, PassingStream, Seen
from gateway.dialects.passing.ollama import OLLAMA
from gateway.dialects.passing.openai import OPENAI

__all__ = ["ANTHROPIC", "OLLAMA", "OPENAI", "Passage", "PassingStream", "Seen"]
