"""A table that is trained in the low precision in which it is served."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_pss.layers.base.checks import non_negative_int, one_of
from keras_pss.layers.base.compressed_embedding import CompressedEmbedding
from keras_pss.layers.base.packable import one_scale_policy
from keras_pss.layers.base.tables import Table
from keras_pss.layers.embedding.full_embedding import rows_variable, start_with
from keras_pss.layers.initial_values import table_scale
from keras_pss.ops import rounding
from keras_pss.ops.fitting.trained_table import TrainedTable
from keras_pss.ops.fitting.variables import copy_rows
from keras_pss.ops.packing import OwnGrid, Packing

Tensor = Any


@keras.saving.register_keras_serializable("keras_pss")
class QuantizedEmbedding(CompressedEmbedding):
    """One row for each id, with elements on a grid of 16, 8 or 4 bits.

        E[i] = s_i Q[i],   s_i = max |E[i]| / 127 (int8) or / 7 (int4)

    with integer codes Q. With `storage="float16"` the elements are float16
    numbers.

    After each optimizer step every row is rounded back to its grid. Stochastic
    rounding goes up or down at random and is unbiased, so that updates smaller
    than the grid spacing are not lost. Rows that the step did not change
    remain the same, bit for bit. The trained weights are therefore the served
    ones: `quantize("int8")` packs them to this layer's storage without loss.
    `quantize("int4")` packs any storage to four bits, which is lossless with
    `storage="int4"`.

    Training takes the memory of the full table: Keras' optimizers update
    floats, so the weights are stored as float32 until they are packed. Each
    step rounds the whole table, as each step of Keras' Adam updates the whole
    table. Rounding follows `embeddings_constraint`. A constraint or weight
    decay that changes every row causes every row to be rounded again.

    Args:
        input_dim: Integer n, the number of ids.
        output_dim: Integer d, the length of a row.
        embeddings_initializer: Initializer of the `(n, d)` table, whose values
            are rounded to the nearest grid points. Defaults to `"uniform"`.
        embeddings_regularizer, embeddings_constraint: As in
            `keras.layers.Embedding`.
        mask_zero: Boolean, whether id 0 is padding, as in
            `keras.layers.Embedding`. Defaults to False.
        weights: Initial rows, as in `FullEmbedding`, which are rounded to the
            nearest grid points. Defaults to None.
        storage: `"float16"`, `"int8"` (the default) or `"int4"`.
        seed: Integer seed of the stochastic rounding. It does not affect
            initialization. Defaults to 0.
        **kwargs: Further arguments of the layer, such as `gradient`, `name`,
            `dtype` and `trainable`.

    Call arguments, input and output shape: see `CompressedEmbedding`.

    Memory: `input_dim * output_dim` parameters in training. A packed row takes
    `2 * output_dim` bytes (float16), `output_dim + 4` (int8) or
    `ceil(output_dim / 2) + 4` (int4). A budget counts these bytes, four per
    parameter, and selects the widest storage that fits.

    Raises:
        ValueError: If `storage` is unknown, if `weights` have another shape,
            or if the dtype of the weights is not float32.
        NotImplementedError: For `quantize("int4")` with a block size, since
            each row was trained on the grid of a single scale.

    Example:

    ```python
    layer = keras_pss.QuantizedEmbedding(10_000, 64, storage="int4")
    layer(np.array([[3, 9_999]])).shape  # (1, 2, 64)
    layer.memory_report().serving_bytes_int8  # 360000
    ```

    References: Gupta et al., "Deep learning with limited numerical precision"
    (ICML 2015), section 3 (stochastic rounding); Guan et al., "Post-training
    4-bit quantization on embedding tables" (2019) for a scale each row.
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        weights: Any = None,
        *,
        storage: str = "int8",
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
        self.storage = one_of("storage", storage, rounding.STORAGES)
        self.seed = non_negative_int("seed", seed)
        if self.variable_dtype != "float32":
            raise ValueError(
                "QuantizedEmbedding rounds float32 weights, which hold every "
                "number of its grids. Use dtype='float32', 'mixed_bfloat16' "
                f"or 'mixed_float16'. Received: dtype={self.dtype_policy.name}"
            )
        if weights is not None:
            start_with(self, weights)
            table = self.embeddings_table
            table.assign(rounding.nearest(table, self.storage))

    @property
    def embeddings(self) -> Any:
        """The variable that holds the rows, unless the layer is packed."""
        return rows_variable(self)

    @classmethod
    def smallest_size(
        cls,
        input_dim: int,
        output_dim: int,
        *,
        storage: str | None = None,
        **kwargs: Any,
    ) -> int:
        storages = rounding.STORAGES if storage is None else (storage,)
        return min(_size(input_dim, output_dim, each) for each in storages)

    @classmethod
    def arguments_within(
        cls,
        size: int,
        input_dim: int,
        output_dim: int,
        *,
        storage: str | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        storages = rounding.STORAGES if storage is None else (storage,)
        sizes = {s: _size(input_dim, output_dim, s) for s in storages}
        return {"storage": next(s for s in storages if sizes[s] <= size)}

    def tables(self) -> dict[str, Table]:
        shape = self.input_dim, self.output_dim
        draw = table_scale.table(self.embeddings_initializer, *shape)

        def fill(shape: tuple[int, int], dtype: Any = None) -> Tensor:
            return rounding.nearest(draw(shape, dtype), self.storage)

        return {"embeddings": Table(*shape, fill, constraint=self._rounded)}

    def _rounded(self, table: Tensor) -> Tensor:
        """The constraint of the weight, which rounds it after each step."""
        if self.embeddings_constraint is not None:
            table = self.embeddings_constraint(table)
        return rounding.stochastic(table, self.storage, self.seed)

    def address(self, ids: Tensor) -> dict[str, Tensor]:
        return {"embeddings": ids}

    def combine(self, rows: dict[str, Tensor]) -> Tensor:
        return rows["embeddings"]

    def fit_to(self, tables: Sequence[TrainedTable]) -> None:
        def rounded(rows: np.ndarray) -> np.ndarray:
            given = ops.convert_to_tensor(rows.astype(np.float32))
            found = rounding.nearest(given, self.storage)
            return np.asarray(ops.convert_to_numpy(found))

        copy_rows(self.embeddings_table, tables, rounded)

    def budget_size(self) -> int:
        return _size(self.input_dim, self.output_dim, self.storage)

    def packing(self, mode: str, size: int, whole: bool = False) -> Packing:
        return OwnGrid("int4" if mode == "int4" else self.storage)

    def packed_policy(self, mode: str, config: Any) -> Any:
        return one_scale_policy(self, mode, config, "one scale for each row")

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "storage": self.storage,
            "seed": self.seed,
        }


def _size(input_dim: int, output_dim: int, storage: str) -> int:
    """Size of the packed layer in parameters of four bytes, rounded up."""
    return -(-rounding.packed_bytes(input_dim, output_dim, storage) // 4)
