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
    """Element-wise products of all pairs, after a linear map of one of them.

        y[i, j] = (e_i W) ∘ e_j  for i < j, the pairs (0, 1), (0, 2), ...

    Args:
        kind: Which pairs share a matrix W. `"interaction"`: none, each has
            its own; `"each"`: those of the same i; `"all"`: all of them.
        **kwargs: `name`, `dtype`, `trainable`.

    Call arguments:
        inputs: Feature vectors, float.

    Input shape: `(batch, F, d)`. Output shape: `(batch, F (F - 1) / 2, d)`.

    Parameters: d² a matrix, of which there are F (F - 1) / 2, F - 1 (the last
    field is no pair's first) or 1.

    Raises:
        ValueError: If `kind` is not one of the three, for a single field, and
            for inputs of another shape.

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
        # One matrix for all pairs serves any number of fields.
        self.weight_axes = (2,) if kind == "all" else (1, 2)

    def build(self, input_shape: Any) -> None:
        _, fields, dim = self.check_shape(input_shape)
        if fields < 2:
            raise ValueError(
                f"Layer '{self.name}' multiplies pairs of fields, so there "
                "must be at least two; the inputs are (batch, fields, dim). "
                f"Received: input_shape={tuple(input_shape)}"
            )
        self.built_for(input_shape)
        pairs = fields * (fields - 1) // 2
        count = {"interaction": pairs, "each": fields - 1, "all": 1}[self.kind]
        # Glorot's, of each matrix by itself.
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
        """For each i a matrix `(d, n d)`, or `(d, d)` for all its n pairs."""
        kernel = ops.convert_to_tensor(self.kernel)
        if self.kind == "all":
            return [kernel[0]] * (fields - 1)
        if self.kind == "each":
            return ops.unstack(kernel, axis=0)
        count, dim, _ = kernel.shape
        # (pairs, d, d) -> (d, pairs d), cut where i changes
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
    """`(b, F, d)` to `(b, pairs, d)`, with a matrix for each first field.

    One matrix product a field. Gathering both vectors of all pairs takes
    longer on TensorFlow, by half with their gradient.
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
