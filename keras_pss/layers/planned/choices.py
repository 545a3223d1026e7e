"""The options of `method="auto"`: what its user, or a short run, decides."""

from collections.abc import Mapping
from typing import Any

from keras_pss.layers.base.checks import (
    boolean,
    non_negative_int,
    one_of,
    positive_int,
    shown,
)
from keras_pss.layers.fused.popular.popular_strings import TAILS

AUTO = "auto"
NAMES = ("min_count", "inner_dim", "tail", "silent", "seed")


def is_auto(method: Any) -> bool:
    """Whether counts and the budget are to decide the method."""
    return isinstance(method, str) and method == AUTO


def checked(options: Any, sized: bool = False) -> dict[str, Any]:
    """Checks the options of `method="auto"`.

    Args:
        options: Dict with any of `min_count`, the smallest count of an id
            that gets a row of its own; `inner_dim`, the length of these rows;
            `tail`, what the rare ids share, as in `PopularityEmbedding`;
            `silent`, whether ids tell little on their own, so that counts do
            not show what they are worth; and `seed`, that of a hash function.
        sized: Boolean, whether there is no budget.

    Raises:
        ValueError: If an option is unknown or out of range, or there is no
            budget.
    """
    if not isinstance(options, Mapping):
        raise ValueError(
            "`options` must be a dict of arguments, such as "
            f"{{'min_count': 10}}. Received: options={shown(options)}"
        )
    if sized:
        raise ValueError(
            "method='auto' divides a budget. Give a `budget`, or name a method "
            "whose options set the size. Received: budget=None"
        )
    for name in options:
        if name not in NAMES:
            raise ValueError(
                f"The allowed `options` of method='auto' are: "
                f"{', '.join(NAMES)}. Name a `method` to set its options. "
                f"Received: {name}={shown(options[name])}"
            )
    found = dict(options)
    for name in ("min_count", "inner_dim"):
        if found.get(name) is not None:
            positive_int(name, found[name])
    if found.get("tail") is not None:
        one_of("tail", found["tail"], TAILS)
    if "silent" in found:
        boolean("silent", found["silent"])
    if "seed" in found:
        non_negative_int("seed", found["seed"])
    return found
