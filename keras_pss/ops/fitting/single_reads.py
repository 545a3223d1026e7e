"""Least squares where each number of the table reads one parameter.

    min_M Σ w (f M[p] - E)²   has the solution   M[p] = Σ w f E / Σ w f²

with the sums over all numbers E of the table that read the position p, by the
factor f. For f = 1 it is a weighted mean.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np


class Reads(NamedTuple):
    """Numbers of the table, and the parameters that they read.

    Attributes:
        positions: Integers of the shape of `numbers`.
        numbers: Numbers of the table.
        weights: Their weights, of a shape that broadcasts to it.
        factors: Factors of the parameters, of such a shape; None for ones.
    """

    positions: np.ndarray
    numbers: np.ndarray
    weights: np.ndarray
    factors: np.ndarray | None = None


def add_at(sums: np.ndarray, places: np.ndarray, values: np.ndarray) -> None:
    """`sums[places] += values`, where values of the same place add up."""
    if len(sums) <= 4 * len(places):
        sums += np.bincount(places, values, len(sums))
    else:
        # A histogram would be longer than the block.
        np.add.at(sums, places, values)


def solved(reads: Iterable[Reads], size: int) -> np.ndarray:
    """The parameters, float64 `(size,)`; zero where nothing reads them."""
    sums, mass = np.zeros(size), np.zeros(size)
    for positions, numbers, weights, factors in reads:
        weights = np.broadcast_to(weights, numbers.shape)
        first = weights * numbers
        second: np.ndarray = weights
        if factors is not None:
            first, second = first * factors, second * np.square(factors)
        flat = positions.reshape(-1)
        add_at(sums, flat, first.reshape(-1))
        add_at(mass, flat, second.reshape(-1))
    mass[mass == 0] = 1
    sums /= mass
    return sums


def bucket_means(
    reads: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]],
    size: int,
    width: int,
) -> np.ndarray:
    """Weighted means of the rows of each bucket, float64 `(size, width)`.

    Args:
        reads: Buckets `(n,)`, rows `(n, width)` and weights `(n,)`.
        size, width: Shape of the result; empty buckets are zero.
    """
    sums, mass = np.zeros((width, size)), np.zeros(size)
    for buckets, rows, weights in reads:
        add_at(mass, buckets, weights)
        for column, values in enumerate(rows.T):
            add_at(sums[column], buckets, weights * values)
    mass[mass == 0] = 1
    sums /= mass
    return sums.T
