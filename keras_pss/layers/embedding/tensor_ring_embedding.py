"""Tensor ring embedding: a tensor train whose ends meet."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_pss.layers.base.tensor_cores import CoreEmbedding
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
        core_initializer: Distribution of the entries of the cores, whose
            scale follows from `embeddings_initializer`. `"uniform"`, or
            `"sampled_gaussian"`, TT-Rec's algorithm 3: normal numbers beyond
            two standard deviations, so that fewer entries of the table start
            near zero.
        **kwargs: `gradient`, `name`, `dtype`, `trainable`, ...

    Call arguments, input and output shape: see `CompressedEmbedding`.

    Memory: `Σ_k p_k r_{k-1} q_k r_k` parameters.

    Example:

    ```python
    layer = keras_pss.TensorRingEmbedding(1_000_000, 16, rank=8)
    layer(np.array([[3, 999_999]])).shape  # (1, 2, 16)
    ```

    References: Zhao et al., "Tensor ring decomposition" (2016), equation 1;
    the shapes of rows and columns and the sampled Gaussian are those of TT-Rec
    (Yin et al., MLSys 2021).
    """

    ring = True

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
        core_initializer: str = "uniform",
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
        self._set_cores(
            rank, row_shape, column_shape, num_cores, core_initializer
        )

    def core_stds(self, std: float) -> list[float]:
        ranks = [left for _, left, *_ in self._cores]
        each = (std**2 / math.prod(ranks)) ** (1 / (2 * self.num_cores))
        return [each] * self.num_cores

    def mean_square(self, cores: Sequence[Tensor]) -> Tensor:
        sample = np.random.RandomState(0).randint(0, self.input_dim, SAMPLE)
        digits = tensor_train.digits(
            ops.convert_to_tensor(sample.astype("int32")), self.row_shape
        )
        slices = [
            ops.take(core, digit, axis=0)
            for core, digit in zip(cores, digits, strict=True)
        ]
        rows = tensor_train.contract(slices, self._cores)
        return ops.mean(ops.square(rows))
