"""Rows that are multiples of a row of their bucket, as in MEMCom.

    E[i] = v_i u_b + c_i,   b = i mod m

The rows of a bucket form a matrix, whose best approximation of rank one is its
first singular pair (Eckart and Young, "The approximation of one matrix by
another of lower rank", 1936): u_b is the first eigenvector of Σ w_i E_i E_i',
and v_i = E_i u_b. A bias c_i, the same in all columns, is the mean of the row,
which leaves the pair to what is orthogonal to it.
"""

from collections.abc import Callable

import numpy as np

from keras_pss.ops.fitting.trained_table import BLOCK_NUMBERS, TrainedTable

Write = Callable[[int, np.ndarray], None]


def fit(
    table: TrainedTable,
    buckets: int,
    write_rows: Write,
    write_scales: Write,
    write_bias: Write | None,
) -> None:
    """Writes the rows of buckets, the scales and the biases of ids.

    The scales of a bucket have a weighted mean square of 1, and a mean that is
    not negative.

    Args:
        table: The trained table.
        buckets: Integer m.
        write_rows: Function of the first bucket and `(k, d)` rows.
        write_scales, write_bias: Functions of the first id and `(k, 1)`
            numbers; None for no bias.
    """
    width = table.width
    turns = -(-table.rows // buckets)  # ids of a bucket
    each = max(turns * width, width * width)
    step = max(1, BLOCK_NUMBERS // each)
    report = None
    if table.start_pass is not None:
        report = table.start_pass(buckets)
    for begin in range(0, buckets, step):
        end = min(begin + step, buckets)
        rows, weights = _of_buckets(table, buckets, begin, end, turns)
        bias = rows.mean(axis=2, keepdims=True)
        if write_bias is not None:
            rows = rows - bias
        shared, scales = _first_pairs(rows, weights)
        write_rows(begin, shared)
        for turn in range(turns):
            first = turn * buckets + begin
            count = min(end - begin, table.rows - first)
            if count <= 0:
                break
            write_scales(first, scales[:count, turn, None])
            if write_bias is not None:
                write_bias(first, bias[:count, turn])
        if report is not None:
            report(end)


def _of_buckets(
    table: TrainedTable, buckets: int, begin: int, end: int, turns: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rows `(buckets, turns, d)` and weights of the ids of some buckets."""
    rows = np.zeros((end - begin, turns, table.width))
    weights = np.zeros((end - begin, turns))
    for turn in range(turns):
        first = turn * buckets + begin
        last = min(first + end - begin, table.rows)
        if first < last:
            rows[: last - first, turn] = table.read(first, last)
            weights[: last - first, turn] = table.weights(first, last)
    return rows, weights


def _first_pairs(
    rows: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rows u `(k, d)` and scales v `(k, turns)`, weighted mean v² of 1."""
    weighted = rows * weights[..., None]
    _, vectors = np.linalg.eigh(rows.transpose(0, 2, 1) @ weighted)
    shared = vectors[..., -1]
    scales = np.einsum("btd,bd->bt", rows, shared)
    mass = weights.sum(axis=1)
    square = (weights * np.square(scales)).sum(axis=1)
    size = np.sqrt(square / np.where(mass > 0, mass, 1))
    size *= np.where((weights * scales).sum(axis=1) < 0, -1, 1)
    shared = shared * size[:, None]
    return shared, np.where(
        size[:, None] != 0, scales / np.where(size != 0, size, 1)[:, None], 1
    )
