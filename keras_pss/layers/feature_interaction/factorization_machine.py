"""The second-order part of a factorization machine."""

from typing import Any

import keras
from keras import ops

from keras_pss.layers.feature_interaction.bi_interaction import pooled_products
from keras_pss.layers.feature_interaction.field_layer import FieldLayer

Tensor = Any


@keras.saving.register_keras_serializable("keras_pss")
class FactorizationMachine(FieldLayer):
    """Sum of the inner products of all pairs of feature vectors.

        y[b] = Σ_{i<j} e[b, i] · e[b, j]

    It takes time O(F d). The note of `BiInteraction` on half precision applies
    here as well.

    Call arguments:
        inputs: Float feature vectors.

    Input shape: `(batch, F, d)`. Output shape: `(batch, 1)`.

    Parameters: none.

    Raises:
        ValueError: If the inputs have another rank.

    Example:

    ```python
    machine = keras_pss.FactorizationMachine()
    machine(np.ones((4, 26, 16))).shape  # (4, 1)
    ```

    References: Rendle, "Factorization machines" (ICDM 2010), equation 1 and
    lemma 3.1.
    """

    def call(self, inputs: Tensor) -> Tensor:
        return ops.sum(pooled_products(inputs), axis=-1, keepdims=True)

    def compute_output_shape(
        self, input_shape: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        return self.check_shape(input_shape)[0], 1
