"""Tensor ring embedding: a tensor train with connected ends."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_pss.layers.base.tensor_cores import CoreEmbedding
from keras_pss.ops.methods import tensor_train

Tensor = Any

# Number of rows on which the initial scale is measured.
SAMPLE = 2048


@keras.saving.register_keras_serializable("keras_pss")
class TensorRingEmbedding(CoreEmbedding):
    """The elements of a row are traces of products of small matrices.

        E[i, j] = trace(G_1[i_1, j_1] G_2[i_2, j_2] ... G_D[i_D, j_D])

    with matrices of shape (r_{k-1}, r_k) and `r_0 = r_D`. i_k and j_k are the
    digits of the id and of the column, most significant first. Unlike in a
    tensor train, no core is at an end with rank 1, so a smaller rank is
    sufficient.

    Args:
        input_dim: Integer n, the number of ids.
        output_dim: Integer d, the length of a row.
        embeddings_initializer: Initializer of the uncompressed `(n, d)` table.
            Defaults to `"uniform"`.
        embeddings_regularizer: Regularizer of each core.
        embeddings_constraint: Constraint of each core.
        mask_zero: Boolean, whether id 0 is padding, as in
            `keras.layers.Embedding`. Defaults to False.
        rank: Integer, the rank at all boundaries between cores, or a list of
            the ranks r_0 to r_{D-1}.
        row_shape: Factors p_k of the rows, whose product is at least n;
            `"balanced"` (the default), as in TT-Rec; or `"min_params"`, the
            factors with the fewest parameters.
        column_shape: Factors q_k of the columns, whose product is d. Defaults
            to factors that are as equal as possible.
        num_cores: Integer D, at least 2. Defaults to the number of given
            factors, else to 3.
        core_initializer: Distribution of the entries of the cores, whose
            scale follows from `embeddings_initializer`: `"uniform"` (the
            default), or `"sampled_gaussian"`, which is TT-Rec's algorithm 3:
            normally distributed numbers beyond two standard deviations, so
            that fewer entries of the table start near zero.
        **kwargs: Further arguments of the layer, such as `gradient`, `name`,
            `dtype` and `trainable`.

    Call arguments, input and output shape: see `CompressedEmbedding`.

    Memory: `Σ_k p_k r_{k-1} q_k r_k` parameters.

    Raises:
        ValueError: If the factors or ranks do not match each other or the
            shape of the table.

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

    def check_fits(self) -> None:
        raise NotImplementedError(
            "A tensor ring has no stable closed-form fit to a trained table. "
            "Fit a keras_pss.TTEmbedding of the same ranks, which TT-SVD does. "
            f"Received: fit_table of layer '{self.name}'"
        )
