"""Resolves the method of a collection by the counts of its ids."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from keras_pss.layers.base.budget import Budget
from keras_pss.layers.base.checks import shown
from keras_pss.layers.composite.features.table_config import TableConfig
from keras_pss.layers.embedding.methods import method_class
from keras_pss.layers.planned.choices import is_auto
from keras_pss.layers.planned.decide import Decision, decide

_logger = logging.getLogger("keras_pss")


def resolved(
    input_dims: Sequence[int | None] | Mapping[str, Any],
    output_dim: int,
    method: str,
    budget: Budget | None,
    options: Mapping[str, Any],
    counts: Sequence[Any] | Mapping[str, Any] | None,
    min_rows: int | None = None,
) -> Decision:
    """What the arguments of a collection mean, without `method="auto"`.

    A method that depends on counts, such as `"popularity"`, gets its options
    from them unless `min_rows` is given; other methods ignore them.

    Args:
        input_dims, output_dim, method, budget, options, counts, min_rows:
            Arguments of `EmbeddingCollection`; `options` are checked.

    Raises:
        ValueError: If `counts` do not match the tables.
    """
    ordered = _ordered(input_dims, counts)
    if not is_auto(method):
        more = None
        # Small tables that stay uncompressed would come on top of the budget.
        if ordered is not None and budget is not None and not min_rows:
            more = method_class(method).options_from_counts(
                ordered, output_dim, budget, options
            )
        form = None if budget is None or more is not None else budget.form
        return Decision(method, {**options, **(more or {})}, form, "")
    assert budget is not None  # checked_options raised
    tables = _tables(input_dims)
    if any(
        table.method is not None
        or (table.output_dim or output_dim) != output_dim
        for table in tables
    ):
        found = Decision(
            "robe",
            {k: v for k, v in options.items() if k == "seed"},
            budget.form,
            "ROBE, since tables have widths or methods of their own",
            sure=False,
        )
    else:
        dims = [table.input_dim for table in tables]
        found = _beside(
            dims, output_dim, budget, ordered, options, min_rows or 0
        )
    _logger.info("method='auto' is %r: %s", found.method, found.why)
    return found


def _beside(
    dims: list[int | None],
    output_dim: int,
    budget: Budget,
    counts: Sequence[Any] | None,
    options: Mapping[str, Any],
    min_rows: int,
) -> Decision:
    """Decides what tables of at least `min_rows` rows become."""
    large = [t for t, n in enumerate(dims) if n is None or n >= min_rows]
    plain = decide(dims, output_dim, budget, counts, options)
    if counts is None or None in dims or len(large) in (0, len(dims)):
        return plain
    sizes = [(rows or 0) * output_dim for rows in dims]
    small = sum(sizes) - sum(sizes[t] for t in large)
    left = budget.parameters(sum(sizes)) - small
    if plain.kept is None or plain.budget is not None:
        return plain  # the collection itself keeps small tables
    if left < 1:
        return replace(plain, method="robe", budget=budget.form, options={})
    found = decide(
        [dims[t] for t in large],
        output_dim,
        budget.of_size(left),
        [counts[t] for t in large],
        options,
    )
    if found.budget is not None:
        return replace(found, budget=budget.form)
    rows = iter(found.options["num_rows"])
    # A collection has an entry for each table, which small ones ignore.
    every = [next(rows) if t in large else 1 for t in range(len(dims))]
    return replace(found, options={**found.options, "num_rows": tuple(every)})


def _tables(input_dims: Any) -> list[TableConfig]:
    if isinstance(input_dims, Mapping):
        return [TableConfig.of(name, t) for name, t in input_dims.items()]
    return [TableConfig(rows) for rows in input_dims]


def _ordered(input_dims: Any, counts: Any) -> Sequence[Any] | None:
    """The counts in the order of the tables; None if one is unknown."""
    if counts is None:
        return None
    if isinstance(input_dims, Mapping):
        if not isinstance(counts, Mapping) or set(counts) != set(input_dims):
            raise ValueError(
                "`counts` must be a dict with the counts of each table of "
                f"`input_dims`: {', '.join(map(repr, input_dims))}. "
                f"Received: counts={shown(counts)}"
            )
        counts = [counts[name] for name in input_dims]
    elif not isinstance(counts, list | tuple) or len(counts) != len(input_dims):
        raise ValueError(
            "`counts` must be a list with the counts of each of "
            f"{len(input_dims)} tables. Received: counts={shown(counts)}"
        )
    if any(each is None for each in counts):
        return None
    return counts
