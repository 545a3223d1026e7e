"""The cross layer of the deep & cross network (DCN), with a weight vector."""

from typing import Any

import keras
from keras import ops

from keras_pss.layers.feature_interaction.field_layer import CrossLayer

Tensor = Any


@keras.saving.register_keras_serializable("keras_pss")
class VectorCross(CrossLayer):
    """Multiplies the inputs by a scalar that is a linear function of them.

        y[b] = x0[b] (x[b] · w) + v + x[b]

    The outputs of a stack of l layers contain products of up to l + 1 input
    elements.

    Call arguments:
        x0: Float inputs of the first layer of the stack.
        x: Output of the previous layer; x0 for the first layer.

    Input shape: `(batch, k)` for both. Output shape: `(batch, k)`.

    Parameters: 2k, the kernel w and the bias v.

    Raises:
        ValueError: If the inputs differ in shape, are not 2-D or have an
            unknown k.

    Example:

    ```python
    x0 = np.ones((4, 429))
    keras_pss.VectorCross()(x0, x0).shape  # (4, 429)
    ```

    References: Wang et al., "Deep & cross network for ad click predictions"
    (ADKDD 2017), equation 3.
    """

    def build(self, x0_shape: Any, x_shape: Any) -> None:
        width = self.built_for(x0_shape, x_shape)
        self.kernel = self.add_weight(
            shape=(width, 1), initializer="glorot_uniform", name="kernel"
        )
        self.bias = self.add_weight(
            shape=(width,), initializer="zeros", name="bias"
        )
        self.built = True

    def call(self, x0: Tensor, x: Tensor) -> Tensor:
        # (b, k) @ (k, 1) -> (b, 1), one number for each row of x0
        return x0 * ops.matmul(x, self.kernel) + self.bias + x
