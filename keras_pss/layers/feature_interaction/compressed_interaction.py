"""xDeepFM's compressed interaction network."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_pss.layers.base.checks import (
    boolean,
    fetched,
    positive_ints,
)
from keras_pss.layers.feature_interaction.field_layer import FieldLayer

Tensor = Any


@keras.saving.register_keras_serializable("keras_pss")
class CompressedInteraction(FieldLayer):
    """Products of more and more fields, compressed to some maps after each.

        x_k[h] = f(Σ_{i,j} W_k[i, j, h] x_{k-1}[i] ∘ x_0[j])
        y = concat_k(Σ_t x_k[:, t])

    with `x_0` the F feature vectors, and t counting their d elements.

    Args:
        units: Maps of each layer, `units[k - 1]` of layer k.
        split_half: The first half of a layer's maps goes on to the next layer
            and the second half to the output, as in DeepCTR; the last layer's
            all go to the output. False, as in the paper: all go to both.
        activation: f. `"relu"` is DeepCTR's; the paper found `"linear"` best.
        **kwargs: `name`, `dtype`, `trainable`.

    Call arguments:
        inputs: Feature vectors, float.

    Input shape: `(batch, F, d)`. Output shape: `(batch, sum(units))`, where a
    split layer counts half.

    Parameters: Σ_k F H_{k-1} units[k - 1], where H_k maps of layer k go on,
    and H_0 = F. No biases, as in the paper. Training keeps
    `batch · d · H_{k-1} min(F, units[k - 1])` numbers of a layer.

    Raises:
        ValueError: If `units` is empty or holds what cannot be halved, and
            for inputs of another shape.

    Example:

    ```python
    layer = keras_pss.CompressedInteraction((200, 200, 200))
    layer(np.ones((4, 26, 16))).shape  # (4, 400)
    layer.count_params()  # 1175200
    ```

    References: Lian et al., "xDeepFM: Combining explicit and implicit feature
    interactions for recommender systems" (KDD 2018), equations 6 and 7.
    """

    known_axes = (1, 2)
    weight_axes = (1,)

    def __init__(
        self,
        units: Sequence[int],
        split_half: bool = True,
        activation: Any = "relu",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = positive_ints("units", units)
        self.split_half = boolean("split_half", split_half)
        self.activation = fetched(
            "activation", keras.activations.get, activation
        )
        if not self.units:
            raise ValueError(
                "`units` must hold the width of at least one layer. "
                "Received: units=()"
            )
        if split_half and any(width % 2 for width in self.units[:-1]):
            raise ValueError(
                "`units` must be even in all layers but the last, which "
                "`split_half=True` halves; pass even ones, or "
                f"`split_half=False`. Received: units={self.units}"
            )

    def build(self, input_shape: Any) -> None:
        fields = self.built_for(input_shape)[1]
        kept = [
            width // 2 if self.split_half else width for width in self.units
        ]
        self.kernels = [
            self.add_weight(
                shape=(maps * fields, width),
                initializer="glorot_uniform",
                name=f"kernel_{index}",
            )
            for index, (maps, width) in enumerate(
                zip((fields, *kept[:-1]), self.units, strict=True)
            )
        ]
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        return compressed(
            inputs, self.kernels, self.split_half, self.activation
        )

    def compute_output_shape(
        self, input_shape: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        *inner, last = self.units
        share = 2 if self.split_half else 1
        batch = self.check_shape(input_shape)[0]
        return batch, sum(inner) // share + last

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "split_half": self.split_half,
            "activation": keras.activations.serialize(self.activation),
        }


def compressed(
    features: Tensor, kernels: Sequence[Tensor], split_half: bool, f: Any
) -> Tensor:
    """`(b, F, d)` to `(b, n)`: sums over d of the maps that are put out."""
    _, fields, dim = features.shape
    # (b, F, d) -> (b d, F): a product of vectors is one of their elements
    base = ops.reshape(ops.transpose(features, (0, 2, 1)), (-1, fields))
    maps, pooled = base, []
    for index, kernel in enumerate(kernels):
        maps = out = f(_layer(maps, base, kernel))
        if split_half and index < len(kernels) - 1:
            maps, out = ops.split(maps, 2, axis=-1)
        out = ops.reshape(out, (-1, dim, out.shape[-1]))
        pooled.append(ops.sum(out, axis=1))
    return ops.concatenate(pooled, axis=-1)


def _layer(maps: Tensor, base: Tensor, kernel: Tensor) -> Tensor:
    """`Σ_{i,j} maps[:, i] base[:, j] kernel[i F + j]` of shape `(n, units)`.

    In the order that keeps fewer numbers. Products are matrix products of
    depth 1: on TensorFlow's CPU their gradient is much faster than that of a
    broadcast multiplication.
    """
    (_, count), (_, fields) = maps.shape, base.shape
    width = kernel.shape[-1]
    if fields <= width:
        # (n, H, 1) @ (n, 1, F), then (n, H F) @ (H F, units)
        products = ops.matmul(
            ops.reshape(maps, (-1, count, 1)),
            ops.reshape(base, (-1, 1, fields)),
        )
        products = ops.reshape(products, (-1, count * fields))
        return ops.matmul(products, kernel)
    # (n, F) @ (F, H units), then (n, 1, H) @ (n, H, units)
    kernel = ops.reshape(kernel, (count, fields, width))
    kernel = ops.reshape(ops.transpose(kernel, (1, 0, 2)), (fields, -1))
    inner = ops.reshape(ops.matmul(base, kernel), (-1, count, width))
    out = ops.matmul(ops.reshape(maps, (-1, 1, count)), inner)
    return ops.reshape(out, (-1, width))
