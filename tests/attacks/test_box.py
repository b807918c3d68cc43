"""Every attack against a bare box, under the settings that the executor uses; and canaries without a control."""

from dataclasses import replace
from typing import Any

import pytest

from tests.attacks.box import BASE, IMAGES, Box, Boxes, Told, policy_of, run_in_box
from tests.attacks.cases import ATTACKS, DICE, KERNEL, LOOK, NETWORK, PLANT, SECRETS, Attack

pytestmark = pytest.mark.docker


def as_answer(told: Told) -> dict[str, Any]:
    """Give what a box told in the shape of API.md 4.1."""
    told_of = told.verdict
    return told_of | {
        "stdout": told.stdout,
        "stderr": told.stderr,
        "files": told.files,
        "displays": told.displays,
    }


def shown(answer: dict[str, Any]) -> str:
    return str({key: repr(value)[:1500] for key, value in answer.items()})


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name.replace(" ", "-"))
def test_an_attack_comes_to_what_it_must(boxes: Boxes, attack: Attack) -> None:
    if attack.image == "base":
        told = boxes.run(attack.code, **attack.job)
    else:
        told = run_in_box(attack.code, replace(BASE, image=attack.image, reference=IMAGES[attack.image]), **attack.job)
    answer = as_answer(told)
    assert answer["status"] in attack.statuses, shown(answer)
    assert attack.holds is None or attack.holds(answer), shown(answer)
    assert told.exit_code == 0
    assert told.kinds.endswith("VZ")


def test_two_boxes_do_not_throw_the_same_dice(boxes: Boxes) -> None:
    one, two = (boxes.run(DICE).result for _ in range(2))
    assert all(left != right for left, right in zip(one, two, strict=True))


def test_what_one_run_plants_the_next_does_not_find(boxes: Boxes) -> None:
    assert boxes.run(PLANT).status == "ok"
    assert boxes.run(LOOK).result == []


def named(attacks: list[Attack], name: str) -> Attack:
    (attack,) = (attack for attack in attacks if attack.name == name)
    return attack


CANARIES = [
    ("dangerous calls", KERNEL, {"security_opt": ["no-new-privileges", "seccomp=unconfined"]}, {}),
    ("odd sockets", KERNEL, {"security_opt": ["no-new-privileges", "seccomp=unconfined"]}, {}),
    ("devices of its own", NETWORK, {"network_mode": "bridge"}, {"network_disabled": False}),
    ("privileges", SECRETS, {"security_opt": [], "cap_drop": []}, {}),
    ("system written to", ATTACKS, {"read_only": False}, {"user": "0:0"}),
    ("another user", KERNEL, {"cap_drop": []}, {"user": "0:0"}),
]


@pytest.mark.parametrize(("name", "attacks", "host", "container"), CANARIES, ids=[canary[0] for canary in CANARIES])
def test_without_its_control_the_attack_succeeds(
    name: str, attacks: list[Attack], host: dict[str, Any], container: dict[str, Any]
) -> None:
    attack = named(attacks, name)
    box = Box(BASE, host=host, **container)
    try:
        answer = as_answer(box.run(attack.code, **attack.job))
    finally:
        box.remove()
    assert attack.holds is not None
    assert not attack.holds(answer), shown(answer)


def test_without_a_memory_limit_of_its_size_the_memory_is_had() -> None:
    code = "x = bytearray(100 << 20)\nfor at in range(0, len(x), 4096): x[at] = 1\nlen(x)"
    assert run_in_box(code, policy_of(memory_mb=48)).status == "out_of_memory"
    assert run_in_box(code, policy_of(memory_mb=256)).status == "ok"
