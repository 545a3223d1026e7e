"""What a ROBE memory keeps of a known table that is added into it.

Number i of the table is multiplied by a sign g(i) and added to the memory at
`idx(i)`; blocks of Z numbers start at hashed places. A row is read from the
same places with the same signs.

What the theorems assume: signs (`sign=True`); starts that are uniform and
independent for each block; independent signs; `Z <= m`, so that no two numbers
of a block meet. Without signs, numbers that share a place add up their means
as well, and the results hold for tables whose numbers have mean 0, on average
over such tables. A memory that is trained adapts to its collisions, and can
do better.

References: Desai et al., "Random Offset Block Embedding (ROBE) for compressed
embedding tables in deep learning recommendation systems" (MLSys 2022),
section 4.1 and appendix B.1.
"""

import numpy as np
import numpy.typing as npt

from keras_pss.layers.base.checks import positive_int
from keras_pss.planning.theory.arguments import Floats, table_of


def projection_variance(
    x: npt.ArrayLike, y: npt.ArrayLike, memory_size: int, block_size: int
) -> float:
    """Variance of <x̂, ŷ>, of two tables in memories of the same hash.

        V = (Σ x_i² y_j² + x_i y_i x_j y_j) / m   over i, j of two blocks

    It is exact, and its mean is <x, y>. V falls as Z grows, since numbers of
    one block do not meet; Z = 1 is feature hashing. With y = x it is the
    variance of the squared norm.

    Args:
        x: Array of shape `(n, d)`, a table, or `(n,)`, a vector.
        y: Array of the shape of `x`.
        memory_size: Integer m, the number of parameters.
        block_size: Integer Z, as in `ROBEEmbedding`: at most d, where the last
            block of a row may be shorter, or a multiple of d. At most m.

    Returns:
        Float, in the unit of `(x y)²`.

    Raises:
        ValueError: If shapes or sizes do not match each other.

    Example:

    ```python
    theory = keras_pss.planning.theory
    x = np.ones((1000, 16))
    theory.projection_variance(x, x, 1600, block_size=16)  # 319680.0
    ```

    References: theorem 1 and equation 10.
    """
    first, second = table_of("x", x), table_of("y", y)
    if first.shape != second.shape:
        raise ValueError(
            "`x` and `y` must have the same shape. Received: x of shape "
            f"{first.shape} and y of shape {second.shape}"
        )
    size, block = checked_sizes(memory_size, block_size, first.shape[1])
    norms = block_sums(first**2, block) * block_sums(second**2, block)
    products = block_sums(first * second, block)
    squares = (first**2).sum() * (second**2).sum()
    between = squares - norms.sum() + products.sum() ** 2
    return float(between - (products**2).sum()) / size


def row_error(
    table: npt.ArrayLike, memory_size: int, block_size: int
) -> Floats:
    """Expected squared error of each row that is read from the memory.

        E|Ê[i] - E[i]|² = Σ_j (|E|² - |block of E[i, j]|²) / m

    It is exact: each number of a row has the others of the table, except
    those of its own block, above it with probability 1/m each. The norm of
    the whole table counts, so that rows with large norms keep the smaller
    relative error.

    Args:
        table: Array of shape `(n, d)`.
        memory_size: Integer m, the number of parameters.
        block_size: Integer Z; see `projection_variance`.

    Returns:
        Float64 `(n,)`, in the unit of the table's squares.

    Raises:
        ValueError: If `table` or sizes do not match each other.

    Example:

    ```python
    theory = keras_pss.planning.theory
    table = np.ones((1000, 16))
    round(theory.row_error(table, 1600, block_size=16)[0], 2)  # 159.84
    ```

    References: equations 13 and 18, whose noise it is the mean square of.
    """
    rows = table_of("table", table)
    count, width = rows.shape
    size, block = checked_sizes(memory_size, block_size, width)
    own = block_sums(rows**2, block)
    if block >= width:
        own = np.repeat(own[:, 0], block // width)[:count]
        return width * ((rows**2).sum() - own) / size
    widths = np.diff(np.append(np.arange(0, width, block), width))
    return ((rows**2).sum() - own) @ widths / size


def block_sums(values: Floats, block_size: int) -> Floats:
    """Sums of `(n, d)` numbers over each block of ROBE, `(blocks, parts)`."""
    count, width = values.shape
    if block_size < width:
        return np.add.reduceat(values, np.arange(0, width, block_size), axis=1)
    starts = np.arange(0, count, block_size // width)
    return np.add.reduceat(values.sum(axis=1), starts)[:, None]


def checked_sizes(
    memory_size: int, block_size: int, output_dim: int
) -> tuple[int, int]:
    size = positive_int("memory_size", memory_size)
    block = positive_int("block_size", block_size)
    if block > size or (block > output_dim and block % output_dim):
        raise ValueError(
            "`block_size` must be at most `memory_size`, and at most the "
            "length of a row or a multiple of it. Received: "
            f"block_size={block_size}, memory_size={memory_size}, rows of "
            f"length {output_dim}"
        )
    return size, block
