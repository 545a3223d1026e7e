"""TT-SVD: the cores of a tensor train from a trained table.

The table is a matrix of the first digits of the id and the column, times all
later digits. Its first left singular vectors are the first core; what is left
after the projection on them is a smaller matrix of the next digits, and so on.
The error is at most sqrt(D - 1) times that of the best train of these ranks.

Reference: Oseledets, "Tensor-train decomposition" (SIAM Journal on Scientific
Computing, 2011), algorithm 1.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from keras_pss.ops.fitting import truncated
from keras_pss.ops.fitting.trained_table import BLOCK_NUMBERS, TrainedTable

Core = tuple[int, int, int, int]

# The largest Gram matrix of the first digits; with more of them, which two
# cores of a large table have, singular vectors come from subspace iteration.
_LARGEST = 2048


def cores(
    table: TrainedTable, shapes: Sequence[Core], last_core: bool
) -> list[np.ndarray]:
    """Cores `(p, r q r')`, ids beyond the table as rows of zeros.

    Args:
        table: The trained table.
        shapes: `(p, r, q, r')` of each core.
        last_core: Whether the last core has the scale of the table; otherwise
            all have the same root mean square.
    """
    first, *others = shapes
    left, rest = _first_core(table, shapes)
    found = [left.reshape(first[0], 1, first[2], first[3])]
    for p, r, q, right in others[:-1]:
        # (r, p P, q Q) -> (r p q, P Q)
        rows, columns = rest.shape[1] // p, rest.shape[2] // q
        matrix = rest.reshape(r, p, rows, q, columns)
        matrix = matrix.transpose(0, 1, 3, 2, 4).reshape(r * p * q, -1)
        left, rest = truncated.split(matrix, right)
        found.append(left.reshape(r, p, q, right).transpose(1, 0, 2, 3))
        rest = rest.reshape(right, rows, columns)
    found.append(rest.transpose(1, 0, 2)[..., None])
    return [
        core.reshape(len(core), -1)
        for core in _scaled(found, shapes, last_core)
    ]


def _first_core(
    table: TrainedTable, shapes: Sequence[Core]
) -> tuple[np.ndarray, np.ndarray]:
    """The first core `(p q, r)`, and the rest `(r, P, Q)`."""
    p, _, q, rank = shapes[0]
    later_rows = math.prod(core[0] for core in shapes[1:])
    later_columns = table.width // q
    side = p * q
    if side > _LARGEST:
        left = _by_powers(table, shapes, min(rank, side))
    else:
        gram = np.zeros((side, side))
        for _, part in _unfolded(table, shapes):
            gram += part @ part.T
        left = truncated.eigenvectors(gram, min(rank, side))
    if left.shape[1] < rank:
        left = np.pad(left, ((0, 0), (0, rank - left.shape[1])))
    rest = np.zeros((rank, later_rows, later_columns), np.float32)
    for begin, part in _unfolded(table, shapes):
        found = (left.T @ part).reshape(rank, -1, later_columns)
        rest[:, begin : begin + found.shape[1]] = found
    return left, rest


def _unfolded(
    table: TrainedTable, shapes: Sequence[Core]
) -> Iterator[tuple[int, np.ndarray]]:
    """The first unfolding, in blocks of columns: float64 `(p q, n Q)`.

    Each comes with the first of the later digits that it has.
    """
    p, _, q, _ = shapes[0]
    later = math.prod(core[0] for core in shapes[1:])
    step = max(1, BLOCK_NUMBERS // (p * table.width))
    report = None
    if table.start_pass is not None:
        report = table.start_pass(later)
    for begin in range(0, later, step):
        end = min(begin + step, later)
        rows = np.zeros((p, end - begin, table.width))
        for digit in range(p):
            first = digit * later + begin
            last = min(first + end - begin, table.rows)
            if first < last:
                rows[digit, : last - first] = table.at(first, last)
        part = rows.reshape(p, end - begin, q, -1).transpose(0, 2, 1, 3)
        yield begin, part.reshape(p * q, -1)
        if report is not None:
            report(end)


def _by_powers(
    table: TrainedTable, shapes: Sequence[Core], rank: int
) -> np.ndarray:
    """The first left singular vectors, by subspace iteration.

    Reference: Halko, Martinsson and Tropp, "Finding structure with randomness"
    (SIAM Review 2011), algorithm 4.4.
    """
    p, _, q, _ = shapes[0]
    size = min(rank + truncated.OVERSAMPLED, p * q)
    left, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(p * q, size)))
    for turn in range(truncated.POWERS + 1):
        # X X' times the subspace, in one pass.
        image = np.zeros((p * q, size))
        for _, part in _unfolded(table, shapes):
            image += part @ (part.T @ left)
        if turn == truncated.POWERS:
            break
        left, _ = np.linalg.qr(image)
    return left @ truncated.eigenvectors(left.T @ image, rank)


def _scaled(
    found: Sequence[np.ndarray], shapes: Sequence[Core], last_core: bool
) -> list[np.ndarray]:
    """The same train, with the scale divided among its cores."""
    sizes = np.array([np.sqrt(np.mean(np.square(core))) for core in found])
    if not sizes.all():
        return list(found)
    if last_core:
        wanted = np.array([1 / math.sqrt(core[3]) for core in shapes])
        wanted[-1] = np.prod(sizes) / np.prod(wanted[:-1])
    else:
        wanted = np.full(len(found), np.exp(np.mean(np.log(sizes))))
    return [
        core * (size / own)
        for core, size, own in zip(found, wanted, sizes, strict=True)
    ]
