"""Which ids deserve a row of their own, from counts and clicks.

The model and its assumptions are those of `row_losses`.
"""

import numpy as np
import numpy.typing as npt

from keras_pss.layers.base.checks import positive_int
from keras_pss.layers.planned.click_spread import click_spread
from keras_pss.planning.theory.arguments import positive_numbers
from keras_pss.planning.theory.row_losses import oov_row_loss, own_row_loss


def own_row_count(base_rate: float, logit_variance: float) -> float:
    """c* = 1 / (v τ²), the count at which a row of its own begins to pay.

    An unregularised row loses `1 / (2 c)` to its own noise, a shared OOV row
    `v τ² / 2` to what it cannot tell.

    Args:
        base_rate: Float p in (0, 1), the fraction of clicks.
        logit_variance: Float τ², above 0; `estimated_logit_variance` finds
            it.

    Returns:
        Float, rows of the log that is trained on. Counts of a sample of it are
        to be compared with the sample's share of c*.

    Raises:
        ValueError: If an argument is outside its range.

    Example:

    ```python
    theory = keras_pss.planning.theory
    round(theory.own_row_count(base_rate=0.25, logit_variance=0.41), 1)  # 13.0
    ```
    """
    return 1 / (2 * oov_row_loss(base_rate, logit_variance))


def own_rows_gain(
    counts: npt.ArrayLike, base_rate: float, logit_variance: float, rows: int
) -> float:
    """What rows of their own for these ids gain over the OOV row.

        Σ (a_i - 1) / (2 n),   a_i = c_i v τ²

    so that ids come by count, and those below c* lose.

    Args:
        counts: Rows of the log with each id that gets a row.
        base_rate: Float p in (0, 1), the fraction of clicks.
        logit_variance: Float τ², above 0.
        rows: Integer n, all rows of the log.

    Returns:
        Float, nats for each row of the log; negative if they lose.

    Raises:
        ValueError: If an argument is outside its range.

    Example:

    ```python
    theory = keras_pss.planning.theory
    gain = theory.own_rows_gain([400, 100, 10], 0.25, 0.41, rows=1000)
    round(gain, 4)  # 0.0181
    ```
    """
    found = positive_numbers("counts", counts)
    total = positive_int("rows", rows)
    shared = oov_row_loss(base_rate, logit_variance)
    own = own_row_loss(found, base_rate, logit_variance)
    return float((found * (shared - own)).sum() / total)


def estimated_logit_variance(
    counts: npt.ArrayLike, clicks: npt.ArrayLike
) -> float:
    """τ² of a column, from the counts and clicks of its ids.

        Q  = Σ c_i (r_i - r̄)² / v,   r_i = clicks_i / c_i
        τ² = (Q - (m - 1)) / (C - Σ c_i² / C) / v,   C = Σ c_i

    over the m ids that occur at least twice.

    Args:
        counts: Array `(n,)`, rows of the log with each id; zeros are ids that
            do not occur.
        clicks: Array `(n,)`, how many of them are clicks.

    Returns:
        Float, squared logits; 0 where rates differ no more than by chance.

    Raises:
        ValueError: If shapes differ, if clicks exceed counts, or if fewer than
            two ids occur twice.

    Example:

    ```python
    theory = keras_pss.planning.theory
    round(theory.estimated_logit_variance([90, 80], [30, 10]), 3)  # 0.605
    ```

    References: DerSimonian and Laird, "Meta-analysis in clinical trials"
    (1986), the moment estimate of a random effect's variance.
    """
    seen, clicked = np.asarray(counts), np.asarray(clicks)
    if (
        seen.ndim != 1
        or seen.shape != clicked.shape
        or not ((clicked >= 0) & (clicked <= seen)).all()
    ):
        raise ValueError(
            "`counts` and `clicks` must have the same shape (n,), and clicks "
            "must be from 0 to the id's count. Received: counts of shape "
            f"{seen.shape} and clicks of shape {clicked.shape}"
        )
    kept = seen >= 2
    if kept.sum() < 2:
        raise ValueError(
            "`counts` must have two or more ids that occur at least twice. "
            f"Received: {kept.sum()} of {len(seen)} ids do"
        )
    found = click_spread(seen[kept], clicked[kept])
    if found is None:  # clicks alone, or none: nothing tells the ids apart
        return 0.0
    return max(0.0, found.excess / found.weight / found.variance)
