"""Tensor ring embedding: a tensor train whose ends meet."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_pss.layers import core_shapes, initial_scale
from keras_pss.layers.core_embedding import CoreEmbedding
from keras_pss.layers.tables import Table
from keras_pss.ops import tensor_train

Tensor = Any

# Rows from which the initial scale is measured.
SAMPLE = 2048


@keras.saving.register_keras_serializable("keras_pss")
class TensorRingEmbedding(CoreEmbedding):
    """Rows that are traces of products of small matrices.

        E[i, j] = trace(G_1[i_1, j_1] G_2[i_2, j_2] ... G_D[i_D, j_D])

    with matrices of `r_{k-1} x r_k` and `r_0 = r_D`; the digits i_k of the id
    and j_k of the column are taken most significant first. Unlike in a tensor
    train no core is at an end, so a smaller rank does for all of them.

    Args:
        input_dim: n, the number of ids.
        output_dim: d, the length of a row.
        embeddings_initializer: Of the `(n, d)` table.
        embeddings_regularizer, embeddings_constraint: Of each core.
        mask_zero: As in `keras.layers.Embedding`.
        rank: r, one for all places where two cores meet, or r_0 to r_{D-1}.
        row_shape: The factors p of the rows, product at least n; or
            `"balanced"`, TT-Rec's; or `"min_params"`.
        column_shape: The factors q of the columns, product d; by default as
            equal as they come.
        num_cores: D, from 2, where `row_shape` does not give it. Default 3.
        **kwargs: `gradient`, `name`, `dtype`, `trainable`, ...

    Call arguments, input and output shape: see `CompressedEmbedding`.

    Memory: `Σ_k p_k r_{k-1} q_k r_k` parameters.

    Example:

    ```python
    layer = keras_pss.TensorRingEmbedding(1_000_000, 16, rank=8)
    layer(np.array([[3, 999_999]])).shape  # (1, 2, 16)
    ```

    References: Zhao et al., "Tensor ring decomposition" (2016), equation 1;
    the shapes of rows and columns are those of TT-Rec (Yin et al., MLSys
    2021).
    """

    sized_by = "rank"

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        *,
        rank: int | Sequence[int],
        row_shape: str | Sequence[int] = "balanced",
        column_shape: Sequence[int] | None = None,
        num_cores: int | None = None,
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
        self._cores = core_shapes.cores(
            input_dim,
            output_dim,
            rank,
            row_shape,
            column_shape,
            num_cores,
            ring=True,
        )
        self.row_shape = tuple(rows for rows, *_ in self._cores)
        self.column_shape = tuple(width for _, _, width, _ in self._cores)
        self.num_cores = len(self._cores)
        self.rank = rank if isinstance(rank, int) else tuple(rank)

    @classmethod
    def smallest_size(
        cls, input_dim: int, output_dim: int, **kwargs: Any
    ) -> int:
        cores = core_shapes.cores(input_dim, output_dim, 1, ring=True, **kwargs)
        return core_shapes.size(cores)

    @classmethod
    def arguments_within(
        cls, size: int, input_dim: int, output_dim: int, **kwargs: Any
    ) -> dict[str, Any]:
        def shapes(rank: Any) -> list[core_shapes.Core]:
            return core_shapes.cores(
                input_dim, output_dim, rank, ring=True, **kwargs
            )

        # Each core has a number of parameters that is rank² times some.
        largest = math.isqrt(size)
        return {"rank": core_shapes.largest_ranks(shapes, largest, size, True)}

    def tables(self) -> dict[str, Table]:
        sizes = [(p, left * q * right) for p, left, q, right in self._cores]
        std = self._core_std()
        fills = [
            initial_scale.scaled(self.embeddings_initializer, std, k)
            for k in range(self.num_cores)
        ]
        fills[-1] = self._normalized(fills, sizes)
        return {
            f"core{k}": Table(*size, fill)
            for k, (size, fill) in enumerate(zip(sizes, fills, strict=True))
        }

    def _core_std(self) -> float:
        """The sum of Π r products of D entries has the table's variance."""
        std = initial_scale.product_std(
            self.embeddings_initializer,
            self.input_dim,
            self.output_dim,
            self.name,
        )
        ranks = [left for _, left, *_ in self._cores]
        return (std**2 / math.prod(ranks)) ** (1 / (2 * self.num_cores))

    def _normalized(
        self, fills: list[Any], sizes: list[tuple[int, int]]
    ) -> Callable[..., Tensor]:
        """Draws the last core so that the rows' own variance is right.

        Few numbers make many rows: their variance can be far from its mean
        over draws. An initializer repeats its draw, so the other cores are
        known here.
        """
        std = initial_scale.table_std(
            self.embeddings_initializer, self.input_dim, self.output_dim
        )
        sample = np.random.RandomState(0).randint(0, self.input_dim, SAMPLE)

        def fill(shape: Sequence[int], dtype: Any = None) -> Tensor:
            cores = [
                draw(size) for draw, size in zip(fills, sizes, strict=True)
            ]
            digits = tensor_train.digits(
                ops.convert_to_tensor(sample.astype("int32")), self.row_shape
            )
            slices = [
                ops.take(core, digit, axis=0)
                for core, digit in zip(cores, digits, strict=True)
            ]
            rows = tensor_train.contract(slices, self._cores)
            found = ops.sqrt(ops.mean(ops.square(rows)))
            return ops.cast(cores[-1] * (std / found), dtype or "float32")

        fills = list(fills)
        return fill

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "rank": self.rank,
            "row_shape": self.row_shape,
            "column_shape": self.column_shape,
            "num_cores": self.num_cores,
        }
