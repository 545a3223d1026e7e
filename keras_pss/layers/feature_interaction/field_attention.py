"""AutoInt's interacting layer."""

from typing import Any

import keras
from keras import ops

from keras_pss.layers.base.checks import positive_int
from keras_pss.layers.feature_interaction.field_layer import FieldLayer

Tensor = Any


@keras.saving.register_keras_serializable("keras_pss")
class FieldAttention(FieldLayer):
    """Multi-head self-attention over the fields.

        α_h[i, j] = softmax_j((Q_h e_i) · (K_h e_j))
        y_i = relu(concat_h(Σ_j α_h[i, j] V_h e_j) + R e_i)

    As in the paper, the scores are not divided by the square root of
    `head_dim`, and there are no biases and no normalization.

    Args:
        num_heads: Integer H, the number of heads. Defaults to 2.
        head_dim: Integer, the length of a head's queries, keys and values,
            which is d' in the paper. Defaults to 32.
        **kwargs: `name`, `dtype` and `trainable`.

    Call arguments:
        inputs: Float feature vectors.

    Input shape: `(batch, F, d)`. Output shape: `(batch, F, H head_dim)`.

    Parameters: 4 d H head_dim.

    Raises:
        ValueError: If an argument is not a positive integer, and if the inputs
            have another rank or an unknown F or d.

    Example:

    ```python
    layer = keras_pss.FieldAttention(num_heads=2, head_dim=32)
    layer(np.ones((4, 26, 16))).shape  # (4, 26, 64)
    ```

    References: Song et al., "AutoInt: Automatic feature interaction learning
    via self-attentive neural networks" (CIKM 2019), equations 5 to 8.
    """

    known_axes = (1, 2)
    weight_axes = (2,)

    def __init__(
        self, num_heads: int = 2, head_dim: int = 32, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.num_heads = positive_int("num_heads", num_heads)
        self.head_dim = positive_int("head_dim", head_dim)

    def build(self, input_shape: Any) -> None:
        dim = self.built_for(input_shape)[2]
        shape = (dim, self.num_heads * self.head_dim)
        self.query, self.key, self.value, self.residual = (
            self.add_weight(
                shape=shape, initializer="glorot_uniform", name=name
            )
            for name in ("query", "key", "value", "residual")
        )
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        fields = inputs.shape[1]
        heads = (-1, fields, self.num_heads, self.head_dim)
        # (b, F, d) -> (b, F, h, k) with h heads
        query, key, value = (
            ops.reshape(ops.matmul(inputs, kernel), heads)
            for kernel in (self.query, self.key, self.value)
        )
        scores = ops.einsum("bihk,bjhk->bhij", query, key)
        mixed = ops.einsum("bhij,bjhk->bihk", ops.softmax(scores), value)
        # (b, F, h, k) -> (b, F, h k)
        width = self.num_heads * self.head_dim
        mixed = ops.reshape(mixed, (-1, fields, width))
        return ops.relu(mixed + ops.matmul(inputs, self.residual))

    def compute_output_shape(
        self, input_shape: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        batch, fields, _ = self.check_shape(input_shape)
        return (batch, fields, self.num_heads * self.head_dim)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "head_dim": self.head_dim,
        }
