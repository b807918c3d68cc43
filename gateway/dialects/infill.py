"""Completing a text, and filling a gap in one, by models that can only chat."""

CONTINUE = "Continue the text you are given. Answer with the continuation only, without remarks."
FILL = (
    "You are given the text before a gap and the text after it, each between its marks. "
    "Answer with the text that fills the gap and nothing else."
)


def mark_gap(before: str, after: str) -> str:
    """Put the text before and after a gap between the marks that `FILL` speaks of."""
    return f"<before>{before}</before>\n<after>{after}</after>"
