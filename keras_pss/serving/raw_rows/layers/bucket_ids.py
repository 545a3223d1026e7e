"""Ids of the buckets of numbers."""

from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from keras_pss.serving.raw_rows.layers.numbers import clipped
from keras_pss.serving.raw_rows.layers.raw_layer import RawLayer, spec


@keras.saving.register_keras_serializable("keras_pss")
class BucketIds(RawLayer):
    """Ids of the buckets of numbers: 1 + the number of borders <= x.

    The comparison is that of numbers that were rounded to float32. A missing
    number has id 0, where `keras.layers.Discretization` puts it into the last
    bucket.

    Args:
        borders: List of sorted numbers, which are float32.
        minimum: Smaller numbers become this one. Default: no limit.
        maximum: Larger numbers become this one. Default: no limit.

    Call arguments:
        numbers: float64, NaN where they are missing.
    """

    def __init__(
        self,
        borders: list[float],
        minimum: float | None = None,
        maximum: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.borders = tuple(borders)
        self.minimum = minimum
        self.maximum = maximum
        self._least = least(np.array(borders, np.float32))

    def call(self, numbers: Any) -> Any:
        import tensorflow as tf

        numbers = clipped(numbers, self.minimum, self.maximum)
        ids = 1 + tf.searchsorted(self._least, numbers, side="right")
        return tf.where(tf.math.is_nan(numbers), 0, ids)

    def compute_output_spec(self, numbers: Any) -> Any:
        return spec(numbers, "int32")

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "borders": list(self.borders),
            "minimum": self.minimum,
            "maximum": self.maximum,
        }


def least(borders: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """The least float64 numbers that float32 rounds to a border or above.

    TensorFlow takes float32 numbers below 1.2e-38 for 0, so it must not do
    the rounding.
    """
    with np.errstate(over="ignore"):
        below = np.nextafter(borders, np.float32(-np.inf)).astype(np.float64)
    # The number halfway goes to the one with the even last bit.
    half = (below + borders.astype(np.float64)) / 2
    rounds_up = half.astype(np.float32) >= borders
    found = np.where(rounds_up, half, np.nextafter(half, np.inf))
    # Numbers below the least float32 become the least one.
    return np.where(np.isinf(below), -np.inf, found)
