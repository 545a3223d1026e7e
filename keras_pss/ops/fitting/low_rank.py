"""Narrow rows and a matrix: truncated singular value decompositions.

    min_{A, P} ||E - A P||_F   has the solution   A = E V, P = V'

with the first k eigenvectors V of E'E (Eckart and Young, "The approximation of
one matrix by another of lower rank", 1936). E'E is summed over blocks of rows,
so the large table is never factorized itself.

Rows are not weighted by counts: a few very frequent ids would take the
directions, and measured on a click log that loses more than it gains.
"""

import math
from collections.abc import Iterable

import numpy as np

from keras_pss.ops.fitting.trained_table import TrainedTable


def gram(parts: Iterable[np.ndarray], width: int) -> np.ndarray:
    """E'E, float64 `(width, width)`, of rows in blocks."""
    total = np.zeros((width, width))
    for rows in parts:
        wide = np.asarray(rows, np.float64)
        total += wide.T @ wide
    return total


def directions(gram: np.ndarray, rank: int) -> np.ndarray:
    """The first eigenvectors, `(width, rank)`, the largest first."""
    _, vectors = np.linalg.eigh(gram)
    return np.asarray(vectors[:, ::-1][:, :rank])


def narrow(table: TrainedTable, rank: int) -> tuple[TrainedTable, np.ndarray]:
    """The narrow rows of a table, as they are read, and the matrix."""
    found = gram((block.rows for block in table.blocks()), table.width)
    into, matrix = factors(found, rank)
    return table.mapped(into), matrix


def factors(
    gram: np.ndarray, rank: int, equal: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """What maps rows to narrow ones, `(width, rank)`, and back.

    The map back has the scale with which layers start: it preserves the
    standard deviation of independent numbers.

    Args:
        gram: E'E of the rows.
        rank: Integer k.
        equal: Whether all columns of the narrow rows get the same mean square,
            so that one grid of few bits suits all.
    """
    vectors = directions(gram, rank)
    scale = np.full(rank, math.sqrt(len(gram) / rank))
    if equal:
        squares = np.einsum("dk,de,ek->k", vectors, gram, vectors)
        sizes = np.sqrt(np.maximum(squares, 0))
        # A direction without energy keeps the scale of the largest one.
        sizes = np.where(sizes > 1e-6 * sizes[0], sizes, sizes[0] or 1.0)
        scale = sizes * (scale[0] / math.sqrt(np.mean(np.square(sizes))))
    return vectors / scale, vectors.T * scale[:, None]
