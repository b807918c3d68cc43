"""Checkers of stream grammars: the bytes of one whole stream in, the list of violations out (empty: well-formed).

Pure functions, so that they can be pointed at any gateway. A stream may end with an error in the dialect's own
form; nothing may follow it, and no end mark. Nothing of the gateway is imported here: the rules are the vendors'.
"""

from tests.grammar.anthropic import check_anthropic
from tests.grammar.ollama import check_ollama
from tests.grammar.openai_chat import check_openai_chat
from tests.grammar.openai_responses import check_openai_responses

__all__ = ["check_anthropic", "check_ollama", "check_openai_chat", "check_openai_responses"]
