"""MEMCom: ids share rows, and each id has its own multiplier."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import keras

from keras_pss.layers.base.checks import boolean, positive_int
from keras_pss.layers.base.compressed_embedding import CompressedEmbedding
from keras_pss.layers.base.tables import Table
from keras_pss.layers.initial_values import table_scale
from keras_pss.ops.fitting import scaled_rows, variables
from keras_pss.ops.fitting.trained_table import TrainedTable

Tensor = Any


@keras.saving.register_keras_serializable("keras_pss")
class MEMComEmbedding(CompressedEmbedding):
    """Rows shared by several ids, with a separate multiplier for each id.

        E[i] = V[i] U[i mod m] + b[i]

    with `m = num_buckets`; b exists only with `bias=True`. V starts at 1 and
    b at 0, so that initially ids of the same bucket have the same row.

    The method works best if ids are sorted by frequency, because no two of
    the m most frequent ids then share a row of U.

    Args:
        input_dim: Integer n, the number of ids.
        output_dim: Integer d, the length of a row.
        embeddings_initializer: Initializer of the uncompressed `(n, d)` table.
            Defaults to `"uniform"`.
        embeddings_regularizer: Regularizer of U, V and b.
        embeddings_constraint: Constraint of U, V and b.
        mask_zero: Boolean, whether id 0 is padding, as in
            `keras.layers.Embedding`. Defaults to False.
        num_buckets: Integer m, the number of rows of U; at most n.
        bias: Boolean, whether each id has a learned bias, which is added to
            all elements of its row. Defaults to False.
        **kwargs: Further arguments of the layer, such as `gradient`, `name`,
            `dtype` and `trainable`.

    Call arguments, input and output shape: see `CompressedEmbedding`.

    Memory: `num_buckets * output_dim + input_dim` parameters, and another
    `input_dim` with a bias; always more than 1/d of the table.

    Example:

    ```python
    layer = keras_pss.MEMComEmbedding(1_000_000, 64, num_buckets=20_000)
    layer(np.array([[3, 999_999]])).shape  # (1, 2, 64)
    ```

    References: Pansare et al., "Learning compressed embeddings for on-device
    inference" (MLSys 2022).
    """

    sized_by = "num_buckets"

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        *,
        num_buckets: int,
        bias: bool = False,
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
        self.num_buckets = positive_int("num_buckets", num_buckets, input_dim)
        self.bias = boolean("bias", bias)

    @classmethod
    def smallest_size(
        cls,
        input_dim: int,
        output_dim: int,
        *,
        bias: bool = False,
        **kwargs: Any,
    ) -> int:
        return output_dim + input_dim * (1 + bias)

    @classmethod
    def arguments_within(
        cls,
        size: int,
        input_dim: int,
        output_dim: int,
        *,
        bias: bool = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        rows = (size - input_dim * (1 + bias)) // output_dim
        return {"num_buckets": min(rows, input_dim)}

    def tables(self) -> dict[str, Table]:
        given, shape = (
            self.embeddings_initializer,
            (self.input_dim, self.output_dim),
        )
        fill = (
            table_scale.table(given, *shape)
            if self.num_buckets == self.input_dim
            else table_scale.shared_rows(given, *shape, self.name)
        )
        tables = {
            "shared": Table(self.num_buckets, self.output_dim, fill),
            "scale": Table(self.input_dim, 1, keras.initializers.Ones()),
        }
        if self.bias:
            zeros = keras.initializers.Zeros()
            tables["bias"] = Table(self.input_dim, 1, zeros)
        return tables

    def address(self, ids: Tensor) -> dict[str, Tensor]:
        bucket = ids - ids // self.num_buckets * self.num_buckets
        own = {"scale": ids, "bias": ids} if self.bias else {"scale": ids}
        return {"shared": bucket, **own}

    def combine(self, rows: dict[str, Tensor]) -> Tensor:
        scaled = rows["shared"] * rows["scale"]
        return scaled + rows["bias"] if self.bias else scaled

    def fit_to(self, tables: Sequence[TrainedTable]) -> None:
        (table,) = tables
        with ExitStack() as stack:
            write = {
                name: stack.enter_context(
                    variables.filling(getattr(self, f"{name}_table"))
                )
                for name in self.tables()
            }
            scaled_rows.fit(
                table,
                self.num_buckets,
                write["shared"],
                write["scale"],
                write.get("bias"),
            )

    def lookup_flops(self) -> int:
        return self.output_dim * (1 + self.bias)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_buckets": self.num_buckets,
            "bias": self.bias,
        }
