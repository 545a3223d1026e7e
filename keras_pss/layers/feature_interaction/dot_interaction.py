"""DLRM's dot interaction."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_pss.layers.feature_interaction.field_layer import FieldLayer
from keras_pss.ops import columns

Tensor = Any


@keras.saving.register_keras_serializable("keras_pss")
class DotInteraction(FieldLayer):
    """Inner products of all pairs of feature vectors.

        z[b] = (x[b, i] · x[b, j]  for i in 0 .. F-1, j < i)

    Call arguments:
        inputs: Float feature vectors.

    Input shape: `(batch, F, d)`. Output shape: `(batch, F (F - 1) / 2)`, the
    strict lower triangle of the Gram matrix, row by row.

    Parameters: none.

    Raises:
        ValueError: If the inputs have another rank or an unknown F.

    Example:

    ```python
    keras_pss.DotInteraction()(np.ones((4, 27, 16))).shape  # (4, 351)
    ```

    References: Naumov et al., "Deep learning recommendation model for
    personalization and recommendation systems" (2019), section 2.1.2.
    """

    known_axes = (1,)

    def call(self, inputs: Tensor) -> Tensor:
        features = inputs.shape[1]
        gram = ops.matmul(inputs, ops.transpose(inputs, (0, 2, 1)))
        flat = ops.reshape(gram, (-1, features**2))
        row, column = np.tril_indices(features, -1)
        lower = (row * features + column).tolist()
        return columns.choose(flat, lower, features**2)

    def compute_output_shape(
        self, input_shape: tuple[Any, ...]
    ) -> tuple[int | None, int]:
        batch, features, _ = self.check_shape(input_shape)
        return batch, features * (features - 1) // 2
