"""What a hostile program is as data, and the words that the lists of them are written in.

`numbers` refer to the catalogue of attack cases that the project keeps (CPU and memory 1-22, output 23-38, exit paths
39-54, input 55-65, files 66-75, secrets 76-86, kernel 87-97, network 98-106, tenancy 107-115). A case is a request to
`POST /execute`, without what `image` says, and what must be true of the answer; it holds against a bare box as well as
through HTTP. After every case the next run must work, and nothing may be left.
"""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Answer = Mapping[str, Any]
MIB = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Attack:
    """One hostile program. `statuses` are the verdicts that are right, `holds` what else must be true of the answer."""

    name: str
    numbers: tuple[int, ...]
    code: str
    job: Mapping[str, Any] = field(default_factory=dict)
    statuses: frozenset[str] = frozenset({"ok"})
    holds: Callable[[Answer], bool] | None = None
    image: str = "base"


def attack(name: str, numbers: int | tuple[int, ...], code: str, *statuses: str, **more: Any) -> Attack:
    holds, image = more.pop("holds", None), more.pop("image", "base")
    return Attack(
        name=name,
        numbers=(numbers,) if isinstance(numbers, int) else numbers,
        code=code.strip("\n"),
        statuses=frozenset(statuses or {"ok"}),
        holds=holds,
        image=image,
        job=more,
    )


def result(value: Any) -> Callable[[Answer], bool]:
    return lambda answer: bool(answer["result"] == value)


def nothing_found(answer: Answer) -> bool:
    return answer["result"] in ([], {})


def error(*types: str) -> Callable[[Answer], bool]:
    return lambda answer: answer["error"]["type"] in types


def in_base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
