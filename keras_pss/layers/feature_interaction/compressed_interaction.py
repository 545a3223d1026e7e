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
    """Stacked products with the inputs, compressed to feature maps each time.

        x_k[h] = f(Σ_{i,j} W_k[i, j, h] x_{k-1}[i] ∘ x_0[j])
        y = concat_k(Σ_t x_k[:, t])

    where `x_0` are the F feature vectors, and t runs over their d elements.

    Args:
        units: Sequence of integers, the number of feature maps of each layer;
            `units[k - 1]` belongs to layer k.
        split_half: Boolean. If True (the default), the first half of a layer's
            maps is passed to the next layer and the second half to the
            output, as in DeepCTR; all maps of the last layer are passed to the
            output. If False, all maps are passed to both, as in the paper.
        activation: Activation f. Defaults to `"relu"`, as in DeepCTR; the
            paper found `"linear"` best.
        **kwargs: `name`, `dtype` and `trainable`.

    Call arguments:
        inputs: Float feature vectors.

    Input shape: `(batch, F, d)`. Output shape: `(batch, sum(units))`, in which
    a split layer counts half.

    Parameters: Σ_k F H_{k-1} units[k - 1], where H_k is the number of maps
    that layer k passes to the next layer, and H_0 = F. There are no biases, as
    in the paper. In training, layer k stores
    `batch · d · H_{k-1} min(F, units[k - 1])` intermediate numbers.

    Raises:
        ValueError: If `units` is empty or has odd numbers that must be halved,
            and if the inputs have another rank or an unknown F or d.

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
                "`units` must have a number for at least one layer. "
                "Received: units=()"
            )
        if split_half and any(width % 2 for width in self.units[:-1]):
            raise ValueError(
                "`units` must be even in all layers except the last, since "
                "`split_half=True` halves them. Use even numbers, or "
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
    """Sums over d of the output maps: `(b, F, d)` to `(b, n)`."""
    _, fields, dim = features.shape
    # (b, F, d) -> (b d, F), since products of vectors are element-wise
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
    """Computes `Σ_{i,j} maps[:, i] base[:, j] kernel[i F + j]`.

    The result has shape `(n, units)`. The order of the sums is the one with
    fewer intermediate numbers. The products are matrix products with an inner
    dimension of 1, since on TensorFlow's CPU their gradient is much faster
    than that of a broadcast multiplication.
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
