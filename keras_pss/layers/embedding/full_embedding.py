"""The uncompressed table: the baseline and reference of every method."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_pss.layers.base.compressed_embedding import CompressedEmbedding
from keras_pss.layers.base.tables import Table
from keras_pss.layers.fused.full_group import FullGroup
from keras_pss.layers.initial_values import table_scale
from keras_pss.ops.fitting.trained_table import TrainedTable
from keras_pss.ops.fitting.variables import copy_rows

Tensor = Any


@keras.saving.register_keras_serializable("keras_pss")
class FullEmbedding(CompressedEmbedding):
    """An uncompressed table with one row for each id.

        E[i] = W[i]

    It differs from `keras.layers.Embedding` in two ways. An out-of-range id is
    an error and never reads another row. And in dense and sparse gradients
    alike, the gradients of duplicate ids in a batch are summed before Adam,
    Adagrad or RMSprop applies them.

    Args:
        input_dim: Integer n, the number of ids.
        output_dim: Integer d, the length of a row.
        embeddings_initializer, embeddings_regularizer, embeddings_constraint:
            As in `keras.layers.Embedding`.
        mask_zero: Boolean, whether id 0 is padding, as in
            `keras.layers.Embedding`. Defaults to False.
        weights: Initial rows, an array of shape `(input_dim, output_dim)` or a
            list that contains it. The layer's config does not include them.
            Defaults to None.
        **kwargs: Further arguments of the layer, such as `gradient`, `name`,
            `dtype` and `trainable`.

    Call arguments, input and output shape: see `CompressedEmbedding`.

    Memory: `input_dim * output_dim` parameters, the variable `embeddings`.

    Raises:
        ValueError: If `weights` have another shape.

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
        """The variable that holds the rows, unless the layer is packed."""
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

    def fit_to(self, tables: Sequence[TrainedTable]) -> None:
        copy_rows(self.embeddings_table, tables)


def start_with(layer: Any, weights: Any) -> None:
    """Builds a layer that has one table, and assigns the table's rows."""
    if isinstance(weights, list | tuple) and len(weights) == 1:
        (weights,) = weights
    rows = np.asarray(keras.ops.convert_to_numpy(weights))
    shape = layer.input_dim, layer.output_dim
    if rows.shape != shape:
        raise ValueError(
            "`weights` must be the initial rows of the layer, of shape "
            f"(input_dim, output_dim) = {shape}. "
            f"Received: weights of shape {rows.shape}"
        )
    if layer.quantization_mode is not None:
        raise ValueError(
            "`weights` are floats, which a packed layer cannot hold. Create "
            "the layer with a float dtype, then call `quantize`. "
            f"Received: dtype={layer.dtype_policy.name}"
        )
    layer.build()
    layer.embeddings_table.assign(rows)


def rows_variable(layer: Any) -> Any:
    """The variable that holds the rows of a layer with one table.

    Raises:
        AttributeError: If the layer is not built, or is packed.
    """
    if not layer.built:
        raise AttributeError(
            f"Layer '{layer.name}' has no `embeddings` before it is built. "
            "Call `build()` first."
        )
    if layer.quantization_mode is not None:
        raise AttributeError(
            f"Layer '{layer.name}' is packed, so no variable holds its rows. "
            "Compute them by `materialize(ids)`."
        )
    return layer.embeddings_table
