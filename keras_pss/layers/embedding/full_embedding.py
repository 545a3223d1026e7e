"""The uncompressed table: the baseline and the oracle of every method."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_pss.layers.base.compressed_embedding import CompressedEmbedding
from keras_pss.layers.base.tables import Table
from keras_pss.layers.fused.full_group import FullGroup
from keras_pss.layers.initial_values import table_scale

Tensor = Any


@keras.saving.register_keras_serializable("keras_pss")
class FullEmbedding(CompressedEmbedding):
    """One row for each id: `E[i] = W[i]`.

    It differs from `keras.layers.Embedding` in what an id out of range does
    (an error, never another row) and in its gradient, dense or sparse: Adam,
    Adagrad and RMSprop see the sum over the ids that occur several times in a
    batch.

    Args:
        input_dim, output_dim, embeddings_initializer, embeddings_regularizer,
            embeddings_constraint, mask_zero: As in `keras.layers.Embedding`.
        weights: The rows to start with, `(input_dim, output_dim)` numbers or
            a list of that one array. A config does not keep them.
        **kwargs: `gradient`, `name`, `dtype`, `trainable`, ...

    Call arguments, input and output shape: see `CompressedEmbedding`.

    Memory: `input_dim * output_dim` parameters, the variable `embeddings`.

    Raises:
        ValueError: For weights of another shape.

    Example:

    ```python
    layer = keras_pss.FullEmbedding(1000, 16)
    layer(np.array([[3, 999]])).shape  # (1, 2, 16)
    ```
    """

    compresses = False

    def __init__(
        self,
        input_dim: int | None,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        weights: Any = None,
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
        if weights is not None:
            start_with(self, weights)

    @property
    def embeddings(self) -> Any:
        """The variable of the rows, while they are floats."""
        return rows_variable(self)

    @classmethod
    def smallest_size(
        cls, input_dim: int, output_dim: int, **kwargs: Any
    ) -> int:
        return input_dim * output_dim

    @classmethod
    def arguments_within(
        cls, size: int, input_dim: int, output_dim: int, **kwargs: Any
    ) -> dict[str, Any]:
        return {}

    @classmethod
    def fuse(
        cls,
        input_dims: Sequence[Any],
        output_dim: int,
        numbers: Sequence[int],
        size: int | None = None,
        **kwargs: Any,
    ) -> FullGroup:
        return FullGroup(input_dims, output_dim, **kwargs)

    def tables(self) -> dict[str, Table]:
        shape = self.input_dim, self.output_dim
        fill = table_scale.table(self.embeddings_initializer, *shape)
        return {"embeddings": Table(*shape, fill)}

    def address(self, ids: Tensor) -> dict[str, Tensor]:
        return {"embeddings": ids}

    def combine(self, rows: dict[str, Tensor]) -> Tensor:
        return rows["embeddings"]


def start_with(layer: Any, weights: Any) -> None:
    """Builds a layer of one table of rows, and gives it these rows."""
    if isinstance(weights, list | tuple) and len(weights) == 1:
        (weights,) = weights
    rows = np.asarray(keras.ops.convert_to_numpy(weights))
    shape = layer.input_dim, layer.output_dim
    if rows.shape != shape:
        raise ValueError(
            "`weights` must be the rows that the layer starts with, of shape "
            f"(input_dim, output_dim) = {shape}. "
            f"Received: weights of shape {rows.shape}"
        )
    if layer.quantization_mode is not None:
        raise ValueError(
            "`weights` are floats, which a packed layer does not hold. Build "
            "the layer with a float dtype, then call `quantize`. "
            f"Received: dtype={layer.dtype_policy.name}"
        )
    layer.build()
    layer.embeddings_table.assign(rows)


def rows_variable(layer: Any) -> Any:
    """The variable of such a layer's rows."""
    if not layer.built:
        raise AttributeError(
            f"Layer '{layer.name}' has no `embeddings` before it is built. "
            "Call `build()`."
        )
    if layer.quantization_mode is not None:
        raise AttributeError(
            f"Layer '{layer.name}' is packed, so that no variable holds its "
            "rows. Read them with `materialize(ids)`."
        )
    return layer.embeddings_table
