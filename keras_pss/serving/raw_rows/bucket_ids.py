"""Ids of the buckets of numbers."""

from typing import Any

import keras

from keras_pss.serving.raw_rows.raw_layer import RawLayer, spec


@keras.saving.register_keras_serializable("keras_pss")
class BucketIds(RawLayer):
    """Ids of the buckets of numbers: 1 + the number of borders <= x.

    A missing number has id 0; `keras.layers.Discretization` puts it into the
    last bucket.

    Args:
        borders: List of sorted numbers, which are float32.

    Call arguments:
        numbers: float32, NaN where they are missing.
    """

    def __init__(self, borders: list[float], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.borders = tuple(borders)

    def call(self, numbers: Any) -> Any:
        import tensorflow as tf

        borders = tf.constant(self.borders, tf.float32)
        ids = 1 + tf.searchsorted(borders, numbers, side="right")
        return tf.where(tf.math.is_nan(numbers), 0, ids)

    def compute_output_spec(self, numbers: Any) -> Any:
        return spec(numbers, "int32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "borders": list(self.borders)}
