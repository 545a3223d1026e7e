"""Lookups in float tables: whole rows, or single elements.

Packed tables are read in packing.py only.
"""

from typing import Any

from keras import backend, ops

from keras_pss.native import tracing
from keras_pss.native.dispatch import row_kernels
from keras_pss.ops import sparse_gradient

Tensor = Any


def rows(table: Any, index: Tensor, sparse: bool = False) -> Tensor:
    """`table[index]`, with a dense gradient or a sparse one without duplicates.

    The reshape is not a no-op. On TensorFlow it makes the gradient a dense
    tensor: several ids share a row by design, and Keras' optimizers process
    duplicate entries of a sparse gradient one by one instead of their sum
    (squared gradients of Adam, Adagrad and RMSprop are then wrong).

    Args:
        table: Variable or tensor of shape `(rows, width)`.
        index: Integers of any shape, in range.
        sparse: Whether to use a sparse gradient where the backend supports
            it. Default: False.

    Returns:
        Tensor of shape `index.shape + (width,)`.
    """
    if sparse and sparse_gradient.possible(table):
        return sparse_gradient.rows(table, index)
    return _taken(ops.reshape(table, table.shape), index)


def _taken(table: Tensor, index: Tensor) -> Tensor:
    """`table[index]` with a dense gradient, by a kernel if available."""
    found = row_kernels(table, index)
    if found is None:
        return take(table, index)
    rows = found.gather_rows(table, ops.reshape(index, (-1,)))
    return ops.reshape(rows, (*ops.shape(index), table.shape[1]))


def elements(table: Any, index: Tensor, sparse: bool = False) -> Tensor:
    """Elements of the flattened table, of shape `index.shape`.

    A sparse gradient requires a table with one column.
    """
    if sparse and table.shape[1] == 1 and sparse_gradient.possible(table):
        return ops.squeeze(sparse_gradient.rows(table, index), -1)
    return ops.squeeze(_taken(ops.reshape(table, (-1, 1)), index), -1)


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
