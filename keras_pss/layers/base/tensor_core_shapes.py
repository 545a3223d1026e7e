"""Shapes of the cores of a tensor train or tensor ring."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from keras_pss.layers.base.checks import (
    LARGEST_DIM,
    positive_int,
    positive_ints,
    shown,
)
from keras_pss.ops.methods import core_factors, tensor_train

Core = tuple[int, int, int, int]

# More cores are of no use: 2^32 rows have at most 32 factors of two.
MOST_CORES = 32


def cores(
    input_dim: int,
    output_dim: int,
    rank: int | Sequence[int],
    row_shape: str | Sequence[int] = "balanced",
    column_shape: Sequence[int] | None = None,
    num_cores: int | None = None,
    ring: bool = False,
    **kwargs: Any,
) -> list[Core]:
    """Checks the arguments and returns the shapes (p, r, q, r') of the cores.

    Args:
        input_dim, output_dim: Integers n and d, the shape of the table.
        rank: Integer, the rank at all boundaries between cores; or a sequence
            of ranks, D - 1 of them for a tensor train and D for a tensor
            ring, whose first is that between the last and the first core.
        row_shape, column_shape, num_cores: As in `TTEmbedding`.
        ring: Boolean, whether the last core is connected to the first.
        **kwargs: Other arguments of the layer, which are ignored.

    Raises:
        ValueError: If the factors or ranks do not match each other or the
            shape of the table.
    """
    given = []
    if not isinstance(row_shape, str):
        given.append(positive_ints("row_shape", row_shape, LARGEST_DIM))
    if column_shape is not None:
        given.append(positive_ints("column_shape", column_shape, LARGEST_DIM))
    if num_cores is not None:
        positive_int("num_cores", num_cores, MOST_CORES)
    count = num_cores or (len(given[0]) if given else 3)
    if count < 2 or any(len(s) != count for s in given):
        raise ValueError(
            "A tensor train or tensor ring needs at least two cores, and "
            "`row_shape` and `column_shape` need one factor for each core. "
            "Received: "
            f"num_cores={num_cores}, row_shape={shown(row_shape)}, "
            f"column_shape={shown(column_shape)}"
        )
    _check_rank(rank, count, ring)
    if column_shape is None:
        column_shape = core_factors.column_shape(output_dim, count)
    if math.prod(column_shape) != output_dim:
        raise ValueError(
            f"The product of `column_shape` must be output_dim={output_dim}, "
            f"such as {core_factors.column_shape(output_dim, count)}. "
            f"Received: column_shape={tuple(column_shape)}"
        )
    rows = _row_shape(input_dim, row_shape, column_shape, rank, count, ring)
    for name, shape in ("row_shape", rows), ("column_shape", column_shape):
        for factor in shape:
            positive_int(name, factor)
    ranks: Sequence[int] = tensor_train.ranks(rank, rows, column_shape)
    if ring:
        each = [rank] * count if isinstance(rank, int) else list(rank)
        ranks = [*each, each[0]]
    return tensor_train.core_shapes(rows, column_shape, ranks)


def size(shapes: Sequence[Core]) -> int:
    """Number of parameters of all cores."""
    return sum(math.prod(core) for core in shapes)


def largest_ranks(
    shapes: Callable[[int | Sequence[int]], list[Core]],
    largest: int,
    size_within: int,
    ring: bool = False,
) -> int | tuple[int, ...]:
    """The largest ranks within a number of parameters, as equal as possible.

    Bisection finds the largest rank that fits for all boundaries. Then single
    ranks are raised by one, the lowest first, as long as parameters are left.

    Args:
        shapes: Function from a rank or a sequence of ranks to the shapes of
            the cores.
        largest: Integer, an upper bound on useful ranks.
        size_within: Integer, the largest number of parameters.
        ring: Boolean, whether the last core is connected to the first.

    Returns:
        A tuple of ranks; a single integer, at least 1, if no rank can be
        raised.
    """

    def fits(rank: int | Sequence[int]) -> bool:
        return size(shapes(rank)) <= size_within

    low, high = 1, largest
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    found = [left for _, left, *_ in shapes(low)]
    # A rank is of no use above the number of entries on either side of it.
    most = [left for _, left, *_ in shapes(largest)]
    if not ring:
        found, most = found[1:], most[1:]
    equal, free = tuple(found), set(range(len(found)))
    while free:
        k = min(free, key=lambda k: (found[k], k))
        found[k] += 1
        if found[k] > most[k] or not fits(found):
            found[k] -= 1
            free.remove(k)
    return low if tuple(found) == equal else tuple(found)


def _row_shape(
    input_dim: int,
    row_shape: str | Sequence[int],
    column_shape: Sequence[int],
    rank: int | Sequence[int],
    count: int,
    ring: bool,
) -> Sequence[int]:
    balanced = core_factors.balanced_row_shape(input_dim, count)
    if row_shape == "balanced":
        return balanced
    if row_shape == "min_params":
        largest = rank if isinstance(rank, int) else max(rank)
        return core_factors.min_params_row_shape(
            input_dim, column_shape, largest, ring
        )
    if isinstance(row_shape, str) or math.prod(row_shape) < input_dim:
        raise ValueError(
            "`row_shape` must be 'balanced', 'min_params' or factors whose "
            f"product is at least input_dim={input_dim}, such as {balanced}. "
            f"Received: row_shape={shown(row_shape)}"
        )
    return row_shape


def _check_rank(rank: int | Sequence[int], count: int, ring: bool) -> None:
    if not isinstance(rank, list | tuple):
        positive_int("rank", rank)
        return
    needed = count if ring else count - 1
    if len(rank) != needed:
        raise ValueError(
            f"`rank` must be an integer or a list of {needed} integers, one "
            f"for each boundary between the {count} cores. "
            f"Received: rank={rank}"
        )
    for r in rank:
        positive_int("rank", r)
