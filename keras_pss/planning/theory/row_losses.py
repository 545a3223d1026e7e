"""Log loss of an id's own row, of a shared row and of a rounded row.

An id with c rows in the log has a true logit that differs from its column's
mean by a deviation of variance τ². Its clicks have the base rate p, and
`v = p (1 - p)`. A wrong logit costs half of v times its squared error in log
loss. Losses below are expected, in nats for each later row with that id, above
the loss of the true logits.

What the model assumes: one number for an id; columns that add their logits and
do not repeat each other; deviations small enough for a quadratic loss; later
rows like those counted. Meaning that an id has only together with another
column does not show in counts, so a validation run must decide on rare ids.
"""

import numpy as np
import numpy.typing as npt

from keras_pss.layers.base.checks import positive_int
from keras_pss.planning.theory.arguments import (
    Floats,
    fraction,
    positive_numbers,
)


def oov_row_loss(base_rate: float, logit_variance: float) -> float:
    """`v τ² / 2`: the loss of an id that reads its column's shared OOV row.

    Args:
        base_rate: Float p in (0, 1), the fraction of clicks.
        logit_variance: Float τ², above 0.

    Returns:
        Float, nats for each row with the id.

    Raises:
        ValueError: If an argument is outside its range.

    Example:

    ```python
    theory = keras_pss.planning.theory
    round(theory.oov_row_loss(base_rate=0.25, logit_variance=0.41), 4)  # 0.0384
    ```
    """
    rate = fraction("base_rate", base_rate)
    spread = float(positive_numbers("logit_variance", logit_variance))
    return rate * (1 - rate) * spread / 2


def own_row_loss(
    counts: npt.ArrayLike,
    base_rate: float,
    logit_variance: float,
    shrunk: bool = False,
) -> Floats:
    """The loss of an id with a row of its own.

        1 / (2 c), or shrunk towards the mean by its prior
        v τ² / (2 (1 + a)),   a = c v τ² = c / c*

    A shrunk row is never worse than the OOV row. Early stopping shrinks
    trained rows in part.

    Args:
        counts: Rows of the log with each id, positive numbers.
        base_rate: Float p in (0, 1), the fraction of clicks.
        logit_variance: Float τ², above 0.
        shrunk: Boolean, whether the row is shrunk. Defaults to False.

    Returns:
        Float64 of the shape of `counts`, nats for each row with the id.

    Raises:
        ValueError: If an argument is outside its range.

    Example:

    ```python
    theory = keras_pss.planning.theory
    theory.own_row_loss([10, 100], 0.25, 0.41).tolist()  # [0.05, 0.005]
    ```
    """
    found = positive_numbers("counts", counts)
    shared = oov_row_loss(base_rate, logit_variance)
    if shrunk:
        return np.asarray(shared / (1 + 2 * shared * found))
    return np.asarray(1 / (2 * found))


def bucket_loss(
    ids: int, mean_count: float, base_rate: float, logit_variance: float
) -> float:
    """The loss of ids that share a hash bucket and its row.

        v τ² / 2 (1 - 1/m) + 1 / (2 m c̄)   for m ids of mean count c̄

    It is below that of the OOV row if and only if c̄ > c*, whatever m is.

    Args:
        ids: Integer m, the number of ids in the bucket.
        mean_count: Float c̄, rows of the log for each of them.
        base_rate: Float p in (0, 1), the fraction of clicks.
        logit_variance: Float τ², above 0.

    Returns:
        Float, nats for each row with one of the ids.

    Raises:
        ValueError: If an argument is outside its range.

    Example:

    ```python
    theory = keras_pss.planning.theory
    round(theory.bucket_loss(10, 5.0, 0.25, logit_variance=0.41), 4)  # 0.0446
    ```
    """
    shared = oov_row_loss(base_rate, logit_variance)
    sharing = positive_int("ids", ids)
    mean = float(positive_numbers("mean_count", mean_count))
    return shared * (1 - 1 / sharing) + 1 / (2 * sharing * mean)


def rounding_loss(bits: int, base_rate: float, logit_variance: float) -> float:
    """`v τ² / 2 · 16/3 · 4^-b`: the loss by rounding a row to b bits.

    The grid is even and covers ±4 τ. It costs .02 of what dropping the row
    does with 4 bits, and .0001 of it with 8 bits.

    Args:
        bits: Integer b, the bits of a number.
        base_rate: Float p in (0, 1), the fraction of clicks.
        logit_variance: Float τ², above 0.

    Returns:
        Float, nats for each row with the id.

    Raises:
        ValueError: If an argument is outside its range.

    Example:

    ```python
    theory = keras_pss.planning.theory
    round(theory.rounding_loss(4, 0.25, logit_variance=0.41), 5)  # 0.0008
    ```
    """
    shared = oov_row_loss(base_rate, logit_variance)
    return shared * 16 / 3 / 4 ** positive_int("bits", bits)
