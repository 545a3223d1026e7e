"""Truncated singular value decompositions of large matrices in memory."""

import numpy as np

# The largest Gram matrix that is formed.
_LARGEST = 2048
# Of subspace iterations: vectors beyond the rank, and turns.
OVERSAMPLED = 10
POWERS = 6
# Rows that are widened to float64 at a time.
_STEP = 1 << 12


def split(matrix: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """Orthonormal columns U and U' M, such that U U' M is nearest to M.

    Args:
        matrix: M, floats `(a, b)`, in memory.
        rank: Integer, the number of columns; those beyond the rank of M are
            zero.

    Returns:
        float64 U `(a, rank)`, and floats `(rank, b)`.
    """
    rows, columns = matrix.shape
    most = min(rank, rows, columns)
    if rows <= min(columns, _LARGEST):
        left = eigenvectors(_gram(matrix.T), most)
        right = _product(left.T, matrix)
    elif columns <= _LARGEST:
        vectors = eigenvectors(_gram(matrix), most)
        left = _times(matrix, vectors)
        sizes = np.linalg.norm(left, axis=0)
        kept = sizes > 1e-7 * (sizes[0] or 1)
        left = left * np.where(kept, 1 / np.where(kept, sizes, 1), 0)
        right = vectors.T * np.where(kept, sizes, 0)[:, None]
    else:
        left = _by_powers(matrix, most)
        right = _product(left.T, matrix)
    if most < rank:
        left = np.pad(left, ((0, 0), (0, rank - most)))
        right = np.pad(right, ((0, rank - most), (0, 0)))
    return left, right


def eigenvectors(gram: np.ndarray, count: int) -> np.ndarray:
    """The first eigenvectors of a symmetric matrix, the largest first."""
    _, vectors = np.linalg.eigh(gram)
    return np.ascontiguousarray(vectors[:, ::-1][:, :count])


def _gram(matrix: np.ndarray) -> np.ndarray:
    """M'M in float64."""
    total = np.zeros((matrix.shape[1],) * 2)
    for begin in range(0, len(matrix), _STEP):
        part = np.asarray(matrix[begin : begin + _STEP], np.float64)
        total += part.T @ part
    return total


def _times(matrix: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """M V in float64."""
    return np.concatenate(
        [
            np.asarray(matrix[b : b + _STEP], np.float64) @ vectors
            for b in range(0, len(matrix), _STEP)
        ]
    )


def _product(left: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """U' M in the dtype of M, some columns at a time."""
    out = np.empty((len(left), matrix.shape[1]), matrix.dtype)
    step = max(1, _STEP * 64 // len(matrix))
    for begin in range(0, matrix.shape[1], step):
        part = np.asarray(matrix[:, begin : begin + step], np.float64)
        out[:, begin : begin + step] = left @ part
    return out


def _by_powers(matrix: np.ndarray, rank: int) -> np.ndarray:
    """U by subspace iteration, for matrices with two long sides.

    Reference: Halko, Martinsson and Tropp, "Finding structure with randomness"
    (SIAM Review 2011), algorithm 4.4.
    """
    size = min(rank + OVERSAMPLED, *matrix.shape)
    start = np.random.default_rng(0).normal(size=(matrix.shape[1], size))
    left, _ = np.linalg.qr(_times(matrix, start))
    for _ in range(POWERS):
        right, _ = np.linalg.qr(_product(left.T, matrix).T.astype(np.float64))
        left, _ = np.linalg.qr(_times(matrix, right))
    small = _product(left.T, matrix).astype(np.float64)
    return np.asarray(left @ eigenvectors(small @ small.T, rank))
