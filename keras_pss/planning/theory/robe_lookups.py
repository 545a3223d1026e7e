"""Inner products of two rows that are read from one ROBE memory.

Both rows come from the same memory, so that they meet each other and the rest
of the table. The assumptions are those of `robe_projection`, and m is well
above d.

References: Desai et al., "Random Offset Block Embedding (ROBE) for compressed
embedding tables in deep learning recommendation systems" (MLSys 2022),
section 4.2 and appendix B.2.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from keras_pss.layers.base.checks import non_negative_int
from keras_pss.planning.theory.arguments import Floats, table_of
from keras_pss.planning.theory.robe_projection import (
    block_sums,
    checked_sizes,
)


def lookup_product_mean(
    table: npt.ArrayLike,
    first: int,
    second: int,
    memory_size: int,
    block_size: int,
) -> float:
    """Mean of <â, b̂>, the product of the rows of two ids, theorem 2.

    It is <a, b> if both rows lie in one block (Z > d), otherwise
    `<a, b> (1 + 1/m)`, since number j of a and number j of b may meet.

    Args:
        table: Array of shape `(n, d)`.
        first, second: Two different integer ids.
        memory_size: Integer m, the number of parameters.
        block_size: Integer Z, as in `ROBEEmbedding`.

    Returns:
        Float, in the unit of the table's squares.

    Raises:
        ValueError: If ids or sizes do not match the table.

    Example:

    ```python
    theory = keras_pss.planning.theory
    table = np.ones((1000, 16))
    theory.lookup_product_mean(table, 0, 1, 1600, block_size=16)  # 16.01
    ```

    References: theorem 2, equations 16 and 21.
    """
    rows = _rows_of(table, first, second)
    width = rows.shape[1]
    size, block = checked_sizes(memory_size, block_size, width)
    product = float(rows[first] @ rows[second])
    if _share_block(first, second, block, width):
        return product
    return product * (1 + 1 / size)


def lookup_product_bound(
    table: npt.ArrayLike, first: int, second: int, memory_size: int
) -> float:
    """The expression within the O(·) of theorem 2's variance of <â, b̂>.

        d |θ|⁴ / m² + 2 Σ_{i≠j} a_i b_i a_j b_j / m²,   θ the whole table

    It counts noise times noise. Noise times a row, `(|a|² + |b|²) |θ|² / m`,
    is missing from the theorem and its proof (equation 23 leaves it out). It
    is the smaller one, by about `2 m / (n d)`, for rows of equal norms, but
    the larger one for rows with much of the table's norm, or at little
    compression; `lookup_product_variance` has it.

    Args:
        table: Array of shape `(n, d)`.
        first, second: Two different integer ids.
        memory_size: Integer m, the number of parameters.

    Returns:
        Float, in the unit of the table's fourth powers.

    Raises:
        ValueError: If ids or sizes do not match the table.

    Example:

    ```python
    theory = keras_pss.planning.theory
    table = np.ones((1000, 16))
    round(theory.lookup_product_bound(table, 0, 1, 1600), 1)  # 1600.0
    ```

    References: theorem 2 and equation 26.
    """
    rows = _rows_of(table, first, second)
    size, _ = checked_sizes(memory_size, 1, rows.shape[1])
    products = rows[first] * rows[second]
    pairs = products.sum() ** 2 - (products**2).sum()
    noise = rows.shape[1] * (rows**2).sum() ** 2
    return float(noise + 2 * pairs) / size**2


def lookup_product_variance(
    table: npt.ArrayLike,
    first: int,
    second: int,
    memory_size: int,
    block_size: int,
) -> float:
    """Variance of <â, b̂> with all terms, for rows in different blocks.

        V = (|a|² (|θ|² - |B|²) + |b|² (|θ|² - |A|²) + 2 <a, b>²
             + Σ_{i≠j} a_i b_i a_j b_j + Σ_j Σ_{s+t=2j} A_s² B_t²) / m
            + d (|θ|² - |A|²) (|θ|² - |B|²) / m²

    A and B are the blocks of a and b, and A_s and B_t their numbers at the
    offsets s and t, counted from the rows' own. The first line is noise times
    a row; the second, the blocks meeting each other; the third, noise times
    noise, as in theorem 2. Terms smaller by 1/m are left out, and so are
    blocks that lap themselves, as those of Z close to m do.

    Args:
        table: Array of shape `(n, d)`.
        first, second: Two integer ids whose rows lie in different blocks.
        memory_size: Integer m, the number of parameters.
        block_size: Integer Z, d or a multiple of it.

    Returns:
        Float, in the unit of the table's fourth powers.

    Raises:
        ValueError: If sizes do not match the table, or both rows lie in one
            block, or rows are split (Z < d).

    Example:

    ```python
    theory = keras_pss.planning.theory
    table = np.ones((1000, 16))
    round(theory.lookup_product_variance(table, 0, 1, 1600, 16), 1)  # 1917.0
    ```

    References: theorem 2 and appendix B.2, completed.
    """
    rows = _rows_of(table, first, second)
    width = rows.shape[1]
    size, block = checked_sizes(memory_size, block_size, width)
    if block < width or _share_block(first, second, block, width):
        raise ValueError(
            "`block_size` must be the length of a row or a multiple of it, "
            "such that the rows of `first` and `second` lie in different "
            f"blocks. Received: block_size={block_size}, first={first}, "
            f"second={second}, rows of length {width}"
        )
    a, b = rows[first], rows[second]
    each = block // width
    norm = (rows**2).sum()
    own = block_sums(rows**2, block)[:, 0]
    beyond_a, beyond_b = norm - own[first // each], norm - own[second // each]
    products = a * b
    total = products.sum() ** 2
    met = 3 * total - (products**2).sum() + _meetings(rows, first, second, each)
    mixed = (a**2).sum() * beyond_b + (b**2).sum() * beyond_a
    noise = width * beyond_a * beyond_b / size**2
    return float((mixed + met) / size + noise)


def _meetings(rows: Floats, first: int, second: int, each: int) -> float:
    """Σ_j Σ_{s+t=2j} A_s² B_t², s and t counted from the rows' first numbers.

    If the blocks meet so that number s of A lies on number j of b, then number
    t of B lies on number j of a.
    """
    width = rows.shape[1]
    a, b = (
        (rows[k // each * each :][:each] ** 2).ravel() for k in (first, second)
    )
    sums = np.convolve(a, b)  # by s + t, both from the blocks' begins
    at = first % each * width + second % each * width + 2 * np.arange(width)
    return float(sums[at[at < len(sums)]].sum())


def _share_block(first: int, second: int, block: int, width: int) -> bool:
    each = block // width
    return each > 0 and first // each == second // each


def _rows_of(table: Any, first: int, second: int) -> Floats:
    rows = table_of("table", table)
    for name, value in (("first", first), ("second", second)):
        non_negative_int(name, value, len(rows) - 1)
    if first == second:
        raise ValueError(
            "`first` and `second` must be different ids. "
            f"Received: first={first}, second={second}"
        )
    return rows
