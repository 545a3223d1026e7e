"""Divides the budget of a collection among its tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from keras_pss.layers.base.budget import Budget, InfeasibleBudget, feasible
from keras_pss.layers.base.checks import LARGEST_DIM
from keras_pss.layers.embedding.methods import method_class

# By default the smallest tables stay uncompressed, as long as together they
# take no more than this share of the budget.
FULL_SHARE = 0.25


@dataclass(frozen=True)
class Allocation:
    """The tables that stay uncompressed, and the sizes of the others.

    Attributes:
        full: Indices of the uncompressed tables, ascending.
        compressed: Indices of the other tables, ascending.
        sizes: Largest size of each table of `compressed`, in units of four
            bytes; a single number if the tables share one memory. Empty if
            the arguments of the method determine the sizes.
    """

    full: tuple[int, ...]
    compressed: tuple[int, ...]
    sizes: tuple[int, ...]


def allocate(
    input_dims: Sequence[int | None],
    output_dim: int,
    method: str,
    budget: Budget | None,
    min_rows: int | None,
    options: Mapping[str, Any],
    count_index: bool = True,
) -> Allocation:
    """Divides a budget among tables without ever exceeding it.

    Args:
        input_dims: Rows of each table; None for an open vocabulary.
        output_dim: Integer, columns of all tables.
        method: A method string.
        budget: Budget of all tables together; None if `options` determine the
            size of each table, as in papers that state a rank.
        min_rows: Tables with fewer rows stay uncompressed. If it is None, the
            smallest tables do, up to `FULL_SHARE` of the budget.
        options: Further arguments of the method's layer.
        count_index: Boolean, whether index tables count if the budget is a
            ratio or a number of parameters. False reproduces the allocation
            of collections that were saved before index tables counted.

    Raises:
        InfeasibleBudget: A ValueError, if the budget is too small. The message
            states the smallest feasible budget.
    """
    everything = tuple(range(len(input_dims)))
    cls = method_class(method)
    if not cls.compresses:
        return Allocation(everything, (), ())
    rows = [LARGEST_DIM if n is None else n for n in input_dims]
    if budget is None:
        small = {t for t in everything if rows[t] < (min_rows or 0)}
        others = tuple(t for t in everything if t not in small)
        return Allocation(tuple(sorted(small)), others, ())
    closed = None if None in input_dims else sum(rows) * output_dim
    allowed = budget.parameters(closed)
    if closed is not None and closed <= allowed:
        return Allocation(everything, (), ())

    def uncounted(table: int) -> int:
        """Size of the index tables that the budget does not count."""
        if count_index:
            return 0
        return cls.index_size(input_dims[table], output_dim, **options)

    def smallest(table: int) -> int:
        least = cls.smallest_size(input_dims[table], output_dim, **options)
        return least - uncounted(table)

    def gains(table: int) -> bool:
        return smallest(table) < rows[table] * output_dim

    def choice(share: float) -> tuple[set[int], int, list[int]]:
        """The full tables, their size, and the least sizes of the others."""
        full, spent = set(), 0
        for table in sorted(everything, key=lambda t: rows[t]):
            size = rows[table] * output_dim
            if min_rows is None:
                stays = spent + size <= share * allowed
            else:
                stays = rows[table] < min_rows
            if stays or not gains(table):
                full.add(table)
                spent += size
        return full, spent, [smallest(t) for t in everything if t not in full]

    def needed(spent: int, least: list[int]) -> int:
        if not least:
            return spent
        return spent + (max(least) if cls.one_memory else sum(least))

    full, spent, least = choice(FULL_SHARE)
    if min_rows is None and needed(spent, least) > allowed:
        # Full tables leave too little for the others, so compress them all.
        full, spent, least = choice(0)
    if needed(spent, least) > allowed:
        fix = "" if min_rows is None else "a smaller `min_rows`, "
        raise InfeasibleBudget(
            f"method={method!r} needs a budget of at least "
            f"{feasible(needed(spent, least), closed)} for these {len(rows)} "
            f"tables, {spent} of them for {len(full)} uncompressed ones. Give "
            f"a larger budget, {fix}or another method. "
            f"Received: budget={budget}, which allows {allowed}"
        )
    compressed = tuple(t for t in everything if t not in full)
    if not least:
        sizes = []
    elif cls.one_memory:
        sizes = [min(allowed - spent, LARGEST_DIM)]
    else:
        weights = [rows[t] * output_dim for t in compressed]
        whole = divide(allowed - spent, weights, least)
        sizes = [
            size + uncounted(table)
            for size, table in zip(whole, compressed, strict=True)
        ]
    return Allocation(tuple(sorted(full)), compressed, tuple(sizes))


def divide(
    total: int, weights: Sequence[int], least: Sequence[int]
) -> list[int]:
    """Divides a total in proportion to weights, with a least size for each.

    A part whose share is below its least size gets the least size; the rest is
    divided among the other parts in the same way. The sum of the least sizes
    must not exceed the total.
    """
    sizes = list(least)
    open_parts = set(range(len(weights)))
    while open_parts:
        left = total - sum(
            size for part, size in enumerate(sizes) if part not in open_parts
        )
        scale = left / sum(weights[part] for part in open_parts)
        short = {p for p in open_parts if weights[p] * scale < least[p]}
        if not short:
            for part in open_parts:
                sizes[part] = max(least[part], int(weights[part] * scale))
            break
        open_parts -= short
    return sizes
