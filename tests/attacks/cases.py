"""All hostile programs, and what must come of them.

A case is a request to `POST /execute`, its `image` apart, and what must be true of the answer: `statuses` and `holds`.
It holds against a bare box as well as through HTTP. After every case the next run must work, and nothing may be left.
"""

from tests.attacks.attack import Answer, Attack
from tests.attacks.endings import EXITS, INPUT, OUTPUT
from tests.attacks.intrusions import DICE, FILES, LOOK, PLANT, SECRETS, TENANCY
from tests.attacks.kernel import KERNEL, NETWORK
from tests.attacks.resources import RESOURCES

__all__ = ["ATTACKS", "DICE", "KERNEL", "LOOK", "NETWORK", "PLANT", "SECRETS", "Answer", "Attack"]

ATTACKS: list[Attack] = [
    *RESOURCES, *OUTPUT, *EXITS, *INPUT, *FILES, *SECRETS, *KERNEL, *NETWORK, *TENANCY,
]  # fmt: skip
