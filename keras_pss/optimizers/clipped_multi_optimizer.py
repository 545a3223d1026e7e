"""Several optimizers whose gradients are clipped by one norm."""

from typing import Any

import keras

from keras_pss.ops.gradients import row_gradients


@keras.saving.register_keras_serializable("keras_pss")
class ClippedMultiOptimizer(keras.optimizers.MultiOptimizer):
    """A `keras.optimizers.MultiOptimizer` that clips all gradients together.

        g <- g min(1, c / ‖g‖)

    where ‖g‖ is the norm of the gradients of all trained weights. The
    `global_clipnorm` of an inner optimizer knows its own weights only.

    Args:
        optimizer_map, loss_scale_factor, name: As in Keras.
        global_clipnorm: Positive float c. Defaults to None, no clipping.

    Raises:
        ValueError: If `global_clipnorm` is not positive, or is given although
            an inner optimizer accumulates gradients, which are clipped after
            they were summed.
    """

    def __init__(
        self,
        optimizer_map: Any,
        loss_scale_factor: float | None = None,
        name: str | None = None,
        global_clipnorm: float | None = None,
    ) -> None:
        super().__init__(optimizer_map, loss_scale_factor, name)
        if global_clipnorm is not None and not global_clipnorm > 0:
            raise ValueError(
                "`global_clipnorm` must be a positive number, or None. "
                f"Received: global_clipnorm={global_clipnorm!r}"
            )
        self.global_clipnorm = global_clipnorm
        for inner in self.optimizers:
            if global_clipnorm and inner.gradient_accumulation_steps:
                raise ValueError(
                    "`global_clipnorm` of several optimizers clips the "
                    "gradients of one step, not accumulated ones. Leave out "
                    "`global_clipnorm` or `gradient_accumulation_steps`. "
                    f"Received: global_clipnorm={global_clipnorm} and "
                    f"{inner.name} with gradient_accumulation_steps="
                    f"{inner.gradient_accumulation_steps}"
                )

    def apply(self, grads: list[Any], trainable_variables: Any = None) -> None:
        if self.global_clipnorm:
            grads = [
                None if g is None else row_gradients.summed(g) for g in grads
            ]
            # The inner optimizers divide by the factor after this.
            limit = self.global_clipnorm * (self.loss_scale_factor or 1)
            grads = row_gradients.clipped_together(grads, limit)
        super().apply(grads, trainable_variables)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "global_clipnorm": self.global_clipnorm,
        }
