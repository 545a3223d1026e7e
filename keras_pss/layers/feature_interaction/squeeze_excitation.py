"""FiBiNET's squeeze-and-excitation network."""

from typing import Any

import keras
from keras import ops

from keras_pss.layers.base.checks import positive_int
from keras_pss.layers.feature_interaction.field_layer import FieldLayer

Tensor = Any


@keras.saving.register_keras_serializable("keras_pss")
class SqueezeExcitation(FieldLayer):
    """Multiplies each field by a weight that depends on all fields.

        z[i] = mean(e[i]);  a = relu(relu(z U) V);  y[i] = a[i] e[i]

    Args:
        reduction_ratio: Integer; U has `F // reduction_ratio` columns, but at
            least one. Defaults to 3.
        **kwargs: `name`, `dtype` and `trainable`.

    Call arguments:
        inputs: Float feature vectors.

    Input shape: `(batch, F, d)`. Output shape: `(batch, F, d)`.

    Parameters: 2 F max(1, F // reduction_ratio).

    Raises:
        ValueError: If `reduction_ratio` is not a positive integer, and if the
            inputs have another rank or an unknown F.

    Example:

    ```python
    layer = keras_pss.SqueezeExcitation(reduction_ratio=3)
    layer(np.ones((4, 26, 16))).shape  # (4, 26, 16)
    ```

    References: Huang et al., "FiBiNET: Combining feature importance and
    bilinear feature interaction for click-through rate prediction" (RecSys
    2019), section 3.2.
    """

    known_axes = (1,)
    weight_axes = (1,)

    def __init__(self, reduction_ratio: int = 3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.reduction_ratio = positive_int("reduction_ratio", reduction_ratio)

    def build(self, input_shape: Any) -> None:
        fields = self.built_for(input_shape)[1]
        width = max(1, fields // self.reduction_ratio)
        self.squeeze = self.add_weight(
            shape=(fields, width), initializer="glorot_uniform", name="squeeze"
        )
        self.excite = self.add_weight(
            shape=(width, fields), initializer="glorot_uniform", name="excite"
        )
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        means = ops.mean(inputs, axis=-1)  # (b, F, d) -> (b, F)
        hidden = ops.relu(ops.matmul(means, self.squeeze))
        weights = ops.relu(ops.matmul(hidden, self.excite))
        return inputs * ops.expand_dims(weights, -1)

    def compute_output_shape(
        self, input_shape: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        return self.check_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "reduction_ratio": self.reduction_ratio,
        }
