"""Answers that go through as they are, where the client's dialect is the provider's own wire format (API.md 3.8, 6).

What is well formed is passed on byte for byte, and only looked at in passing: for the usage, the finish and the first
token. What a half-compatible server leaves out of a chunk is filled in; what is no event at all is left out; an error
in mid-stream is raised, for the edge to write it. A stream that does not even begin in the expected form is not for
this room: `begins_well` says so, and it is then decoded and written anew like any other provider's.

frames.py     streams cut into frames, bytes kept
openai.py     chat completions
anthropic.py  messages
ollama.py     chat
"""

from gateway.dialects.passing.anthropic import ANTHROPIC
from gateway.dialects.passing.base import Passage, PassingStream, Seen
from gateway.dialects.passing.ollama import OLLAMA
from gateway.dialects.passing.openai import OPENAI

__all__ = ["ANTHROPIC", "OLLAMA", "OPENAI", "Passage", "PassingStream", "Seen"]
