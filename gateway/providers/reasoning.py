"""How much a model is to think, read out of whichever vendor's option says so."""

from dataclasses import dataclass

from gateway.errors import Detail, InvalidRequest
from gateway.messages.chat import Options
from gateway.providers import lenient

WISH_NAMES = frozenset({"thinking", "think"})
"""The extras that say it: Anthropic's `thinking`, Ollama's `think`."""

_BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384, "xhigh": 32768, "max": 32768}
_EFFORTS = ("none", *_BUDGETS)
_MODES = ("enabled", "adaptive", "disabled")


@dataclass(frozen=True, kw_only=True, slots=True)
class ReasoningWish:
    """What was asked for: thinking on or off, with an effort (OpenAI's words) or a budget in tokens."""

    enabled: bool
    effort: str | None = None
    budget: int | None = None


def wish_of(options: Options) -> ReasoningWish | None:
    """Read `thinking`, `think` or `reasoning_effort`, the first that is given; None when none is."""
    thinking = options.extra.get("thinking")
    if isinstance(thinking, dict):
        enabled = thinking.get("type") != "disabled"
        budget = lenient.integer(thinking.get("budget_tokens"))
        return ReasoningWish(enabled=enabled, effort=options.reasoning_effort, budget=budget)
    for wish in (options.extra.get("think"), thinking):
        if isinstance(wish, bool):
            return ReasoningWish(enabled=wish, effort=options.reasoning_effort)
        if isinstance(wish, str) and wish:
            return ReasoningWish(enabled=wish != "none", effort=wish)
    if options.reasoning_effort is not None:
        return ReasoningWish(enabled=options.reasoning_effort != "none", effort=options.reasoning_effort)
    return None


def understood_wish(options: Options, *, objects: bool = True) -> ReasoningWish | None:
    """Read the wish for a vendor in whose words it has to be put; `InvalidRequest` naming what nobody understands.

    With `objects` false an object under `thinking` is not judged, since the vendor gets it as it is.
    """
    if options.reasoning_effort is None and not options.extra:
        return None
    if options.reasoning_effort is not None and options.reasoning_effort not in _EFFORTS:
        raise _not_understood(options.effort_at, "one of")
    for name in WISH_NAMES & options.extra.keys():
        value = options.extra[name]
        known = value is None or value == "" or isinstance(value, bool) or value in _EFFORTS
        if isinstance(value, dict) and name == "thinking":
            budget = value.get("budget_tokens")
            known = not objects or (value.get("type", "enabled") in _MODES and isinstance(budget, int | None))
        if not known:
            raise _not_understood(name, "true, false, or one of")
    return wish_of(options)


def _not_understood(field: str, kinds: str) -> InvalidRequest:
    return InvalidRequest.naming([Detail(field, f"must be {kinds} {', '.join(_EFFORTS)}")])


def effort_of(wish: ReasoningWish) -> str:
    """Give the effort in OpenAI's words, `medium` where only "on" was said."""
    if not wish.enabled:
        return "none"
    if wish.effort is not None:
        return wish.effort
    if wish.budget is None:
        return "medium"
    return next((word for word in ("low", "medium", "high") if wish.budget <= _BUDGETS[word]), "high")


def budget_of(wish: ReasoningWish) -> int:
    """Give the budget in tokens, 0 for none; the size of each effort is ours, since no vendor tells its own."""
    if not wish.enabled:
        return 0
    return wish.budget if wish.budget is not None else _BUDGETS.get(wish.effort or "medium", _BUDGETS["medium"])
