"""Holm's correction of p-values that are read together."""

from collections.abc import Sequence

import numpy as np


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusts p-values for multiple tests by Holm's method.

        q_(k) = max over j <= k of min(1, (m - j + 1) p_(j))

    for the m p-values in ascending order. Rejecting where q < 0.05 keeps the
    probability of any false rejection at or below 5 %, even for dependent
    tests.

    Args:
        p_values: The p-values in any order.

    Returns:
        The adjusted p-values in the same order.

    Raises:
        ValueError: If a p-value is not in [0, 1].

    References: Holm, "A simple sequentially rejective multiple test
    procedure" (1979).
    """
    p = np.asarray(p_values, np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise ValueError(
            "`p_values` must be a list of numbers in [0, 1]. "
            f"Received: p_values={p_values}"
        )
    order = np.argsort(p, kind="stable")
    scaled = np.minimum(1, np.arange(len(p), 0, -1) * p[order])
    adjusted = np.empty(len(p))
    adjusted[order] = np.maximum.accumulate(scaled)
    return [float(q) for q in adjusted]
