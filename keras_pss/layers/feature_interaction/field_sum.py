"""The sum of the vectors of all fields."""

from typing import Any

import keras
from keras import ops

from keras_pss.layers.feature_interaction.field_layer import FieldLayer

Tensor = Any


@keras.saving.register_keras_serializable("keras_pss")
class FieldSum(FieldLayer):
    """Sum of the feature vectors of all fields.

        y[b] = Σ_i e[b, i]

    With vectors of length 1 it is the first-order part of a factorization
    machine, `Σ_i w_i`.

    Call arguments:
        inputs: Float feature vectors.

    Input shape: `(batch, F, d)`. Output shape: `(batch, d)`.

    Parameters: none.

    Raises:
        ValueError: If the inputs have another rank.

    Example:

    ```python
    keras_pss.FieldSum()(np.ones((4, 26, 1))).shape  # (4, 1)
    ```

    References: Rendle, "Factorization machines" (ICDM 2010), equation 1.
    """

    def call(self, inputs: Tensor) -> Tensor:
        return ops.sum(inputs, axis=1)

    def compute_output_shape(
        self, input_shape: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        batch, _, dim = self.check_shape(input_shape)
        return batch, dim
