"""How much the click rates of a column's ids differ beyond chance."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class ClickSpread(NamedTuple):
    """Both sides of the moment estimate `excess / weight` of v τ².

    Columns are estimated together by the sums of both.

    Attributes:
        excess: Q - (m - 1), with Q = Σ c_i (r_i - r̄)² / v and r_i = k_i / c_i
            the click rates of m ids.
        weight: C - Σ c_i² / C, with C = Σ c_i.
        variance: v = r̄ (1 - r̄), the variance of a label.
    """

    excess: float
    weight: float
    variance: float


def click_spread(
    counts: npt.ArrayLike, clicks: npt.ArrayLike
) -> ClickSpread | None:
    """The spread of the click rates of ids.

    Args:
        counts: Array `(m,)`, rows of the log with each id, at least one each.
        clicks: Array `(m,)`, how many of them are clicks.

    Returns:
        None if there are fewer than two ids, or clicks alone, or none.

    References: DerSimonian and Laird, "Meta-analysis in clinical trials"
    (1986), the moment estimate of a random effect's variance.
    """
    c = np.asarray(counts, np.float64)
    k = np.asarray(clicks, np.float64)
    if len(c) < 2:
        return None
    total = float(c.sum())
    rate = float(k.sum()) / total
    variance = rate * (1 - rate)
    if not variance:
        return None
    spread = float((c * (k / c - rate) ** 2).sum()) / variance
    return ClickSpread(
        spread - (len(c) - 1), total - float((c**2).sum()) / total, variance
    )
