"""The cross layer of DCN V2, with a weight matrix."""

from typing import Any

import keras
from keras import ops

from keras_pss.layers.base.checks import positive_int
from keras_pss.layers.feature_interaction.field_layer import CrossLayer

Tensor = Any


@keras.saving.register_keras_serializable("keras_pss")
class MatrixCross(CrossLayer):
    """Multiplies each input element by a linear function of all elements.

        y[b] = x0[b] ∘ (W x[b] + v) + x[b],   W = U Vᵀ if `rank` is given

    Args:
        rank: Integer, the number of columns of U and V. It saves parameters if
            it is below k / 2. Defaults to None, for a full matrix W.
        **kwargs: `name`, `dtype` and `trainable`.

    Call arguments:
        x0: Float inputs of the first layer of the stack.
        x: Output of the previous layer; x0 for the first layer.

    Input shape: `(batch, k)` for both. Output shape: `(batch, k)`.

    Parameters: k² + k, or 2 k rank + k if `rank` is given.

    Raises:
        ValueError: If `rank` is neither None nor a positive integer, and if
            the inputs differ in shape, are not 2-D or have an unknown k.

    Example:

    ```python
    x0 = np.ones((4, 429))
    cross = keras_pss.MatrixCross(rank=64)
    cross(x0, x0).shape  # (4, 429)
    cross.count_params()  # 55341
    ```

    References: Wang et al., "DCN V2: Improved deep & cross network and
    practical lessons for web-scale learning to rank systems" (WWW 2021),
    equation 1, and equation 2 for the low rank.
    """

    def __init__(self, rank: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rank = None if rank is None else positive_int("rank", rank)

    def build(self, x0_shape: Any, x_shape: Any) -> None:
        width = self.built_for(x0_shape, x_shape)
        shapes = {"kernel": (width, width)}
        if self.rank is not None:
            shapes = {"v": (width, self.rank), "u": (self.rank, width)}
        self.kernels = [
            self.add_weight(shape=shape, initializer="glorot_uniform", name=k)
            for k, shape in shapes.items()
        ]
        self.bias = self.add_weight(
            shape=(width,), initializer="zeros", name="bias"
        )
        self.built = True

    def call(self, x0: Tensor, x: Tensor) -> Tensor:
        y = x
        for kernel in self.kernels:  # (b, k) -> (b, rank) -> (b, k)
            y = ops.matmul(y, kernel)
        return x0 * (y + self.bias) + x

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rank": self.rank}
