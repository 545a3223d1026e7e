"""Tensor train embedding."""

import math
from collections.abc import Sequence
from typing import Any

import keras

from keras_pss.layers.base.checks import one_of
from keras_pss.layers.base.tensor_cores import CoreEmbedding
from keras_pss.ops.fitting import tensor_train as tt_svd
from keras_pss.ops.fitting.trained_table import TrainedTable
from keras_pss.ops.methods import tensor_train

Tensor = Any
GAUGES = ("balanced", "last_core")


@keras.saving.register_keras_serializable("keras_pss")
class TTEmbedding(CoreEmbedding):
    """A table in tensor train format, as a product of small cores.

        E[i, j] = G_1[i_1, j_1] G_2[i_2, j_2] ... G_D[i_D, j_D]

    i_k and j_k are the digits of the id and of the column, most significant
    first. Each G_k[i_k, j_k] is a matrix of shape (r_{k-1}, r_k), with
    `r_0 = r_D = 1`.

    The initial scale of the cores is such that the table has the standard
    deviation that `embeddings_initializer` gives.

    Args:
        input_dim: Integer n, the number of ids.
        output_dim: Integer d, the length of a row; it is never rounded up.
        embeddings_initializer: Initializer of the uncompressed `(n, d)` table.
            TT-Rec uses the standard deviation `1 / sqrt(3 n)`. Defaults to
            `"uniform"`.
        embeddings_regularizer: Regularizer of each core.
        embeddings_constraint: Constraint of each core.
        mask_zero: Boolean, whether id 0 is padding, as in
            `keras.layers.Embedding`. Defaults to False.
        rank: Integer, the rank at all boundaries between cores, or a list of
            the ranks r_1 to r_{D-1}. A single rank is lowered at boundaries
            where it exceeds the largest useful rank.
        row_shape: Factors p_k of the rows, whose product is at least n;
            `"balanced"` (the default), as in TT-Rec; or `"min_params"`, which
            has 2 to 4.5 times fewer parameters at the same rank, with more
            sharing in the outer cores.
        column_shape: Factors q_k of the columns, whose product is d. Defaults
            to factors that are as equal as possible.
        num_cores: Integer D, at least 2. Defaults to the number of given
            factors, else to 3.
        gauge: How the scale is divided among the cores. `"balanced"` (the
            default): all cores have the same scale, which suits Adam and
            Adagrad. `"last_core"`: the last core carries the table's scale,
            so that a step of SGD moves a row by as much as in an uncompressed
            table.
        core_initializer: Distribution of the entries of the cores, whose
            scale follows from `embeddings_initializer`: `"uniform"` (the
            default), or `"sampled_gaussian"`, which is TT-Rec's algorithm 3:
            normally distributed numbers beyond two standard deviations, so
            that fewer entries of the table start near zero.
        **kwargs: Further arguments of the layer, such as `name`, `dtype` and
            `trainable`.

    Call arguments, input and output shape: see `CompressedEmbedding`.

    Memory: `Σ_k p_k r_{k-1} q_k r_k` parameters.

    Raises:
        ValueError: If the factors or ranks do not match each other or the
            shape of the table.

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

    def fit_to(self, tables: Sequence[TrainedTable]) -> None:
        (table,) = tables
        found = tt_svd.cores(table, self._cores, self.gauge == "last_core")
        for k, core in enumerate(found):
            getattr(self, f"core{k}_table").assign(core)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "gauge": self.gauge}
