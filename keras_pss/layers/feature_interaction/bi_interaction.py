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

    For two fields it is their element-wise product, the layer of generalized
    matrix factorization. Half precision loses most digits of the difference;
    `dtype="float32"` keeps them within a mixed-precision model.

    Call arguments:
        inputs: Feature vectors, float.

    Input shape: `(batch, F, d)`. Output shape: `(batch, d)`.

    Raises:
        ValueError: For inputs of another shape.

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
    """`(b, F, d)` to the `(b, d)` sum of the products of all pairs."""
    total = ops.sum(features, axis=1)
    return 0.5 * (ops.square(total) - ops.sum(ops.square(features), axis=1))
