"""Adagrad with one number of state for each row."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_pss.optimizers.checks import check_positive
from keras_pss.optimizers.row_optimizer import RowOptimizer

Tensor = Any


@keras.saving.register_keras_serializable("keras_pss")
class RowwiseAdagrad(RowOptimizer):
    """Row-wise Adagrad: one sum of squares for each row of a table.

        s_i <- s_i + mean_j(G_ij²)
        w_i <- w_i - η G_i / (√s_i + ε)

    for the rows i whose gradient G_i, summed over the batch, is not zero; s
    starts at 0. The state of a table of n rows is n numbers, where Adagrad
    keeps `n * width` and Adam twice as many.

    It is the mean of the squares that is added, and ε is outside of the root.
    Keras' Adagrad has √(s + ε) with s = 0.1 at the start, for each number, so
    its learning rates do not carry over: the first step of a row here has a
    root mean square of η, whatever the gradient's size.

    Args:
        learning_rate: Float η, or a Keras schedule. Defaults to 0.01.
        epsilon: Positive float ε. Defaults to 1e-8.
        **kwargs: Further arguments, see `RowOptimizer`: `weight_decay`,
            `clipnorm`, `clipvalue`, `global_clipnorm`, `loss_scale_factor`,
            `gradient_accumulation_steps` and `name`.

    State: `mean_square`, of shape `(rows,)`, for each table.

    Raises:
        ValueError: As `RowOptimizer`, and if `epsilon` is not positive.

    Example:

    ```python
    ids = keras.Input((26,), dtype="int32")
    rows = keras_pss.FullEmbedding(100_000, 16)(ids)
    click = keras.layers.Dense(1)(keras.layers.Flatten()(rows))
    model = keras.Model(ids, click)
    tables = keras_pss.optimizers.RowwiseAdagrad(0.02)
    model.compile(keras_pss.optimizers.for_tables(model, tables), "mse")
    ```

    References:
        Duchi et al., "Adaptive subgradient methods for online learning and
        stochastic optimization" (2011). `EXACT_ROWWISE_ADAGRAD` of FBGEMM
        (Khudia et al., 2021) and TorchRec; `RWSAdagrad` of
        facebookresearch/dlrm. Weight decay is FBGEMM's decoupled mode.
    """

    def __init__(
        self, learning_rate: Any = 0.01, epsilon: float = 1e-8, **kwargs: Any
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        check_positive("epsilon", epsilon)
        self.epsilon = epsilon

    def slot_shapes(self, shape: Sequence[int]) -> dict[str, tuple[int, ...]]:
        return {"mean_square": (shape[0],)}

    def row_step(
        self,
        gradient: Tensor,
        rows: Tensor,
        slots: Sequence[Tensor],
        learning_rate: Tensor,
    ) -> tuple[Tensor, list[Tensor]]:
        (total,) = slots
        total = total + ops.mean(ops.square(gradient), axis=1)  # (u,)
        step = learning_rate / (ops.sqrt(total) + self.epsilon)
        return rows - ops.expand_dims(step, 1) * gradient, [total]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "epsilon": self.epsilon}
