"""Whom a good credential stands for."""

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """A caller: a user (the `sub` of a JWT) or the holder of a named access key.

    `models` are patterns such as `openai:*`; None means all. `limits` are the caller's own ones by quota, in the
    notation of `limits`, in place of the general ones.
    """

    name: str
    kind: Literal["jwt", "key"]
    scopes: frozenset[str]
    models: tuple[str, ...] | None = None
    limits: dict[str, str] = field(default_factory=dict)

    @property
    def holder(self) -> str:
        """Whom limits are counted for: a user and a key of one name are two."""
        return f"{self.kind}:{self.name}"

    def may_use(self, *names: str) -> bool:
        """Whether any of a model's names (as asked, bare, `provider:model`) matches the caller's patterns."""
        if self.models is None:
            return True
        return any(fnmatchcase(name, pattern) for name in names for pattern in self.models)
