"""Deep hash embedding: a network computes a row from hashes of the id."""

import math
from collections.abc import Sequence
from functools import partial
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
from keras_pss.layers.base.fitting.pretrained_table import PretrainedTable
from keras_pss.layers.base.tables import Table
from keras_pss.layers.initial_values import draws, table_scale
from keras_pss.layers.initial_values.stored import weights_are_fitted
from keras_pss.ops import hashing
from keras_pss.ops.fitting import last_layer
from keras_pss.ops.fitting.trained_table import TrainedTable
from keras_pss.ops.methods.chain import Chain, result

Tensor = Any

# Number of values of a hash, which float32 represents exactly.
LEVELS = 1_000_000
# Number of ids on which the initial scale is measured.
SAMPLE = 4096


@keras.saving.register_keras_serializable("keras_pss")
class DeepHashEmbedding(CompressedEmbedding):
    """A dense network computes each row from hashes of the id, with no table.

        E[i] = network(x(i)),   x_k(i) = 2 h_k(i) / (10^6 - 1) - 1 in [-1, 1]

    for k < `num_hashes`. The network has a dense layer for each number of
    `hidden_units`, with a bias and the activation, and a linear layer of
    `output_dim` units. Its size does not depend on the number of ids. Every
    lookup runs the network, so this is the slowest method; for its size it is
    among the most accurate.

    Args:
        input_dim: Integer n, the number of ids; None for an open vocabulary,
            in which every non-negative 63-bit id is valid.
        output_dim: Integer d, the length of a row.
        embeddings_initializer: Initializer of the uncompressed `(n, d)` table.
            The last layer is scaled so that the rows start with its mean and
            standard deviation. Defaults to `"uniform"`.
        embeddings_regularizer: Regularizer of kernels and biases.
        embeddings_constraint: Constraint of kernels and biases.
        mask_zero: Boolean, whether id 0 is padding, as in
            `keras.layers.Embedding`. Defaults to False.
        hidden_units: Sequence of integers, the widths of the hidden layers.
        num_hashes: Integer, the number of inputs of the network. Defaults to
            64.
        activation: Activation of the hidden layers. Defaults to `"mish"`.
        hash: Hash family, `"pss1"` (the default) or `"universal"`, which is
            the family used in the papers.
        seed: Integer seed of the hash function. It does not affect
            initialization. Defaults to 0.
        **kwargs: Further arguments of the layer, such as `name`, `dtype` and
            `trainable`.

    Call arguments, input and output shape: see `CompressedEmbedding`.

    Memory: `Σ (inputs + 1) * outputs` parameters, summed over the dense
    layers.

    Example:

    ```python
    layer = keras_pss.DeepHashEmbedding(
        10_000_000, 16, hidden_units=[64, 64], num_hashes=64
    )
    layer(np.array([[3, 9_999_999]])).shape  # (1, 2, 16)
    ```

    References: Kang et al., "Learning to embed categorical features without
    embedding tables for recommendation" (KDD 2021), sections 4.1 and 4.2,
    without batch normalization.
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
        """Two hidden layers of equal width, and by default as many hashes."""
        hashes = kwargs.get("num_hashes")
        low, high = 1, size
        while low < high:
            middle = (low + high + 1) // 2
            fits = _size(middle, output_dim, hashes) <= size
            low, high = (middle, high) if fits else (low, middle - 1)
        return {"hidden_units": (low, low), "num_hashes": hashes or low}

    def _widths(self) -> list[tuple[int, int]]:
        """Numbers of inputs and outputs of each dense layer."""
        widths = [self.num_hashes, *self.hidden_units, self.output_dim]
        return list(pairwise(widths))

    def tables(self) -> dict[str, Table]:
        shapes = self._widths()
        fills = [
            # The variance of the inputs is 1/3. An activation roughly halves
            # the mean square of its input.
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
        """Initializer of the last layer, which depends on the other layers.

        It gives the rows the mean and standard deviation of the table. Without
        it, rows would share an arbitrary offset, which training would have to
        remove first.
        """
        table = table_scale.TableScale.of(self)
        count = max(2, min(SAMPLE, self.input_dim or SAMPLE))
        ids = np.arange(count, dtype="int32")

        def fill(shape: Sequence[int], dtype: Any = None) -> Tensor:
            table.check_products()
            # Draw in the weights' dtype: another one would give other values.
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
            # Avoid division by zero if the output is 0 for all ids.
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

    def computes_once(self, ids: Tensor) -> bool:
        return True

    def chain(self) -> Chain:
        """The dense layers, with the activation before each but the first."""
        layers = range(len(self.hidden_units) + 1)
        names = [f"{kind}{k}" for k in layers for kind in ("kernel", "bias")]

        def stage(k: int, weights: Sequence[Tensor], x: Tensor) -> Tensor:
            kernel, bias = weights[2 * k : 2 * k + 2]
            x = self.activation(x) if k else self._encoded(x)
            return ops.matmul(ops.cast(x, kernel.dtype), kernel) + bias

        return Chain(
            tuple(partial(stage, k) for k in layers),
            tuple(self.whole_table(name) for name in names),
        )

    def lookup(self, ids: Tensor) -> Tensor:
        return self.chain()(ids)

    def _features(self, ids: Tensor) -> Tensor:
        """The inputs of the last layer."""
        chain = self.chain()
        x = result(chain.stages[:-1], chain.weights, ids)
        return self.activation(x) if self.hidden_units else self._encoded(ids)

    def build(self, input_shape: Any = None) -> None:
        if isinstance(self.embeddings_initializer, PretrainedTable):
            raise ValueError(
                "A PretrainedTable determines no hidden layers. Create the "
                "layer with another initializer, then call `fit_table`. "
                "Received: embeddings_initializer=PretrainedTable(...)"
            )
        # A fit keeps the hidden layers as they are drawn.
        with weights_are_fitted(False):
            super().build(input_shape)

    def fit_to(self, tables: Sequence[TrainedTable]) -> None:
        (table,) = tables

        def features(ids: np.ndarray) -> np.ndarray:
            given = ops.convert_to_tensor(ids.astype(np.int32))
            return np.asarray(ops.convert_to_numpy(self._features(given)))

        kernel, bias = last_layer.fitted(table, features)
        last = len(self.hidden_units)
        getattr(self, f"kernel{last}_table").assign(kernel)
        getattr(self, f"bias{last}_table").assign(bias)

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
    """Number of parameters with two hidden layers of the same width."""
    inputs = num_hashes or width
    return (inputs + 1 + width + 1) * width + (width + 1) * output_dim
