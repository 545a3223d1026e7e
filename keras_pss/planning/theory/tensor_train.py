"""Parameters and floating point operations of a tensor train table.

References: Yin et al., "TT-Rec: tensor train compression for deep learning
recommendation models" (MLSys 2021), equations 2 and 3 and table 2.
"""

import math
from collections.abc import Sequence

from keras_pss.layers.base.checks import positive_int, positive_ints, shown


def tt_parameters(
    row_shape: Sequence[int],
    column_shape: Sequence[int],
    rank: int | Sequence[int],
) -> int:
    """Number of parameters of the cores, `Σ_k p_k r_{k-1} q_k r_k`.

    Args:
        row_shape: Factors p_k of the ids; their product is at least n.
        column_shape: Factors q_k of the row's length d.
        rank: Integer, the rank at each boundary between cores, lowered where
            the cores on a side cannot fill it; or the ranks r_1 to r_{D-1}.

    Returns:
        Integer, a number of parameters.

    Raises:
        ValueError: If the factors or ranks do not match each other.

    Example:

    ```python
    theory = keras_pss.planning.theory
    theory.tt_parameters((200, 220, 250), (2, 2, 4), rank=16)  # 135040
    ```

    References: equation 2 and table 2.
    """
    cores = _cores(row_shape, column_shape, rank)
    return sum(p * left * q * right for p, left, q, right in cores)


def tt_flops(
    row_shape: Sequence[int],
    column_shape: Sequence[int],
    rank: int | Sequence[int],
) -> int:
    """Multiplications and additions of one lookup, from the left.

        2 Σ_{k>1} (q_1 ... q_{k-1}) r_{k-1} q_k r_k

    Args:
        row_shape, column_shape, rank: As in `tt_parameters`.

    Returns:
        Integer, a number of operations per row.

    Raises:
        ValueError: If the factors or ranks do not match each other.

    Example:

    ```python
    theory = keras_pss.planning.theory
    theory.tt_flops((200, 220, 250), (2, 2, 4), rank=16)  # 2560
    ```

    References: equation 3 and the matrix products below it.
    """
    (_, _, columns, _), *others = _cores(row_shape, column_shape, rank)
    total = 0
    for _, left, q, right in others:
        total += 2 * columns * left * q * right
        columns *= q
    return total


def _cores(
    row_shape: Sequence[int],
    column_shape: Sequence[int],
    rank: int | Sequence[int],
) -> list[tuple[int, int, int, int]]:
    """(p_k, r_{k-1}, q_k, r_k) of each core."""
    rows = positive_ints("row_shape", row_shape)
    columns = positive_ints("column_shape", column_shape)
    if len(rows) != len(columns) or len(rows) < 2:
        raise ValueError(
            "`row_shape` and `column_shape` must have one factor for each of "
            "two or more cores. Received: "
            f"row_shape={shown(row_shape)}, column_shape={shown(column_shape)}"
        )
    if isinstance(rank, list | tuple):
        inner = positive_ints("rank", rank)
        if len(inner) != len(rows) - 1:
            raise ValueError(
                f"`rank` must have {len(rows) - 1} ranks, one between each "
                f"two cores. Received: rank={shown(rank)}"
            )
    else:
        largest = positive_int("rank", rank)
        sizes = [p * q for p, q in zip(rows, columns, strict=True)]
        inner = tuple(
            min(largest, math.prod(sizes[:k]), math.prod(sizes[k:]))
            for k in range(1, len(sizes))
        )
    ranks = (1, *inner, 1)
    return [
        (p, ranks[k], q, ranks[k + 1])
        for k, (p, q) in enumerate(zip(rows, columns, strict=True))
    ]
