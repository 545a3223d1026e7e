"""Tensor-train embedding."""

import math
from collections.abc import Sequence
from typing import Any

import keras

from keras_pss.layers.base.checks import one_of
from keras_pss.layers.base.tensor_cores import CoreEmbedding
from keras_pss.ops import tensor_train

Tensor = Any
GAUGES = ("balanced", "last_core")


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
        core_initializer: Distribution of the entries of the cores, whose
            scale follows from `embeddings_initializer`. `"uniform"`, or
            `"sampled_gaussian"`, TT-Rec's algorithm 3: normal numbers beyond
            two standard deviations, so that fewer entries of the table start
            near zero.
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
    learning recommendation models" (MLSys 2021), equations 3 to 5, and
    algorithm 3 for the sampled Gaussian.
    """

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
        self.gauge = one_of("gauge", gauge, GAUGES)
        self._set_cores(
            rank, row_shape, column_shape, num_cores, core_initializer
        )

    def mean_square(self, cores: Sequence[Tensor]) -> Tensor:
        return tensor_train.mean_square(cores, self._cores)

    def core_stds(self, std: float) -> list[float]:
        ranks = [right for *_, right in self._cores[:-1]]
        if self.gauge == "last_core":
            return [*(1 / math.sqrt(rank) for rank in ranks), std]
        each = (std**2 / math.prod(ranks)) ** (1 / (2 * self.num_cores))
        return [each] * self.num_cores

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "gauge": self.gauge}
