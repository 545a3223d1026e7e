"""Low-rank tables whose coordinates are low-rank in the digits of the id.

First the matrix W of the best r directions, then, for each coordinate of the
rows in them, the best p terms of its numbers as a matrix of two digits (Eckart
and Young, 1936). Each step is optimal, both together need not be.
"""

import math

import numpy as np

from keras_pss.ops.fitting import low_rank, truncated
from keras_pss.ops.fitting.trained_table import TrainedTable


def fitted(
    table: TrainedTable, side: int, rank: int, terms: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """U and V `(side, terms * rank)`, and W `(rank, width)`.

    Args:
        table: The trained table.
        side: Integer, the number of values of a digit.
        rank: Integer r, the rows of W.
        terms: Integer p, the terms of each coordinate.
    """
    gram = low_rank.gram((b.rows for b in table.blocks()), table.width)
    into, projection = low_rank.factors(gram, rank)
    first = np.zeros((side, terms, rank))
    second = np.zeros((side, terms, rank))
    # A quarter of the table, in float32, is in memory at a time.
    together = max(1, table.width // 4)
    for begin in range(0, rank, together):
        columns = slice(begin, min(begin + together, rank))
        latent = np.zeros((columns.stop - begin, side * side), np.float32)
        for block in table.mapped(into[:, columns]).blocks():
            latent[:, block.ids[0] : block.ids[-1] + 1] = block.rows.T
        for place, numbers in enumerate(latent):
            left, right = truncated.split(numbers.reshape(side, side), terms)
            # V has the root mean square 1 / sqrt(p), as it starts; U the rest.
            size = np.linalg.norm(right, axis=1)
            kept = size > 0
            unit = math.sqrt(side / terms)
            scale = np.where(kept, unit / np.where(kept, size, 1), 0)
            first[..., begin + place] = left * (size / unit)
            second[..., begin + place] = right.T * scale
    shape = side, terms * rank
    return first.reshape(shape), second.reshape(shape), projection
