"""Entries of an array at given places."""

from typing import Any

from keras import backend, ops

from keras_pss.native import tracing

Tensor = Any


def take(array: Any, index: Tensor) -> Tensor:
    """`array[index]` along the first axis, for indices in range.

    `ops.take` is for negative indices as well, which takes TensorFlow three
    more operations, as long together as the rest.

    Args:
        array: Variable or tensor.
        index: Integers of any shape, in [0, length of the first axis).
    """
    if backend.backend() != "tensorflow" or tracing.under_xla():
        return ops.take(array, index, axis=0)
    import tensorflow as tf

    # Gathering from a variable itself would make its gradient sparse.
    return tf.gather(ops.convert_to_tensor(array), index)
