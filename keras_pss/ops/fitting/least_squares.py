"""Weighted least squares of a sparse linear lookup, by conjugate gradients.

    min_M Σ_i w_i ||Σ_k v_ik M[p_ik] - E_i||²

for rows M of the table's width. The normal equations S'WS M = S'W E are never
formed: each step reads the positions and factors of all ids once, in blocks.
All columns share S and are solved side by side.

Reference: Hestenes and Stiefel, "Methods of conjugate gradients for solving
linear systems" (1952).
"""

from collections.abc import Callable

import numpy as np

from keras_pss.ops.fitting.single_reads import add_at
from keras_pss.ops.fitting.trained_table import TrainedTable

# Of ids `(n,)` to the positions and the factors of the rows that they read,
# both `(n, k)`; None instead of factors of one.
Design = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray | None]]

# The error is quadratic in the distance to the solution, so that this share of
# the first gradient costs none that is seen.
_TOLERANCE = 1e-5
_ROUNDS = 50


def solved(
    table: TrainedTable,
    design: Design,
    size: int,
    start: np.ndarray | None = None,
    rounds: int = _ROUNDS,
) -> np.ndarray:
    """The rows M, float64 `(size, width)`.

    They are those of the smallest norm, if `start` is None.

    Args:
        table: The trained table E.
        design: Positions and factors of the rows that an id reads.
        size: Integer, the number of rows of M.
        start: M to start with. Defaults to zeros.
        rounds: Integer, the largest number of steps.
    """
    shape = size, table.width
    found = np.zeros(shape) if start is None else start.astype(np.float64)
    residual = _gradient(table, design, found, start is not None)
    direction = residual.copy()
    square = np.square(residual).sum(axis=0)
    enough = _TOLERANCE**2 * square
    if start is not None:
        enough = _TOLERANCE**2 * np.square(
            _gradient(table, design, np.zeros(shape), False)
        ).sum(axis=0)
    for _ in range(rounds):
        if (square <= enough).all():
            break
        image = _product(table, design, direction)
        curvature = (direction * image).sum(axis=0)
        # A column that is solved has no direction left.
        step = square / np.where(curvature > 0, curvature, 1)
        found += step * direction
        residual -= step * image
        before, square = square, np.square(residual).sum(axis=0)
        direction *= square / np.where(before > 0, before, 1)
        direction += residual
    return found


def _gradient(
    table: TrainedTable, design: Design, found: np.ndarray, subtract: bool
) -> np.ndarray:
    """S'W (E - S M)."""
    result = np.zeros(found.T.shape)
    for block in table.blocks():
        places, factors = design(block.ids)
        rows = np.asarray(block.rows, np.float64)
        if subtract:
            rows = rows - read(found, places, factors)
        _scatter(result, places, factors, rows * block.weights[:, None])
    return result.T.copy()


def _product(
    table: TrainedTable, design: Design, direction: np.ndarray
) -> np.ndarray:
    """S'WS times a direction."""
    result = np.zeros(direction.T.shape)
    for begin in range(0, table.rows, table.step):
        end = min(begin + table.step, table.rows)
        places, factors = design(np.arange(begin, end))
        rows = read(direction, places, factors)
        rows *= table.weights(begin, end)[:, None]
        _scatter(result, places, factors, rows)
    return result.T.copy()


def read(
    found: np.ndarray, places: np.ndarray, factors: np.ndarray | None
) -> np.ndarray:
    """Rows S M of the ids of a block, `(n, width)`."""
    total = np.zeros((len(places), found.shape[1]))
    for k in range(places.shape[1]):
        part = found[places[:, k]]
        total += part if factors is None else part * factors[:, k, None]
    return total


def _scatter(
    result: np.ndarray,
    places: np.ndarray,
    factors: np.ndarray | None,
    rows: np.ndarray,
) -> None:
    """Adds S' times the rows of a block to a `(width, size)` array."""
    for k in range(places.shape[1]):
        part = rows if factors is None else rows * factors[:, k, None]
        for column, values in enumerate(part.T):
            add_at(result[column], places[:, k], values)
