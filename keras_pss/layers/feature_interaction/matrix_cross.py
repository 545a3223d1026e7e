"""A cross layer of the second deep & cross network."""

from typing import Any

import keras
from keras import ops

from keras_pss.layers.base.checks import positive_int
from keras_pss.layers.feature_interaction.field_layer import CrossLayer

Tensor = Any


@keras.saving.register_keras_serializable("keras_pss")
class MatrixCross(CrossLayer):
    """Multiplies each input by a number of its own that depends on all.

        y[b] = x0[b] ∘ (W x[b] + v) + x[b],   W = U Vᵀ with a rank

    Args:
        rank: Columns of U and V; None for a full matrix W. It saves
            parameters below k / 2.
        **kwargs: `name`, `dtype`, `trainable`.

    Call arguments:
        x0: What the first layer of the stack reads, float.
        x: What the layer before put out; x0 itself for the first one.

    Input shape: `(batch, k)`, twice. Output shape: `(batch, k)`.

    Parameters: k² + k, or 2 k rank + k.

    Raises:
        ValueError: If `rank` is neither None nor a positive integer, and for
            inputs of other shapes.

    Example:

    ```python
    x0 = np.ones((4, 429))
    cross = keras_pss.MatrixCross(rank=64)
    cross(x0, x0).shape  # (4, 429)
    cross.count_params()  # 55341
    ```

    References: Wang et al., "DCN V2: Improved deep & cross network and
    practical lessons for web-scale learning to rank systems" (WWW 2021),
    equation 1, and 2 for the low rank.
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
