"""JSON as it usually is, with a member or two made unusual somewhere in it."""

import copy
from typing import Any

from hypothesis import strategies as st

ODD = (None, True, False, 0, 1, 3, -1, 0.5, 2.0, 3.0, 1e300, 10**30, "", "a", "ż 😀", "line\nbreak", '"x": 1', [],
       {}, ["a"], [{}], {"a": 1})  # fmt: skip


def places_in(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """List where the members are: of each object and each list, however deep."""
    children = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    found = [path] if path else []
    for key, child in children:
        found += places_in(child, (*path, key))
    return found


@st.composite
def bent(draw: st.DrawFn, usual: dict[str, Any], names: tuple[str, ...], odd: tuple[Any, ...] = ODD) -> dict[str, Any]:
    """Give `usual` with up to two members replaced, taken out, or put in under one of `names`."""
    tree = copy.deepcopy(usual)
    for _ in range(draw(st.integers(0, 2))):
        *way, last = draw(st.sampled_from(places_in(tree)))
        parent = tree
        for key in way:
            parent = parent[key]
        what = draw(st.sampled_from(["replace", "take out", "put in", "put in at the top"]))
        value = copy.deepcopy(draw(st.sampled_from(odd)))
        if what == "replace":
            parent[last] = value
        elif what == "take out":
            del parent[last]
        elif what == "put in at the top" or isinstance(parent, list):
            tree[draw(st.sampled_from(names))] = value
        else:
            parent[draw(st.sampled_from(names))] = value
    return tree
