"""The base class of optimizers that update the rows of a batch alone."""

import logging
import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import backend, ops

from keras_pss import keras_internals
from keras_pss.ops import dtypes, sparse_gradient
from keras_pss.ops.gradients import row_gradients, row_updates
from keras_pss.optimizers.checks import check_limit, check_not_negative

Tensor = Any

logger = logging.getLogger(__name__)


class RowOptimizer(keras_internals.StepsOfRows, keras.optimizers.Optimizer):
    """Base of optimizers that update only the rows that a batch has trained.

    A subclass declares its slots in `slot_shapes` and updates rows in
    `row_step`. This class sums the gradients of ids that occur several times
    in a batch, clips the sums, and reads and writes the rows whose sum is not
    zero, with their slots. Other rows keep their weights and their slots.

    With the sparse gradients of this package's layers in a TensorFlow graph,
    the cost of a step depends on the batch and not on the rows of the table;
    so `gradient="auto"` means sparse for tables of any size, once the
    optimizer is built. Elsewhere (eager execution, JAX, PyTorch, several
    replicas, a table read twice in a step, a regularizer of the table, gradient
    accumulation) a gradient is dense. The rows that are not zero in it are
    updated alike, at a cost in proportion to the table.

    Tables of 16 bits are updated in float32, and their slots are float32.

    Args:
        learning_rate: Float, or a Keras schedule.
        weight_decay: Float λ, or None. The rows of the batch, and no others,
            are multiplied by `1 - learning_rate * λ` before they are updated
            (decoupled decay). Defaults to None.
        clipnorm, clipvalue, global_clipnorm: As in `keras.optimizers`, of the
            summed gradients. `global_clipnorm` knows only the variables of
            this optimizer; `for_tables` clips those of a whole model.
        loss_scale_factor, name: As in `keras.optimizers`.
        gradient_accumulation_steps: As in `keras.optimizers`: the rows of all
            accumulated batches are updated at once. Keras' accumulator has the
            size of the table.
        **kwargs: Further arguments of `keras.optimizers.Optimizer`. Moving
            averages of weights (`use_ema`) are refused, since they would read
            and write the whole table at every step.

    Raises:
        ValueError: If an argument is out of range, if `use_ema` is set, or if
            the optimizer is built for a weight that is no matrix.
    """

    loss_scale_factor: float | None

    def __init__(
        self,
        learning_rate: Any,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        if kwargs.get("use_ema"):
            raise ValueError(
                f"{type(self).__name__} keeps no moving averages of weights, "
                "which would read and write the whole table at every step. "
                "Leave `use_ema` out. Received: use_ema=True"
            )
        if weight_decay is not None:
            check_not_negative("weight_decay", weight_decay)
        check_limit("clipnorm", clipnorm)
        check_limit("clipvalue", clipvalue)
        check_limit("global_clipnorm", global_clipnorm)
        super().__init__(
            learning_rate,
            weight_decay=weight_decay,
            clipnorm=clipnorm,
            clipvalue=clipvalue,
            global_clipnorm=global_clipnorm,
            loss_scale_factor=loss_scale_factor,
            gradient_accumulation_steps=gradient_accumulation_steps,
            name=name,
            **kwargs,
        )
        self._warned: set[str] = set()

    def slot_shapes(self, shape: Sequence[int]) -> dict[str, tuple[int, ...]]:
        """Shapes of the slots of a table, by name.

        Args:
            shape: Shape of the table, `(rows, width)`.
        """
        raise NotImplementedError

    def row_step(
        self,
        gradient: Tensor,
        rows: Tensor,
        slots: Sequence[Tensor],
        learning_rate: Tensor,
    ) -> tuple[Tensor, list[Tensor]]:
        """Updates some rows.

        Args:
            gradient: Summed gradients of the rows, `(u, width)`.
            rows: The rows, after weight decay, `(u, width)`.
            slots: Their slots, `(u, ...)`, in the order of `slot_shapes`.
            learning_rate: Scalar of the dtype of the rows, which is float32
                for tables of 16 bits.

        Returns:
            The new rows and their new slots.
        """
        raise NotImplementedError

    def build(self, variables: list[Any]) -> None:
        if self.built:
            return
        for variable in variables:
            if len(variable.shape) != 2:
                path = keras_internals.path_of(variable)
                raise ValueError(
                    f"{type(self).__name__} updates tables of rows, which have "
                    "two axes. Give the other weights of a model another "
                    "optimizer: compile the model with "
                    "`keras_pss.optimizers.for_tables(model, optimizer)`. "
                    f"Received: weight '{path}' of shape "
                    f"{tuple(variable.shape)}"
                )
            sparse_gradient.prefer(variable)
        super().build(variables)
        for name in self.slot_shapes((0, 0)):
            made = [self._slot(variable, name) for variable in variables]
            setattr(self, f"{name}_slots", made)

    def _slot(self, variable: Any, name: str) -> Any:
        shape, dtype = tuple(variable.shape), dtypes.accurate(variable.dtype)
        wanted = self.slot_shapes(shape)[name]
        if (wanted, dtype) == (shape, variable.dtype):
            # On the device, and with the layout, of the table.
            return self.add_variable_from_reference(variable, name=name)
        path = keras_internals.path_of(variable)
        prefix = path.replace("/", "_").replace(":", "_")
        return self.add_variable(
            shape=wanted,
            dtype=dtype,
            name=f"{prefix}_{name}",
            layout=keras_internals.layout_of_part(variable, wanted),
        )

    def apply(self, grads: list[Any], trainable_variables: Any = None) -> None:
        if len(grads) == 0:
            return
        if trainable_variables is None:
            trainable_variables = keras_internals.trained_by(self)
        trainable_variables = list(trainable_variables)
        if len(grads) != len(trainable_variables):
            raise ValueError(
                "`grads` must have a gradient for each variable that the "
                "optimizer was built with, and it must be built if no "
                f"variables are given. Received: {len(grads)} gradients for "
                f"{len(trainable_variables)} variables"
            )
        scale = self.loss_scale_factor
        ready = []
        for gradient, variable in zip(grads, trainable_variables, strict=True):
            if gradient is not None:
                if scale is not None:
                    gradient = row_gradients.divided(gradient, scale)
                if self.gradient_accumulation_steps:
                    gradient = row_gradients.dense(gradient, variable.shape[0])
            ready.append(gradient)
        # Keras cannot divide a sparse gradient.
        self.loss_scale_factor = None
        try:
            super().apply(ready, trainable_variables)
        finally:
            self.loss_scale_factor = scale

    def clipped(self, grads: Sequence[Any]) -> list[Any]:
        """Clips the gradients, after duplicates are summed."""
        limits = self.clipnorm, self.clipvalue, self.global_clipnorm
        if not any(limits):
            return list(grads)
        summed = [row_gradients.summed(gradient) for gradient in grads]
        if self.global_clipnorm:
            return row_gradients.clipped_together(summed, self.global_clipnorm)
        if self.clipnorm:
            clip, limit = row_gradients.clipped_by_norm, self.clipnorm
        else:
            clip, limit = row_gradients.clipped_by_value, self.clipvalue
        return [clip(gradient, limit) for gradient in summed]

    def update_step(
        self, gradient: Any, variable: Any, learning_rate: Any
    ) -> None:
        place = keras_internals.place_among_trained(self, variable)
        names = self.slot_shapes((0, 0))
        slots = [getattr(self, f"{name}_slots")[place] for name in names]
        rate = ops.cast(learning_rate, dtypes.accurate(variable.dtype))
        decay = self.weight_decay
        if decay and not keras_internals.decays(self, variable):
            decay = None

        def step(gradient: Tensor, rows: Tensor, *held: Tensor) -> list[Tensor]:
            if decay:
                rows = rows * (1 - rate * decay)
            rows, new = self.row_step(gradient, rows, held, rate)
            return [rows, *new]

        self._name_slow_path(gradient, variable)
        row_updates.update(variable, slots, gradient, step, self.assign)

    def _name_slow_path(self, gradient: Any, variable: Any) -> None:
        """Logs once that the steps of a large table are slow."""
        slow = math.prod(variable.shape) >= sparse_gradient.CROSSOVER
        if backend.backend() != "tensorflow" or not slow:
            return
        name = variable.name
        if row_gradients.is_indexed(gradient) or name in self._warned:
            return
        self._warned.add(name)
        logger.warning(
            "The gradient of %s, of shape %s, is dense, so each step takes "
            "time in proportion to the table. It is sparse in a TensorFlow "
            "graph of one replica that reads the table once, with the table's "
            "`gradient` 'auto' or 'sparse', no regularizer and no gradient "
            "accumulation.",
            name,
            tuple(variable.shape),
        )
