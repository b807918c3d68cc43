"""Proofs of reasoning (`signature`), told apart by who has made them: no provider takes those of another.

Anthropic's travel as they are, Gemini's with its name before a colon: all dialects have one place for both.
"""

_GEMINI = "gemini:"


def mark_gemini(proof: str) -> str:
    """Give Gemini's proof as it travels."""
    return _GEMINI + proof


def gemini_proof(signature: str | None) -> str | None:
    """Give the proof as Gemini made it; None if another did."""
    return signature.removeprefix(_GEMINI) if signature and signature.startswith(_GEMINI) else None


def anthropic_proof(signature: str | None) -> str | None:
    """Give the proof as Anthropic made it; None if another did."""
    return signature if signature and not signature.startswith(_GEMINI) else None
