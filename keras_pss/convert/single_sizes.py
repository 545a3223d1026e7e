"""Creates what replaces single tables of one width, within a size."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from keras_pss.convert.asked import EACH, FITS, STAYS, Asked, Created
from keras_pss.convert.choice import chosen
from keras_pss.convert.kinds.single_table import SingleTable
from keras_pss.layers.base.budget import Budget, InfeasibleBudget, feasible
from keras_pss.layers.composite.allocation import (
    TableSpec,
    allocate,
    divide,
)
from keras_pss.layers.embedding.methods import checked_options, method_class
from keras_pss.layers.fused.popular.ranked_counts import ranked
from keras_pss.layers.planned import choices

# Halvings of the size that a rule is asked for.
_STEPS = 10


def singles_within(
    group: list[SingleTable], budget: Budget, asked: Asked
) -> list[Created]:
    """What replaces single tables of one width, in the order of the group.

    Args:
        group: The layers.
        budget: Budget of all of them together.
        asked: The arguments of `compress_model`.
    """
    method, why, options = asked.method, "", dict(asked.options)
    counts: Any = None
    if all(id(kind.layer) in asked.counts for kind in group):
        counts = [asked.counts[id(kind.layer)][0] for kind in group]
    whole = sum(kind.size for kind in group)
    allowed = budget.parameters(whole)
    if whole <= allowed:
        return [Created(kind, None, "full", FITS) for kind in group]
    if choices.is_auto(method):
        choice = chosen(
            [kind.tables[0].shape for kind in group],
            allowed,
            counts,
            all(k.layer.variable_dtype == "float32" for k in group),
        )
        method, why, options = choice.method, choice.why, {}
    ranks: list[Any] = [None] * len(group)
    if counts is not None and takes_any_order(method):
        counts, ranks = ranked(counts)

    def sized(places: Sequence[int], size: int) -> list[Any]:
        kinds = [group[place] for place in places]
        own = None if counts is None else [counts[place] for place in places]
        bound = asked.budget.of_size(size)
        made = _arguments(kinds, method, options, bound, own)
        return [
            kind.create(method, _with_ids(each, method, ranks[place]), own_size)
            for kind, place, (each, own_size) in zip(
                kinds, places, made, strict=True
            )
        ]

    kept, size = _kept(group, method, options, budget, asked, counts)
    places = [p for p in range(len(group)) if p not in kept]
    found = dict(zip(places, _within(sized, places, size), strict=True))
    return [
        Created(kind, None, "full", STAYS)
        if place in kept
        else Created(kind, found[place], method, why)
        for place, kind in enumerate(group)
    ]


def takes_any_order(method: str) -> bool:
    """Whether frequent ids may have any numbers, which an index finds."""
    names = method_class(method).option_names({EACH: 1})
    return "ids" in names


def _with_ids(
    options: Mapping[str, Any], method: str, rank: Any
) -> dict[str, Any]:
    """Adds the ids that have a row, if they are not sorted by frequency."""
    if rank is None or EACH not in options or not takes_any_order(method):
        return dict(options)
    rows = int(np.sum(options[EACH]))
    return {**options, "ids": rank[: rows - 1]}


def _kept(
    group: list[SingleTable],
    method: str,
    options: dict[str, Any],
    budget: Budget,
    asked: Asked,
    counts: Any,
) -> tuple[tuple[int, ...], int]:
    """The places of small tables that stay, and the size of the others.

    By default they are the smallest tables, up to a quarter of the budget, as
    in a collection. Where counts rank the ids of all tables, none is.
    """
    min_rows = asked.min_rows
    own = checked_options(method, options)
    own |= method_class(method).budget_options(asked.budget)
    options.update(own)
    specs = [TableSpec(kind.rows, kind.width, method, own) for kind in group]
    if counts is not None and min_rows is None and takes_any_order(method):
        min_rows = 0
    found = allocate(specs, budget, min_rows)
    left = budget.parameters(sum(kind.size for kind in group))
    return found.full, left - sum(group[p].size for p in found.full)


def _arguments(
    kinds: list[SingleTable],
    method: str,
    options: Mapping[str, Any],
    budget: Budget,
    counts: Any,
) -> list[tuple[Mapping[str, Any], int | None]]:
    """The options and the size of each of some tables."""
    width, found = kinds[0].width, None
    size = budget.parameters(None)
    cls = method_class(method)
    if counts is not None:
        found = cls.options_to_convert(counts, width, budget, options)
    if found is not None and cls.sized_by in found:
        every = {**options, **found}
        divided = [name for name in (cls.sized_by, EACH) if name in every]
        each: list[Any] = [
            ({**every, **{name: every[name][place] for name in divided}}, None)
            for place in range(len(kinds))
        ]
        return each
    least = [cls.smallest_size(kind.rows, width, **options) for kind in kinds]
    if sum(least) > size:
        whole = sum(kind.size for kind in kinds)
        raise InfeasibleBudget(
            f"method={method!r} needs a budget of at least "
            f"{feasible(sum(least), whole)} for {len(kinds)} tables: "
            f"{', '.join(kind.name for kind in kinds)}. Give a larger budget "
            "or choose another method. "
            f"Received: a budget of {size} parameters"
        )
    sizes = divide(size, [kind.size for kind in kinds], least)
    return [(options, own) for own in sizes]


def _within(
    create: Callable[[Sequence[int], int], list[Any]],
    places: Sequence[int],
    size: int,
) -> list[Any]:
    """The largest layers within a size.

    A rule that divides a size counts once what each layer stores for itself,
    such as a matrix, and no index, so what it is asked for is searched.
    """
    found = create(places, size)
    if (taken := _taken(found)) <= size:
        return found
    best, low, high = None, 0, size
    asked = size * size // taken
    for _ in range(_STEPS):
        try:
            found = create(places, max(1, asked))
        except InfeasibleBudget:
            low = asked
        else:
            if _taken(found) <= size:
                best, low = found, asked
            else:
                high = asked
        if high - low <= 1:
            break
        asked = (low + high) // 2
    if best is None:
        raise InfeasibleBudget(
            "The budget must have room for what each of "
            f"{len(found)} layers stores besides its rows. Give a larger "
            f"budget. Received: {size} parameters"
        )
    return best


def _taken(found: Sequence[Any]) -> int:
    return sum(map(_served, found))


def _served(layer: Any) -> int:
    """Size of a layer as a budget counts it."""
    return int(getattr(layer, "embedding", layer).budget_size())
