"""Several optimizers whose gradients are clipped by one norm."""

from typing import Any

import keras

from keras_pss import keras_internals
from keras_pss.ops.gradients import row_gradients
from keras_pss.optimizers.checks import check_limit


@keras.saving.register_keras_serializable("keras_pss")
class ClippedMultiOptimizer(keras.optimizers.MultiOptimizer):
    """A `keras.optimizers.MultiOptimizer` that clips all gradients together.

        g <- g min(1, c / ‖g‖)

    where ‖g‖ is the norm of the gradients of all trained weights. The
    `global_clipnorm` of an inner optimizer knows its own weights only.

    A step may train some of the weights only, as after a layer was frozen: an
    inner optimizer without gradients counts the step.

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
        check_limit("global_clipnorm", global_clipnorm)
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
        if len(grads) == 0:
            return
        if trainable_variables is None:
            trainable_variables = keras_internals.trained_by(self)
        variables = list(trainable_variables)
        if not self.built:
            self.build(variables)
        self._check_known(variables)
        found = sum(gradient is not None for gradient in grads)
        if len(grads) != len(variables) or not found:
            raise ValueError(
                "`grads` must have a gradient, or None, for each variable, and "
                f"not only None. Received: {found} gradients and "
                f"{len(grads) - found} None for {len(variables)} variables"
            )
        chosen = [keras_internals.optimizer_for(self, v) for v in variables]
        pairs = list(zip(self._clipped(grads), variables, strict=True))
        for inner in self.optimizers:
            own = [p for p, o in zip(pairs, chosen, strict=True) if o is inner]
            if any(gradient is not None for gradient, _ in own):
                inner.apply(*map(list, zip(*own, strict=True)))
            else:
                keras_internals.count_step(inner)
        keras_internals.count_step(self)

    def _clipped(self, grads: list[Any]) -> list[Any]:
        if not self.global_clipnorm:
            return grads
        summed = [None if g is None else row_gradients.summed(g) for g in grads]
        # The inner optimizers divide by the factor after this.
        limit = self.global_clipnorm * (self.loss_scale_factor or 1)
        return row_gradients.clipped_together(summed, limit)

    def finalize_variable_values(self, var_list: list[Any]) -> None:
        self._check_known(var_list)
        super().finalize_variable_values(var_list)

    def _check_known(self, variables: list[Any]) -> None:
        for variable in variables:
            if keras_internals.place_among_trained(self, variable) is None:
                raise ValueError(
                    "An optimizer trains the weights that it was built for. "
                    "Make another one for another model, or after a layer was "
                    "made trainable. Received: weight "
                    f"'{keras_internals.path_of(variable)}', which was "
                    "not among them"
                )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "global_clipnorm": self.global_clipnorm,
        }
