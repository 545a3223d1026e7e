"""Widths of rows by popularity: the power rule of mixed dimensions.

A block is a range of ids of one table, with rows of one width. The rule gives
a block whose ids occur with probability p the width

    k = λ p^α,   rounded and clipped

so that α = 0 means one width for all blocks. λ is solved for a size, in which
a block of n rows counts with its matrix: n k + k d numbers, or n d for k = d.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_pss.layers.base.budget import Budget, InfeasibleBudget, feasible
from keras_pss.layers.base.checks import number, positive_int
from keras_pss.layers.fused.popular.frequent_ids import frequent_rows

# Ginart et al. find little gain beyond 8 to 16 blocks of equal popularity.
NUM_BLOCKS = 8


def smallest_size(input_dims: Sequence[int], output_dim: int) -> int:
    """Parameters of some tables whose rows are one number wide."""
    return int(_sizes(np.array(input_dims), output_dim)[:, 1].sum())


def published_widths(
    input_dims: Sequence[int], output_dim: int, alpha: float
) -> tuple[int, ...]:
    """Widths of tables without a budget: the smallest table has all of d.

        k_f = d (min n / n_f)^α,   rounded, at least 1

    Args:
        input_dims: Rows n_f of each table.
        output_dim: Integer d, the length of a row.
        alpha: Exponent α of the rule.
    """
    rows = np.array(input_dims, np.float64)
    rule = output_dim * (rows.min() / rows) ** checked_alpha(alpha)
    return tuple(int(k) for k in np.maximum(1, np.floor(rule + 0.5)))


def widths_of_tables(
    size: int, input_dims: Sequence[int], output_dim: int, alpha: float
) -> tuple[int, ...]:
    """Widths of tables within a size, if no counts are known.

    A row of a table is taken to be read with probability 1 / n.

    Args:
        size: Integer, the parameters of all tables together, at least
            `smallest_size`.
        input_dims: Rows n of each table.
        output_dim: Integer d, the length of a row.
        alpha: Exponent α of the rule.
    """
    rows = np.array(input_dims, np.int64)
    found = widths_within(size, rows, 1 / rows, output_dim, alpha)
    return tuple(int(k) for k in found)


def widths_within(
    size: int,
    rows: npt.ArrayLike,
    popularity: npt.ArrayLike,
    output_dim: int,
    alpha: float,
    empty: npt.ArrayLike | None = None,
) -> np.ndarray:
    """The widths of blocks for the largest λ within a size.

    A block whose matrix would take more than it saves has the width d.

    Args:
        size: Integer, the parameters of all blocks together.
        rows: Rows of each block.
        popularity: A number in proportion to the probability of an id of each
            block.
        output_dim: Integer d, the length of a row.
        alpha: Exponent α of the rule.
        empty: Parameters of each block if the rule gives it no width at all.
            Default: None, the width is at least 1.

    Returns:
        Integers, the width of each block.
    """
    sizes = _sizes(np.asarray(rows, np.int64), output_dim)
    sizes[:, 0] = sizes[:, 1] if empty is None else np.asarray(empty)
    # The logarithm of the λ from which on a block has each width. It is
    # rounded, so that ties are ties on every machine: a saved collection
    # stores α and the budget.
    with np.errstate(divide="ignore"):
        rare = -np.log(np.asarray(popularity, np.float64))
    power = checked_alpha(alpha)
    rule = power * rare if power else np.zeros_like(rare)
    widths_from = np.log(np.arange(1, output_dim + 1) - 0.5)
    from_on = np.round(widths_from + rule[:, None], 9)
    steps = np.unique(from_on[np.isfinite(from_on)])
    every = np.arange(len(sizes))

    def widths(scale: float) -> np.ndarray:
        return (from_on <= scale).sum(axis=1)

    low, high = -1, len(steps) - 1  # the last step that is known to fit
    while low < high:
        middle = (low + high + 1) // 2
        if sizes[every, widths(steps[middle])].sum() <= size:
            low = middle
        else:
            high = middle - 1
    found = widths(steps[low] if low >= 0 else -np.inf)
    if empty is None:
        found = np.maximum(found, 1)
    whole = (found > 0) & (sizes[every, found] == sizes[:, output_dim])
    return np.where(whole, output_dim, found)


def blocks_by_counts(
    counts: Sequence[npt.ArrayLike],
    output_dim: int,
    budget: Budget | str | int,
    alpha: float,
    num_blocks: int = NUM_BLOCKS,
) -> dict[str, Any]:
    """Blocks within tables whose counts are known, and their widths.

    The blocks of a table are read about equally often. Where the budget has
    less than a number for each id, the rule's width of rare blocks rounds to
    0, and their ids share the row of id 0.

    Args:
        counts: For each table the number of occurrences of each id, in
            descending order from id 1 on.
        output_dim: Integer d, the length of a row.
        budget: Upper bound on the parameters of all tables together.
        alpha: Exponent α of the rule.
        num_blocks: Integer, the largest number of blocks of a table.

    Returns:
        `num_rows` and `inner_dim`: for each table a tuple with the rows and
        the width of each block.

    Raises:
        ValueError: If the ids of a table are not sorted by frequency; and
            `InfeasibleBudget`, a subclass, if the budget is too small for a
            row of each table.
    """
    positive_int("num_blocks", num_blocks)
    tables = []
    for place, each in enumerate(counts):
        frequent_rows(place, each, 1)  # checks them
        tables.append(_blocks(np.asarray(each, np.float64), num_blocks))
    whole = sum(len(np.asarray(each)) for each in counts) * output_dim
    allowed = Budget.parse(budget).parameters(whole)
    rows = np.array([n for blocks, _ in tables for n in blocks], np.int64)
    seen = np.concatenate([each for _, each in tables])
    first = np.concatenate([np.arange(len(each)) == 0 for _, each in tables])
    empty = None
    if allowed < smallest_size(rows, output_dim):  # type: ignore[arg-type]
        empty = np.where(first, output_dim, 0)
        fewest = len(tables) * output_dim
        if allowed < fewest:
            raise InfeasibleBudget(
                "method='mixed_dimension' needs a budget of at least "
                f"{feasible(fewest, whole)} for a row of each of "
                f"{len(tables)} tables. Give a larger budget or choose another "
                f"method. Received: budget={budget}, which allows {allowed}"
            )
    widths = widths_within(allowed, rows, seen, output_dim, alpha, empty)
    starts = np.cumsum([0, *(len(each) for _, each in tables)])
    found = [
        _kept(rows[begin:end], widths[begin:end], output_dim)
        for begin, end in pairwise(starts)
    ]
    return {
        "num_rows": tuple(n for n, _ in found),
        "inner_dim": tuple(k for _, k in found),
    }


def checked_alpha(alpha: Any) -> float:
    """The exponent of the rule, a number between 0 and 1."""
    if number("alpha", alpha, 0) > 1:
        raise ValueError(
            "`alpha`, the exponent of the power rule, must be between 0 (one "
            "width for all) and 1. Values of 0.2 to 0.5 are usual. "
            f"Received: alpha={alpha}"
        )
    return float(alpha)


def _sizes(rows: np.ndarray, output_dim: int) -> np.ndarray:
    """Parameters of blocks by width: `(blocks,)` to `(blocks, d + 1)`."""
    k = np.arange(output_dim + 1)
    narrow = rows[:, None] * k + k * output_dim
    return np.minimum(narrow, rows[:, None] * output_dim)


def _blocks(
    counts: np.ndarray, num_blocks: int
) -> tuple[list[int], np.ndarray]:
    """Divides ids into blocks that are read about equally often.

    A block has no fewer rows than the one before, so that where the matrix of
    a block takes more than it saves, so do those of the blocks before.

    Returns:
        The rows of each block, and the occurrences of an id in it.
    """
    # Id 0 is in the first block, whether or not it was seen.
    counts = np.concatenate([[counts[:2].max()], counts[1:]])
    sums, begin = np.cumsum(counts), 0
    rows: list[int] = []
    for part in range(1, num_blocks):
        end = 1 + int(np.searchsorted(sums, sums[-1] * part / num_blocks))
        size = max(end - begin, rows[-1] if rows else 1)
        if len(counts) - begin - size < size:
            break  # the rest is the last block
        rows.append(size)
        begin += size
    rows.append(len(counts) - begin)
    ends = np.cumsum(rows)
    seen = np.diff(sums[ends - 1], prepend=0.0) / rows
    return rows, np.minimum.accumulate(seen)


def _kept(
    rows: np.ndarray, widths: np.ndarray, output_dim: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The blocks of a table that have rows, those of width d as one."""
    if not widths[0]:
        return (1,), (output_dim,)
    pairs: list[tuple[int, int]] = []
    for n, k in zip(rows.tolist(), widths.tolist(), strict=True):
        if k == output_dim and pairs:
            pairs = [(pairs[0][0] + n, k)]
        elif k:
            pairs.append((n, k))
    return tuple(n for n, _ in pairs), tuple(k for _, k in pairs)
