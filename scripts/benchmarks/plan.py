"""How long and how often everything of the gateway is measured."""

from dataclasses import dataclass, field

CONNECTIONS = 64
RATES = (100, 300)
PACED_MS, HELD_MS = 20, 100
FLOODS = 16


@dataclass(frozen=True, slots=True)
class Turns:
    """How often two systems are measured by turns, with how many requests each, after so many seconds of warm-up."""

    count: int
    requests: int
    warm_up: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Seconds, unless it says otherwise; `paced` and `held` are (streams, rounds, chunks)."""

    starts: int = 3
    settle: float = 1
    warm_up: float = 2
    saturation: float = 6
    open_loop: float = 10
    paced: tuple[int, int, int] = (100, 5, 50)
    held: tuple[int, int, int] = (1000, 1, 80)
    flood: float = 3
    flood_chunks: int = 2000
    repeated: int = 200_000
    turns: Turns = field(default=Turns(15, 10_000, 2))


FULL = Plan()
QUICK = Plan(
    starts=1, settle=0.1, warm_up=1, saturation=0.3, open_loop=0.5, paced=(10, 1, 5), held=(40, 1, 5), flood=0.2,
    flood_chunks=50, repeated=500, turns=Turns(1, 300, 0.2),
)  # fmt: skip
