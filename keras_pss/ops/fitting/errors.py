"""Errors of a fit, summed over blocks of rows."""

from dataclasses import dataclass

import numpy as np


@dataclass
class Errors:
    """Squared errors and squared norms, plain and weighted by counts.

    Attributes:
        error, total: Sums over all rows.
        weighted_error, weighted_total: Sums weighted by counts; None without
            counts.
    """

    error: float = 0.0
    total: float = 0.0
    weighted_error: float | None = None
    weighted_total: float | None = None

    def add(
        self, rows: np.ndarray, found: np.ndarray, counts: np.ndarray | None
    ) -> None:
        """Adds rows of the table, the rows found for them and their counts."""
        rows = np.asarray(rows, np.float64)
        squares = np.square(found - rows).sum(axis=1)
        norms = np.square(rows).sum(axis=1)
        self.error += float(squares.sum())
        self.total += float(norms.sum())
        if counts is not None:
            self.weighted_error = (self.weighted_error or 0.0) + float(
                squares @ counts
            )
            self.weighted_total = (self.weighted_total or 0.0) + float(
                norms @ counts
            )

    @property
    def relative(self) -> float:
        return _root(self.error, self.total)

    @property
    def weighted(self) -> float | None:
        if self.weighted_error is None or self.weighted_total is None:
            return None
        return _root(self.weighted_error, self.weighted_total)


def _root(error: float, total: float) -> float:
    """The relative error; 0 if zeros are represented by zeros."""
    if total:
        return float(np.sqrt(error / total))
    return float("inf") if error else 0.0
