"""Updates of the rows of a table that a batch has trained.

A row belongs to a batch if its gradient, summed over the batch, has a number
other than zero. So a dense gradient, which says nothing about the ids of the
batch, and a sparse one train the same rows, and padding trains none.
"""

from collections.abc import Callable, Sequence
from typing import Any

from keras import ops

from keras_pss.ops import dtypes
from keras_pss.ops.gradients import row_gradients

Tensor = Any


def update(
    table: Any,
    slots: Sequence[Any],
    gradient: Any,
    step: Callable[..., Sequence[Tensor]],
    assign: Callable[[Any, Tensor], Any],
) -> None:
    """Updates the rows of the batch, and what an optimizer keeps for them.

    With a sparse gradient, the cost depends on the rows of the batch alone.
    With a dense one, it is in proportion to the table. Rows of 16 bits are
    updated in float32, and rounded when they are written.

    Args:
        table: The variable, of shape `(rows, width)`.
        slots: Variables of shape `(rows, ...)`.
        gradient: Dense `(rows, width)`, or a `tf.IndexedSlices`.
        step: Function of the gradient, the table and each slot, all of them
            for the same rows, that returns the new table and slots.
        assign: Function that assigns a value to a whole variable.
    """
    if row_gradients.is_indexed(gradient):
        _update_indexed(table, slots, gradient, step)
        return
    held = [ops.convert_to_tensor(v) for v in (table, *slots)]
    new = _stepped(step, gradient, held)
    for variable, values in zip((table, *slots), new, strict=True):
        assign(variable, values)


def _update_indexed(
    table: Any,
    slots: Sequence[Any],
    gradient: Any,
    step: Callable[..., Sequence[Tensor]],
) -> None:
    """Gathers the rows from the variables themselves and writes them back.

    TensorFlow copies a variable that is read as a whole after it was updated
    by rows. A row that repeats is written the same values each time.
    """
    import tensorflow as tf

    index, totals = row_gradients.sums(gradient)
    # Slots are Keras variables, which hold those of TensorFlow.
    variables = [getattr(v, "value", v) for v in slots]
    variables = [table, *variables]
    held = [tf.gather(variable, index) for variable in variables]
    new = _stepped(step, totals, held)
    for variable, values in zip(variables, new, strict=True):
        variable.scatter_update(tf.IndexedSlices(values, index))


def _stepped(
    step: Callable[..., Sequence[Tensor]],
    gradient: Tensor,
    held: Sequence[Tensor],
) -> list[Tensor]:
    """New values of rows; the old ones where the gradient is zero."""
    dtype = dtypes.accurate(held[0].dtype)
    gradient = ops.cast(gradient, dtype)
    trained = ops.any(ops.not_equal(gradient, 0), axis=1)  # (u,)
    found = step(gradient, *[ops.cast(old, dtype) for old in held])
    return [
        ops.where(
            ops.reshape(trained, (-1,) + (1,) * (len(old.shape) - 1)),
            ops.cast(new, old.dtype),
            old,
        )
        for new, old in zip(found, held, strict=True)
    ]
