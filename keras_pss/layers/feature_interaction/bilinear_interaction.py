"""FiBiNET's bilinear interaction."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_pss.layers.base.checks import one_of
from keras_pss.layers.feature_interaction.field_layer import FieldLayer

Tensor = Any
KINDS = ("interaction", "each", "all")


@keras.saving.register_keras_serializable("keras_pss")
class BilinearInteraction(FieldLayer):
    """Products of all pairs of feature vectors, the first mapped linearly.

        y[i, j] = (e_i W) ∘ e_j  for i < j, in the order (0, 1), (0, 2), ...

    Args:
        kind: Which pairs share a matrix W. `"interaction"` (the default):
            each pair has a separate matrix. `"each"`: pairs with the same i
            share one. `"all"`: all pairs share one.
        **kwargs: `name`, `dtype` and `trainable`.

    Call arguments:
        inputs: Float feature vectors.

    Input shape: `(batch, F, d)`. Output shape: `(batch, F (F - 1) / 2, d)`.

    Parameters: d² for each matrix. There are F (F - 1) / 2 matrices for
    `"interaction"`, F - 1 for `"each"` (no pair starts with the last field)
    and one for `"all"`.

    Raises:
        ValueError: If `kind` is unknown, if there is a single field, and if
            the inputs have another rank or an unknown F or d.

    Example:

    ```python
    layer = keras_pss.BilinearInteraction("each")
    layer(np.ones((4, 26, 16))).shape  # (4, 325, 16)
    layer.count_params()  # 6400
    ```

    References: Huang et al., "FiBiNET: Combining feature importance and
    bilinear feature interaction for click-through rate prediction" (RecSys
    2019), section 3.3.
    """

    known_axes = (1, 2)

    def __init__(self, kind: str = "interaction", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kind = one_of("kind", kind, KINDS)
        # A single matrix for all pairs fits any number of fields.
        self.weight_axes = (2,) if kind == "all" else (1, 2)

    def build(self, input_shape: Any) -> None:
        _, fields, dim = self.check_shape(input_shape)
        if fields < 2:
            raise ValueError(
                f"Layer '{self.name}' multiplies pairs of fields, so its "
                "inputs (batch, fields, dim) must have at least two fields. "
                f"Received: input_shape={tuple(input_shape)}"
            )
        self.built_for(input_shape)
        pairs = fields * (fields - 1) // 2
        count = {"interaction": pairs, "each": fields - 1, "all": 1}[self.kind]
        # Glorot uniform for each matrix, as Keras would take fans from the
        # 3-D shape.
        limit = math.sqrt(3 / dim)
        self.kernel = self.add_weight(
            shape=(count, dim, dim),
            initializer=keras.initializers.RandomUniform(-limit, limit),
            name="kernel",
        )
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        return bilinear_products(inputs, self._maps(inputs.shape[1]))

    def _maps(self, fields: int) -> list[Tensor]:
        """The matrices of each field i, which is the first of n pairs.

        Their shape is `(d, n d)`, or `(d, d)` if the pairs share a matrix.
        """
        kernel = ops.convert_to_tensor(self.kernel)
        if self.kind == "all":
            return [kernel[0]] * (fields - 1)
        if self.kind == "each":
            return ops.unstack(kernel, axis=0)
        count, dim, _ = kernel.shape
        # (pairs, d, d) -> (d, pairs d), split where i changes
        joined = ops.transpose(kernel, (1, 0, 2))
        joined = ops.reshape(joined, (dim, count * dim))
        ends = itertools.accumulate(range(fields - 1, 0, -1))
        cuts = [dim * end for end in ends][:-1]
        return ops.split(joined, cuts, axis=1) if cuts else [joined]

    def compute_output_shape(
        self, input_shape: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        batch, fields, dim = self.check_shape(input_shape)
        return batch, fields * (fields - 1) // 2, dim

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "kind": self.kind}


def bilinear_products(features: Tensor, maps: Sequence[Tensor]) -> Tensor:
    """Products of pairs: `(b, F, d)` to `(b, pairs, d)`.

    It computes one matrix product for each first field. On TensorFlow,
    gathering both vectors of all pairs takes 1.5 times as long with the
    gradient.
    """
    dim = features.shape[-1]
    rest, products = features, []
    for matrix in maps:
        first, rest = ops.split(rest, [1], axis=1)
        # (b, d) @ (d, n d) -> (b, n, d), or (b, 1, d)
        left = ops.matmul(ops.reshape(first, (-1, dim)), matrix)
        left = ops.reshape(left, (-1, matrix.shape[1] // dim, dim))
        products.append(left * rest)
    return ops.concatenate(products, axis=1)
