"""One answer's events put into blocks that open, grow and close one after another.

Anthropic's and the Responses' streams, and Ollama's whole tool calls, know no two things in progress at once, while
OpenAI's chunks may go on with an earlier tool call after a later one has begun. What would break the order waits
until the arguments of the open call are complete.
"""

from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from gateway.messages.chat import ReasoningDelta, RefusalDelta, TextDelta, ToolCallDelta

Kind = Literal["text", "refusal", "reasoning", "redacted", "tool"]
Delta = TextDelta | ReasoningDelta | RefusalDelta | ToolCallDelta


class Block(msgspec.Struct, kw_only=True):
    """A block as far as it has come. `text` is its text, its reasoning, its arguments, or (redacted) its data.

    `index` counts the blocks of the answer; `id` and `name` are those of a tool call; `signature` is the provider's
    proof of reasoning or of a call.
    """

    kind: Kind
    index: int
    call: int | None = None
    id: str = ""
    name: str = ""
    signature: str | None = None
    logprobs: list[Any] = []
    pieces: list[str] = []

    @property
    def text(self) -> str:
        """All of it so far."""
        return "".join(self.pieces)


class Opened(msgspec.Struct, frozen=True):
    """A block begins."""

    block: Block


class Grown(msgspec.Struct, frozen=True):
    """A block goes on with `text`."""

    block: Block
    text: str
    logprobs: list[Any] = []


class Signed(msgspec.Struct, frozen=True):
    """Reasoning gets its proof, in full."""

    block: Block
    signature: str


class Closed(msgspec.Struct, frozen=True):
    """A block is complete; `last` is the one that was open when the answer ended."""

    block: Block
    last: bool = False


Change = Opened | Grown | Signed | Closed
_Key = tuple[str, int | None]


class BlockSequence:
    """Takes the deltas of answer 0 and gives the changes of its blocks; those of further answers are left out."""

    def __init__(self) -> None:
        self._open: Block | None = None
        self._count = 0
        self._begun: set[int] = set()  # calls that have, or have had, a block
        self._waiting: dict[_Key, list[Delta]] = {}

    def feed(self, delta: Delta) -> Iterator[Change]:
        """Take one delta."""
        if delta.index or _says_nothing(delta):
            return
        key = _key(delta)
        if self._is_open(key):
            yield from self._grow(delta)
        elif self._waiting or self._is_unfinished(delta):
            self._waiting.setdefault(key, []).append(delta)
        else:
            yield from self._begin(delta)
        while self._waiting and not self._is_unfinished():
            yield from self._take_waiting()

    def finish(self) -> Iterator[Change]:
        """Close what is open, and let through what has waited."""
        while self._waiting:
            yield from self._take_waiting()
        yield from self._close(last=True)

    def _take_waiting(self) -> Iterator[Change]:
        key = next(iter(self._waiting))
        for delta in self._waiting.pop(key):
            yield from self._grow(delta) if self._is_open(_key(delta)) else self._begin(delta)

    def _is_open(self, key: _Key) -> bool:
        block = self._open
        if block is None or (block.kind, block.call) != key:
            return False
        # Reasoning ends with its proof, and hidden reasoning comes in one piece: what follows is a block of its own.
        return block.kind != "redacted" and (block.kind != "reasoning" or block.signature is None)

    def _is_unfinished(self, by: Delta | None = None) -> bool:
        """Whether the open block is a call whose arguments must go on; without any, only another call must wait."""
        block = self._open
        if block is None or block.kind != "tool":
            return False
        if not block.pieces:
            return by is None or isinstance(by, ToolCallDelta)
        if not block.pieces[-1].rstrip().endswith(("}", "]", '"')):
            return True
        try:
            msgspec.json.decode(block.text, type=msgspec.Raw)
        except (ValueError, RecursionError):
            return True
        return False

    def _begin(self, delta: Delta) -> Iterator[Change]:
        if isinstance(delta, ToolCallDelta) and delta.call in self._begun:
            return  # it was complete, there is nothing to add to it
        yield from self._close()
        kind, call = _key(delta)
        block = Block(kind=kind, index=self._count, call=call)  # type: ignore[arg-type]  # the first half of a key is a Kind
        if isinstance(delta, ToolCallDelta):
            self._begun.add(delta.call)
            block.id, block.name, block.signature = delta.id or f"call_{delta.call}", delta.name or "", delta.signature
        self._count += 1
        self._open = block
        if isinstance(delta, ReasoningDelta) and delta.redacted is not None:
            block.pieces.append(delta.redacted)
        yield Opened(block)
        yield from self._grow(delta)

    def _grow(self, delta: Delta) -> Iterator[Change]:
        block = self._open
        assert block is not None
        if isinstance(delta, ToolCallDelta):
            block.signature = delta.signature or block.signature
        text = delta.arguments if isinstance(delta, ToolCallDelta) else delta.text
        logprobs = _tokens(delta.logprobs) if isinstance(delta, TextDelta) else []
        if (text or logprobs) and block.kind != "redacted":
            block.pieces.append(text)
            block.logprobs += logprobs
            yield Grown(block, text, logprobs)
        if isinstance(delta, ReasoningDelta) and delta.signature is not None and block.kind == "reasoning":
            block.signature = delta.signature
            yield Signed(block, delta.signature)

    def _close(self, *, last: bool = False) -> Iterator[Change]:
        block, self._open = self._open, None
        if block is None:
            return
        if block.kind == "tool" and not block.text.strip():
            block.pieces = ["{}"]
            yield Grown(block, "{}")
        yield Closed(block, last)


def _key(delta: Delta) -> _Key:
    match delta:
        case TextDelta():
            return "text", None
        case RefusalDelta():
            return "refusal", None
        case ToolCallDelta():
            return "tool", delta.call
    return ("redacted" if delta.redacted is not None else "reasoning"), None


def _says_nothing(delta: Delta) -> bool:
    match delta:
        case TextDelta():
            return not delta.text and not delta.logprobs
        case RefusalDelta():
            return not delta.text
        case ReasoningDelta():
            return not delta.text and delta.signature is None and delta.redacted is None
    return False


def _tokens(logprobs: dict[str, Any] | None) -> list[Any]:
    tokens = logprobs.get("content") if logprobs else None
    return tokens if isinstance(tokens, list) else []
