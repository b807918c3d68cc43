"""The gateway: one door to every LLM provider."""

__version__ = "0.1.0"
