"""Resolves the method of a collection by the counts of its ids."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from keras_pss.layers.base.budget import Budget, InfeasibleBudget
from keras_pss.layers.base.checks import as_sequence, non_negative_int, shown
from keras_pss.layers.composite.features.table_config import TableConfig
from keras_pss.layers.embedding.methods import method_class
from keras_pss.layers.fused.popular.popular_ids import popular_ids
from keras_pss.layers.planned.choices import is_auto
from keras_pss.layers.planned.decide import Decision, check_lengths, decide

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
    from them, unless `min_rows` is given or a table has a width, a method or
    options of its own; other methods ignore them.

    Args:
        input_dims, output_dim, method, budget, options, counts, min_rows:
            Arguments of `EmbeddingCollection`; `options` are checked.

    Raises:
        ValueError: If `counts` do not match the tables.
    """
    form = None if budget is None else budget.form
    ordered = _ordered(input_dims, counts)
    if ordered is None and not is_auto(method):
        return Decision(method, dict(options), form, "")
    tables = _tables(input_dims)
    dims = [table.input_dim for table in tables]
    alike = all(
        table.method is None
        and table.options is None
        and (table.output_dim or output_dim) == output_dim
        for table in tables
    )
    if ordered is not None and None not in dims:
        check_lengths([rows or 0 for rows in dims], ordered)
    if not is_auto(method):
        more = None
        # Small tables that stay uncompressed would come on top of the budget.
        if alike and budget is not None and not min_rows:
            more = method_class(method).options_from_counts(
                ordered or (), output_dim, budget, options
            )
        if more is not None:
            return Decision(method, {**options, **more}, None, "")
        return Decision(method, dict(options), form, "")
    assert budget is not None  # checked_options raised
    if not alike:
        found = Decision(
            "robe",
            {k: v for k, v in options.items() if k == "seed"},
            budget.form,
            "ROBE, since tables have widths, methods or options of their own",
            sure=False,
        )
    else:
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
    every = of_all(found.options["num_rows"], large, len(dims))
    return replace(found, options={**found.options, "num_rows": every})


def popular_beside(
    counts: Sequence[Any],
    output_dim: int,
    budget: Budget | str | int,
    min_rows: int | None,
    indexed: Sequence[bool],
    **kwargs: Any,
) -> dict[str, Any]:
    """`popular_ids` of the tables of at least `min_rows` rows.

    The others stay uncompressed, and the budget counts them.

    Args:
        counts, output_dim, budget, indexed: As in `popular_ids`.
        min_rows: As in `EmbeddingCollection`.
        **kwargs: Further arguments of `popular_ids`.

    Raises:
        ValueError: As `popular_ids` does.
    """
    rows = [int(np.size(each)) for each in counts]
    least = 0 if min_rows is None else non_negative_int("min_rows", min_rows)
    large = [t for t, n in enumerate(rows) if n >= least]
    if len(large) == len(rows):
        return popular_ids(
            counts, output_dim, budget, indexed=indexed, **kwargs
        )
    small = output_dim * (sum(rows) - sum(rows[t] for t in large))
    parsed = Budget.parse(budget)
    allowed = parsed.parameters(output_dim * sum(rows))
    if allowed < small + len(large):
        raise InfeasibleBudget(
            f"`min_rows` keeps {small} parameters uncompressed, besides a row "
            f"of each of {len(large)} tables. Give a larger budget or a "
            f"smaller `min_rows`. Received: min_rows={min_rows}, "
            f"budget={parsed}, which allows {allowed}"
        )
    if not large:
        return {"num_rows": (1,) * len(rows)}
    found = popular_ids(
        [counts[t] for t in large],
        output_dim,
        parsed.of_size(allowed - small),
        indexed=[indexed[t] for t in large],
        **kwargs,
    )
    return {**found, "num_rows": of_all(found["num_rows"], large, len(rows))}


def of_all(
    num_rows: Sequence[Any], large: Sequence[int], tables: int
) -> tuple[Any, ...]:
    """An entry for each table of a collection, which small ones ignore."""
    rows = iter(num_rows)
    bands = 0 if isinstance(num_rows[0], int) else len(num_rows[0])
    small = (1, *[0] * (bands - 1)) if bands else 1
    return tuple(next(rows) if t in large else small for t in range(tables))


def _tables(input_dims: Any) -> list[TableConfig]:
    if isinstance(input_dims, Mapping):
        return [TableConfig.of(name, t) for name, t in input_dims.items()]
    dims = as_sequence("input_dims", input_dims, "numbers of rows")
    return [TableConfig(rows) for rows in dims]


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
