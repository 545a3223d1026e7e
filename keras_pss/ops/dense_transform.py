"""The transform of dense features, for pipelines and for raw rows alike.

It runs in TensorFlow whatever Keras' backend is, because it belongs to the
reading of data: to a `tf.data` pipeline or to a SavedModel of raw rows.
"""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import tensorflow as tf


def transform_dense(
    numbers: "tf.Tensor",
    logarithmic: npt.NDArray[np.bool_],
    mean: npt.NDArray[np.float32],
    deviation: npt.NDArray[np.float32],
) -> "tf.Tensor":
    """Transforms filled and clipped numbers.

        y = (t(x) - mean) / deviation,  t(x) = log(1 + x) or x

    A column that is not standardized has mean 0 and deviation 1. A deviation
    of 0, that of a constant column, counts as 1.

    Args:
        numbers: Numbers, float32 (B, n).
        logarithmic: Mask of the columns with a logarithm, (n,).
        mean: Subtracted from each column, (n,).
        deviation: Each column is divided by it, (n,), at least 0.

    Returns:
        float32 (B, n).
    """
    import tensorflow as tf

    if logarithmic.all():
        numbers = tf.math.log1p(numbers)
    elif logarithmic.any():
        # The other columns may hold numbers that have no logarithm.
        inside = tf.where(logarithmic, numbers, tf.zeros_like(numbers))
        numbers = tf.where(logarithmic, tf.math.log1p(inside), numbers)
    divisor = np.where(deviation == 0, 1, deviation).astype(np.float32)
    if mean.any() or (divisor != 1).any():
        numbers = (numbers - mean.astype(np.float32)) / divisor
    return numbers
