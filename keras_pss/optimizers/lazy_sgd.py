"""SGD whose momentum changes for the rows of a batch alone."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_pss.optimizers.checks import check_share
from keras_pss.optimizers.row_optimizer import RowOptimizer

Tensor = Any


@keras.saving.register_keras_serializable("keras_pss")
class LazySGD(RowOptimizer):
    """SGD with the momentum of the batch's rows.

        m_i <- μ m_i - η G_i
        w_i <- w_i + m_i,  or  w_i + μ m_i - η G_i  with Nesterov's momentum

    for the rows i whose gradient G_i, summed over the batch, is not zero.
    Keras' SGD with momentum also moves the other rows, by momentum that it
    decays at each step, which takes time in proportion to the table. Without
    momentum the two are equal, and there is no state.

    Args:
        learning_rate: Float η, or a Keras schedule. Defaults to 0.01.
        momentum: Float μ in [0, 1). Defaults to 0.
        nesterov: Boolean, whether momentum is Nesterov's. Defaults to False.
        **kwargs: Further arguments, see `RowOptimizer`: `weight_decay`,
            `clipnorm`, `clipvalue`, `global_clipnorm`, `loss_scale_factor`,
            `gradient_accumulation_steps` and `name`.

    State: `momentum`, of the shape of each table; nothing for μ = 0.

    Raises:
        ValueError: As `RowOptimizer`, and if `momentum` is out of range.

    Example:

    ```python
    ids = keras.Input((26,), dtype="int32")
    rows = keras_pss.FullEmbedding(100_000, 16)(ids)
    click = keras.layers.Dense(1)(keras.layers.Flatten()(rows))
    model = keras.Model(ids, click)
    tables = keras_pss.optimizers.LazySGD(0.1, momentum=0.9)
    model.compile(keras_pss.optimizers.for_tables(model, tables), "mse")
    ```

    References:
        Sutskever et al., "On the importance of initialization and momentum in
        deep learning" (2013), section 2.
    """

    def __init__(
        self,
        learning_rate: Any = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        check_share("momentum", momentum)
        self.momentum = momentum
        self.nesterov = nesterov

    def slot_shapes(self, shape: Sequence[int]) -> dict[str, tuple[int, ...]]:
        return {"momentum": tuple(shape)} if self.momentum else {}

    def row_step(
        self,
        gradient: Tensor,
        rows: Tensor,
        slots: Sequence[Tensor],
        learning_rate: Tensor,
    ) -> tuple[Tensor, list[Tensor]]:
        step = learning_rate * gradient
        if not slots:
            return rows - step, []
        m = self.momentum * slots[0] - step
        moved = self.momentum * m - step if self.nesterov else m
        return rows + moved, [m]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "momentum": self.momentum,
            "nesterov": self.nesterov,
        }
