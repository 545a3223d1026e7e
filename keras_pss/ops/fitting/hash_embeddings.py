"""Sums of hashed rows, with learned importance weights or without.

    E[i] = Σ_k P[h'(i), k] W[h_k(i)]

For a fixed P this is a sparse linear lookup of W, and for a fixed W each row of
P is the solution of K equations. They take turns, and no turn can increase the
error.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from keras_pss.ops.fitting import least_squares
from keras_pss.ops.fitting.single_reads import add_at
from keras_pss.ops.fitting.trained_table import TrainedTable

Numbers = Callable[[np.ndarray], dict[str, np.ndarray]]

_TURNS = 3
# Steps of conjugate gradients in a turn that starts from the one before.
_STEPS = 10
# Ridge of the K equations, relative to their largest entry.
_RIDGE = 1e-6


class HashedRows(NamedTuple):
    """The tables W `(buckets, d)` and P `(rows, K)`; None without weights."""

    buckets: np.ndarray
    importance: np.ndarray | None


def fitted(
    table: TrainedTable,
    numbers: Numbers,
    buckets: int,
    hashes: int,
    importance_rows: int | None,
) -> HashedRows:
    """W and P that are nearest to a trained table.

    Args:
        table: The table.
        numbers: Function from ids to their rows in `"buckets"`, `(n, K)`, and
            in `"importance"`, `(n,)`.
        buckets, hashes: Rows of W, and K.
        importance_rows: Rows of P; None if there is no P.
    """

    def plain(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        return numbers(ids)["buckets"], None

    if importance_rows is None:
        return HashedRows(least_squares.solved(table, plain, buckets), None)
    importance = np.full((importance_rows, hashes), 1 / np.sqrt(hashes))

    def design(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        found = numbers(ids)
        return found["buckets"], importance[found["importance"]]

    rows = least_squares.solved(table, design, buckets)
    for _ in range(_TURNS):
        importance = _importance(table, numbers, rows, importance)
        rows = least_squares.solved(table, design, buckets, rows, _STEPS)
    return HashedRows(rows, importance)


def _importance(
    table: TrainedTable,
    numbers: Numbers,
    rows: np.ndarray,
    before: np.ndarray,
) -> np.ndarray:
    """The best P for given rows W, near the one before where it is free."""
    size, hashes = before.shape
    gram = np.zeros((hashes, hashes, size))
    right = np.zeros((hashes, size))
    for block in table.blocks():
        found = numbers(block.ids)
        own = rows[found["buckets"]]  # (n, K, d)
        at = found["importance"]
        squares = np.einsum("nkd,nld->kln", own, own) * block.weights
        products = np.einsum("nkd,nd->kn", own, block.rows) * block.weights
        for k in range(hashes):
            add_at(right[k], at, products[k])
            for other in range(hashes):
                add_at(gram[k, other], at, squares[k, other])
    matrices = np.moveaxis(gram, -1, 0)
    ridge = _RIDGE * np.trace(matrices, axis1=1, axis2=2)
    ridge = np.where(ridge > 0, ridge, 1)[:, None]
    matrices = matrices + ridge[..., None] * np.eye(hashes)
    target = right.T + ridge * before
    return np.asarray(np.linalg.solve(matrices, target[..., None])[..., 0])
