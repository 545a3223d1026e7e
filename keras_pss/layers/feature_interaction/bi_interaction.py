"""Bi-interaction pooling."""

from typing import Any

import keras
from keras import ops

from keras_pss.layers.feature_interaction.field_layer import FieldLayer

Tensor = Any


@keras.saving.register_keras_serializable("keras_pss")
class BiInteraction(FieldLayer):
    """Sum of the element-wise products of all pairs of feature vectors.

        y[b] = Σ_{i<j} e[b, i] ∘ e[b, j] = ((Σ_i e[b, i])² - Σ_i e[b, i]²) / 2

    For two fields it is their element-wise product, as in generalized matrix
    factorization. In half precision the difference loses most of its
    significant digits; `dtype="float32"` avoids that in a mixed-precision
    model.

    Call arguments:
        inputs: Float feature vectors.

    Input shape: `(batch, F, d)`. Output shape: `(batch, d)`.

    Parameters: none.

    Raises:
        ValueError: If the inputs have another rank.

    Example:

    ```python
    keras_pss.BiInteraction()(np.ones((4, 26, 16))).shape  # (4, 16)
    ```

    References: He and Chua, "Neural factorization machines for sparse
    predictive analytics" (SIGIR 2017), equations 3 and 4.
    """

    def call(self, inputs: Tensor) -> Tensor:
        return pooled_products(inputs)

    def compute_output_shape(
        self, input_shape: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        batch, _, dim = self.check_shape(input_shape)
        return batch, dim


def pooled_products(features: Tensor) -> Tensor:
    """Sum of the products of all pairs: `(b, F, d)` to `(b, d)`."""
    total = ops.sum(features, axis=1)
    return 0.5 * (ops.square(total) - ops.sum(ops.square(features), axis=1))
