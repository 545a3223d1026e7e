"""Deep hash embedding: a network that turns an id's hashes into its row."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import keras
import numpy as np
from keras import activations, ops

from keras_pss.layers.base.checks import (
    fetched,
    non_negative_int,
    one_of,
    positive_int,
    positive_ints,
)
from keras_pss.layers.base.compressed_embedding import CompressedEmbedding
from keras_pss.layers.base.tables import Table
from keras_pss.layers.initial_values import draws, table_scale
from keras_pss.ops import hashing

Tensor = Any

# Values of a hash: few enough to be exact in float32.
LEVELS = 1_000_000
# Ids from which the initial scale is measured.
SAMPLE = 4096


@keras.saving.register_keras_serializable("keras_pss")
class DeepHashEmbedding(CompressedEmbedding):
    """No table at all: hashes of the id, and a network that learns to read.

        E[i] = network(x(i)),   x_k(i) = 2 h_k(i) / (10^6 - 1) - 1 in [-1, 1]

    for k < `num_hashes`; the network has the dense layers `hidden_units`, each
    with a bias and the activation, and a linear one of `output_dim`. Its size
    does not depend on the number of ids, its cost is that of the network for
    each id: the slowest method, and for its size among the best.

    Args:
        input_dim: n, the number of ids; None for an open vocabulary, where
            any non-negative id of 63 bits has a row.
        output_dim: d, the length of a row.
        embeddings_initializer: Of the `(n, d)` table: the last layer is
            scaled so that rows start around zero with its deviation.
        embeddings_regularizer, embeddings_constraint: Of kernels and biases.
        mask_zero: As in `keras.layers.Embedding`.
        hidden_units: Widths of the hidden layers.
        num_hashes: k, the inputs of the network.
        activation: Of the hidden layers.
        hash: `"pss1"`, or `"universal"`, the papers' family.
        seed: Of the hash, not of the initial values.
        **kwargs: `name`, `dtype`, `trainable`, ...

    Call arguments, input and output shape: see `CompressedEmbedding`.

    Memory: `Σ (inputs + 1) * outputs` of the dense layers, parameters.

    Example:

    ```python
    layer = keras_pss.DeepHashEmbedding(
        10_000_000, 16, hidden_units=[64, 64], num_hashes=64
    )
    layer(np.array([[3, 9_999_999]])).shape  # (1, 2, 16)
    ```

    References: Kang et al., "Learning to embed categorical features without
    embedding tables for recommendation" (KDD 2021), sections 4.1 and 4.2,
    without its batch normalisation.
    """

    open_vocabulary = True
    sized_by = "hidden_units"

    def __init__(
        self,
        input_dim: int | None,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        *,
        hidden_units: Sequence[int],
        num_hashes: int = 64,
        activation: Any = "mish",
        hash: str = "pss1",
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            input_dim,
            output_dim,
            embeddings_initializer,
            embeddings_regularizer,
            embeddings_constraint,
            mask_zero,
            **kwargs,
        )
        self.hidden_units = positive_ints("hidden_units", hidden_units)
        self.num_hashes = positive_int("num_hashes", num_hashes)
        self.activation = fetched("activation", activations.get, activation)
        self.hash = one_of("hash", hash, hashing.FAMILIES)
        self.seed = non_negative_int("seed", seed)

    @classmethod
    def smallest_size(
        cls, input_dim: int | None, output_dim: int, **kwargs: Any
    ) -> int:
        return _size(1, output_dim, kwargs.get("num_hashes"))

    @classmethod
    def arguments_within(
        cls, size: int, input_dim: int | None, output_dim: int, **kwargs: Any
    ) -> dict[str, Any]:
        """Two equal hidden layers, and as many hashes unless given."""
        hashes = kwargs.get("num_hashes")
        low, high = 1, size
        while low < high:
            middle = (low + high + 1) // 2
            fits = _size(middle, output_dim, hashes) <= size
            low, high = (middle, high) if fits else (low, middle - 1)
        return {"hidden_units": (low, low), "num_hashes": hashes or low}

    def _widths(self) -> list[tuple[int, int]]:
        """Inputs and outputs of each dense layer."""
        widths = [self.num_hashes, *self.hidden_units, self.output_dim]
        return list(pairwise(widths))

    def tables(self) -> dict[str, Table]:
        shapes = self._widths()
        fills = [
            # The input's variance is 1/3; an activation halves that of its
            # input, about.
            draws.scaled(
                self.embeddings_initializer,
                math.sqrt((2 if k else 3) / inputs),
                k,
            )
            for k, (inputs, _) in enumerate(shapes)
        ]
        zeros = keras.initializers.Zeros()
        tables = {}
        for k, (shape, fill) in enumerate(zip(shapes, fills, strict=True)):
            last = k == len(shapes) - 1
            tables[f"kernel{k}"] = Table(
                *shape, self._last(fills, kernel=True) if last else fill, True
            )
            tables[f"bias{k}"] = Table(
                1,
                shape[1],
                self._last(fills, kernel=False) if last else zeros,
                True,
            )
        return tables

    def _last(self, fills: list[Any], kernel: bool) -> Any:
        """Initial values of the last layer, from what the others give.

        Rows get the table's deviation around its mean: what else they have in
        common would be a bias that every id learns first.
        """
        table = table_scale.TableScale.of(self)
        count = max(2, min(SAMPLE, self.input_dim or SAMPLE))
        ids = np.arange(count, dtype="int32")

        def fill(shape: Sequence[int], dtype: Any = None) -> Tensor:
            table.check_products()
            # At the weights' dtype: another one would draw other numbers.
            kernels = [
                ops.cast(draw(shape, dtype), "float32")
                for draw, shape in zip(fills, self._widths(), strict=True)
            ]
            x = self._encoded(ops.convert_to_tensor(ids))
            for drawn in kernels[:-1]:
                x = self.activation(ops.matmul(x, drawn))
            rows = ops.matmul(x, kernels[-1])
            mean = ops.mean(rows, axis=0, keepdims=True)
            found = ops.sqrt(ops.mean(ops.square(rows - mean)))
            # A unit that is 0 for all ids gives no deviation to correct.
            scale = table.std / ops.where(found > 1e-6, found, 1.0)
            value = kernels[-1] * scale if kernel else table.mean - mean * scale
            return ops.cast(value, dtype or "float32")

        return fill

    def _encoded(self, ids: Tensor) -> Tensor:
        """Hashes of ids as floats in [-1, 1]: `(n,)` to `(n, k)`."""
        start = hashing.starts(
            ids,
            LEVELS,
            seed=self.seed,
            chunks=self.num_hashes,
            family=self.hash,
        )
        return ops.cast(start, "float32") * (2 / (LEVELS - 1)) - 1

    def lookup(self, ids: Tensor) -> Tensor:
        x = self._encoded(ids)
        last = len(self.hidden_units)
        for k in range(last + 1):
            kernel = self.whole_table(f"kernel{k}")
            x = ops.matmul(ops.cast(x, kernel.dtype), kernel)
            x = x + self.whole_table(f"bias{k}")
            if k < last:
                x = self.activation(x)
        return x

    def lookup_flops(self) -> int:
        return sum(2 * inputs * outputs for inputs, outputs in self._widths())

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "hidden_units": self.hidden_units,
            "num_hashes": self.num_hashes,
            "activation": activations.serialize(self.activation),
            "hash": self.hash,
            "seed": self.seed,
        }


def _size(width: int, output_dim: int, num_hashes: int | None) -> int:
    """Parameters with two hidden layers of a width."""
    inputs = num_hashes or width
    return (inputs + 1 + width + 1) * width + (width + 1) * output_dim
