"""Gradients of rows: summed over duplicates, scaled and clipped.

On TensorFlow, the gradient of a table may be a `tf.IndexedSlices`, in which an
id that occurs twice in a batch has two entries. Norms and bounds are those of
the sums. Everywhere else, gradients are dense tensors, which hold sums.
"""

from collections.abc import Sequence
from typing import Any

from keras import backend, ops

from keras_pss.native.dispatch import compiled_by_xla
from keras_pss.ops import dtypes

Tensor = Any


def is_indexed(gradient: Any) -> bool:
    """Whether a gradient is a `tf.IndexedSlices`."""
    if backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return isinstance(gradient, tf.IndexedSlices)


def sums(gradient: Any) -> tuple[Tensor, Tensor]:
    """The rows of a `tf.IndexedSlices`, and the sum of each row's entries.

    Under XLA, whose shapes are static, a row may occur several times, each
    time with its whole sum.

    Returns:
        Indices of shape `(u,)` and sums of shape `(u, width)`.
    """
    index, totals, _ = _sums(gradient)
    return index, totals


def summed(gradient: Any) -> Any:
    """The same gradient with one entry for each row, and zeros after it.

    A dense gradient is returned as it is. Zeros occur under XLA alone.
    """
    if not is_indexed(gradient):
        return gradient
    import tensorflow as tf

    index, totals, first = _sums(gradient)
    if first is not None:
        totals = tf.where(first[:, None], totals, 0)
    return tf.IndexedSlices(totals, index, gradient.dense_shape)


def dense(gradient: Any, rows: int) -> Tensor:
    """The gradient as a dense tensor of a table of `rows` rows."""
    if not is_indexed(gradient):
        return gradient
    import tensorflow as tf

    return tf.math.unsorted_segment_sum(gradient.values, gradient.indices, rows)


def divided(gradient: Any, by: Any) -> Any:
    """The gradient divided by a scalar."""
    return _mapped(lambda values: values / ops.cast(by, values.dtype), gradient)


def clipped_by_value(gradient: Any, limit: float) -> Any:
    """Clips each number of a summed gradient to ± `limit`."""
    return _mapped(lambda values: ops.clip(values, -limit, limit), gradient)


def clipped_by_norm(gradient: Any, limit: float) -> Any:
    """Scales a summed gradient so that its norm is at most `limit`."""
    norm = ops.sqrt(_sum_of_squares(gradient))
    scale = limit / ops.maximum(norm, limit)
    return _mapped(
        lambda values: values * ops.cast(scale, values.dtype), gradient
    )


def clipped_together(gradients: Sequence[Any], limit: Any) -> list[Any]:
    """Scales gradients so that their norm together is at most `limit`.

    Args:
        gradients: Summed gradients; those that are None are ignored.
        limit: The largest norm, a number or a scalar.

    Returns:
        The gradients; NaN if the norm is not finite, as in Keras.
    """
    found = [_sum_of_squares(g) for g in gradients if g is not None]
    norm = ops.sqrt(sum(ops.cast(square, "float32") for square in found))
    scale = limit * ops.minimum(1 / norm, 1 / limit) + (norm - norm)
    return [
        None
        if g is None
        else _mapped(lambda v: v * ops.cast(scale, v.dtype), g)
        for g in gradients
    ]


def _sum_of_squares(gradient: Any) -> Tensor:
    values = gradient.values if is_indexed(gradient) else gradient
    # The square of 256 is no number of float16.
    values = ops.cast(values, dtypes.accurate(values.dtype))
    return ops.sum(ops.square(values))


def _mapped(function: Any, gradient: Any) -> Any:
    """Applies a function to the numbers of a gradient of either form."""
    if not is_indexed(gradient):
        return function(gradient)
    import tensorflow as tf

    return tf.IndexedSlices(
        function(gradient.values), gradient.indices, gradient.dense_shape
    )


def _sums(gradient: Any) -> tuple[Tensor, Tensor, Tensor | None]:
    """Rows, their sums and, if rows repeat, whether an entry is the first."""
    import tensorflow as tf

    index, values = gradient.indices, gradient.values
    if not compiled_by_xla():
        index, group = tf.unique(index)
        count = tf.size(index)
        return index, tf.math.unsorted_segment_sum(values, group, count), None
    order = tf.argsort(index, stable=True)
    index = tf.gather(index, order)
    first = tf.concat(
        [tf.ones_like(index[:1], tf.bool), index[1:] != index[:-1]], 0
    )
    group = tf.cumsum(tf.cast(first, tf.int32)) - 1
    totals = tf.math.unsorted_segment_sum(
        tf.gather(values, order), group, tf.size(index)
    )
    return index, tf.gather(totals, group), first
