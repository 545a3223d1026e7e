"""Tensor-train embedding."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from keras_pss.layers import core_shapes, initial_scale
from keras_pss.layers.core_embedding import CoreEmbedding
from keras_pss.layers.tables import Table
from keras_pss.ops import tensor_train

Tensor = Any
GAUGES = ("balanced", "last_core")
SHAPES = ("balanced", "min_params")


@keras.saving.register_keras_serializable("keras_pss")
class TTEmbedding(CoreEmbedding):
    """A table as a train of small cores: `E[i, j] = Π_k G_k[i_k, j_k]`.

    `i_k` and `j_k` are the digits of the id and of the column, the most
    significant first; each `G_k[i_k, j_k]` is a matrix of `r_{k-1} x r_k`.

    The cores start with a scale at which the product has the standard
    deviation of the table that is replaced.

    Args:
        input_dim: n, the number of ids.
        output_dim: d, the length of a row; it is never rounded up.
        embeddings_initializer: Of the `(n, d)` table; TT-Rec uses the
            standard deviation `1 / sqrt(3 n)`.
        embeddings_regularizer, embeddings_constraint: Of each core.
        mask_zero: As in `keras.layers.Embedding`.
        rank: r, or the ranks between the cores. A single rank is cut at
            boundaries that cannot use it.
        row_shape: The factors p of the rows, product at least n; or
            `"balanced"`, TT-Rec's; or `"min_params"`, 2 to 4.5 times smaller
            at the same rank, with more sharing in the outer cores.
        column_shape: The factors q of the columns, product d; by default as
            equal as they come.
        num_cores: D, from 2, where `row_shape` does not give it. Default 3.
        gauge: `"balanced"`: the same scale in each core, for Adam and
            Adagrad. `"last_core"`: the last core carries the table's scale,
            so that a step of SGD moves a row as it moves a dense one.
        **kwargs: `name`, `dtype`, `trainable`, ...

    Call arguments, input and output shape: see `CompressedEmbedding`.

    Memory: `Σ_k p_k r_{k-1} q_k r_k` parameters.

    Example:

    ```python
    layer = keras_pss.TTEmbedding(10_131_227, 16, rank=16)
    layer.row_shape  # (200, 220, 250)
    layer(np.array([[3, 10_131_226]])).shape  # (1, 2, 16)
    ```

    References: Yin et al., "TT-Rec: tensor train compression for deep
    learning recommendation models" (MLSys 2021), equations 3 to 5.
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
        gauge: str = "balanced",
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
        if gauge not in GAUGES:
            raise ValueError(
                "`gauge` must be 'balanced' or 'last_core'. "
                f"Received: gauge={gauge!r}"
            )
        self.gauge = gauge
        self._cores = core_shapes.cores(
            input_dim, output_dim, rank, row_shape, column_shape, num_cores
        )
        self.row_shape = tuple(rows for rows, *_ in self._cores)
        self.column_shape = tuple(width for _, _, width, _ in self._cores)
        self.num_cores = len(self._cores)
        self.rank = rank if isinstance(rank, int) else tuple(rank)

    @classmethod
    def smallest_size(
        cls, input_dim: int, output_dim: int, **kwargs: Any
    ) -> int:
        cores = core_shapes.cores(input_dim, output_dim, 1, **kwargs)
        return core_shapes.size(cores)

    @classmethod
    def arguments_within(
        cls, size: int, input_dim: int, output_dim: int, **kwargs: Any
    ) -> dict[str, Any]:
        def shapes(rank: Any) -> list[core_shapes.Core]:
            return core_shapes.cores(input_dim, output_dim, rank, **kwargs)

        # No rank above the columns of the table's best split can be used.
        largest = input_dim * output_dim
        return {"rank": core_shapes.largest_ranks(shapes, largest, size)}

    def tables(self) -> dict[str, Table]:
        sizes = [(p, left * q * right) for p, left, q, right in self._cores]
        fills = [
            initial_scale.scaled(self.embeddings_initializer, std, k)
            for k, std in enumerate(self._core_stds())
        ]
        fills[-1] = self._normalized(fills, sizes)
        return {
            f"core{k}": Table(*size, fill)
            for k, (size, fill) in enumerate(zip(sizes, fills, strict=True))
        }

    def _normalized(
        self, fills: list[Any], sizes: list[tuple[int, int]]
    ) -> Callable[..., Tensor]:
        """Draws the last core so that the table's own variance is right.

        Few numbers make many rows: their variance can be far from its mean
        over draws. An initializer repeats its draw, so the other cores are
        known here.
        """
        std = initial_scale.table_std(
            self.embeddings_initializer, self.input_dim, self.output_dim
        )

        def fill(shape: Sequence[int], dtype: Any = None) -> Tensor:
            cores = [
                draw(size) for draw, size in zip(fills, sizes, strict=True)
            ]
            found = ops.sqrt(tensor_train.mean_square(cores, self._cores))
            return ops.cast(cores[-1] * (std / found), dtype or "float32")

        fills = list(fills)
        return fill

    def _core_stds(self) -> list[float]:
        """The sum of Π r products of D entries has the table's variance."""
        std = initial_scale.product_std(
            self.embeddings_initializer,
            self.input_dim,
            self.output_dim,
            self.name,
        )
        ranks = [right for *_, right in self._cores[:-1]]
        if self.gauge == "last_core":
            return [*(1 / math.sqrt(rank) for rank in ranks), std]
        each = (std**2 / math.prod(ranks)) ** (1 / (2 * self.num_cores))
        return [each] * self.num_cores

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "rank": self.rank,
            "row_shape": self.row_shape,
            "column_shape": self.column_shape,
            "num_cores": self.num_cores,
            "gauge": self.gauge,
        }
