"""The transform of dense features as a layer."""

from typing import Any

import keras
import numpy as np

from keras_pss.ops.dense_transform import transform_dense
from keras_pss.serving.raw_rows.layers.raw_layer import RawLayer, spec


@keras.saving.register_keras_serializable("keras_pss")
class TransformedNumbers(RawLayer):
    """The transform of `keras_pss.ops.dense_transform`.

    Args:
        logarithmic: List of booleans, whether each number has a logarithm.
        mean: List of numbers that are subtracted.
        deviation: List of numbers by which is divided.

    Call arguments:
        parts: List of numbers float32, (batch,) or (batch, size), which are
            joined.

    Returns:
        float32 (batch, n).
    """

    def __init__(
        self,
        logarithmic: list[bool],
        mean: list[float],
        deviation: list[float],
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.logarithmic = tuple(logarithmic)
        self.mean = tuple(mean)
        self.deviation = tuple(deviation)

    def call(self, parts: Any) -> Any:
        import tensorflow as tf

        parts = [x[:, None] if x.shape.rank == 1 else x for x in parts]
        numbers = tf.concat(parts, 1)
        return transform_dense(
            numbers,
            np.array(self.logarithmic, bool),
            np.array(self.mean, np.float32),
            np.array(self.deviation, np.float32),
        )

    def compute_output_spec(self, parts: Any) -> Any:
        return spec(parts[0], width=(len(self.mean),))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "logarithmic": list(self.logarithmic),
            "mean": list(self.mean),
            "deviation": list(self.deviation),
        }
