"""Adam that updates the rows of a batch alone."""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_pss.optimizers.checks import check_positive, check_share
from keras_pss.optimizers.row_optimizer import RowOptimizer

Tensor = Any


@keras.saving.register_keras_serializable("keras_pss")
class LazyAdam(RowOptimizer):
    """Lazy Adam: the moments of a row change when a batch trains it.

        m_i <- β₁ m_i + (1 - β₁) G_i
        v_i <- β₂ v_i + (1 - β₂) G_i²
        w_i <- w_i - η √(1 - β₂^t) / (1 - β₁^t) m_i / (√v_i + ε)

    for the rows i whose gradient G_i, summed over the batch, is not zero, in
    step t = 1, 2, ... of the whole training. Where every batch trains every
    row, it is Keras' Adam. That one also decays the moments of the other rows
    and moves them, which takes time in proportion to the table; here they keep
    moments and weights until a batch trains them again.

    Args:
        learning_rate: Float η, or a Keras schedule. Defaults to 0.001.
        beta_1, beta_2: Floats β₁ and β₂ in [0, 1). Default to 0.9 and 0.999.
        epsilon: Positive float ε. Defaults to 1e-7, as in Keras.
        **kwargs: Further arguments, see `RowOptimizer`: `weight_decay`,
            `clipnorm`, `clipvalue`, `global_clipnorm`, `loss_scale_factor`,
            `gradient_accumulation_steps` and `name`.

    State: `momentum` and `velocity`, of the shape of each table.

    Raises:
        ValueError: As `RowOptimizer`, and if an argument is out of range.

    Example:

    ```python
    ids = keras.Input((26,), dtype="int32")
    rows = keras_pss.FullEmbedding(100_000, 16)(ids)
    click = keras.layers.Dense(1)(keras.layers.Flatten()(rows))
    model = keras.Model(ids, click)
    tables = keras_pss.optimizers.LazyAdam(0.001)
    model.compile(keras_pss.optimizers.for_tables(model, tables), "mse")
    ```

    References:
        Kingma & Ba, "Adam: a method for stochastic optimization" (2015),
        section 2. `torch.optim.SparseAdam`, `LazyAdam` of TensorFlow Addons
        and the `ADAM` of FBGEMM update the same rows, and those of the batch
        with a gradient of zero as well.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        check_share("beta_1", beta_1)
        check_share("beta_2", beta_2)
        check_positive("epsilon", epsilon)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def slot_shapes(self, shape: Sequence[int]) -> dict[str, tuple[int, ...]]:
        return {"momentum": tuple(shape), "velocity": tuple(shape)}

    def row_step(
        self,
        gradient: Tensor,
        rows: Tensor,
        slots: Sequence[Tensor],
        learning_rate: Tensor,
    ) -> tuple[Tensor, list[Tensor]]:
        m, v = slots
        m = m + (gradient - m) * (1 - self.beta_1)
        v = v + (ops.square(gradient) - v) * (1 - self.beta_2)
        unbiased = ops.sqrt(self._weight(self.beta_2)) / self._weight(
            self.beta_1
        )
        rate = learning_rate * ops.cast(unbiased, rows.dtype)
        return rows - rate * m / (ops.sqrt(v) + self.epsilon), [m, v]

    def _weight(self, beta: float) -> Tensor:
        """1 - β^t, in float32 and without the cancellation of the first steps.

        The weights of all gradients in a moment sum up to it.
        """
        step = ops.cast(self.iterations + 1, "float32")
        # log(0) is -∞, and a product with it may be NaN.
        return -ops.expm1(step * math.log(max(beta, 1e-30)))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
        }
