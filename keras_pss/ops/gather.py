"""Where float weights are read: rows of a table, or single numbers.

Packed ones are read in packing.py, and nowhere else.
"""

from typing import Any

from keras import ops

from keras_pss.native.dispatch import row_kernels
from keras_pss.ops import sparse_gradient

Tensor = Any


def rows(table: Any, index: Tensor, sparse: bool = False) -> Tensor:
    """`table[index]`, with a dense gradient or a sparse one without duplicates.

    The reshape is not idle. On TensorFlow it makes the gradient a dense
    tensor: several ids share a row by design, and Keras' optimizers use
    duplicate entries of a sparse gradient one by one where their sum is
    meant (squared gradients of Adam, Adagrad and RMSprop come out wrong).

    Args:
        table: Variable or tensor of shape `(rows, width)`.
        index: Integers of any shape, in range.
        sparse: Whether a sparse gradient is wanted where there is one.

    Returns:
        Tensor of shape `index.shape + (width,)`.
    """
    if sparse and sparse_gradient.possible(table):
        return sparse_gradient.rows(table, index)
    return _taken(ops.reshape(table, table.shape), index)


def _taken(table: Tensor, index: Tensor) -> Tensor:
    """`table[index]` with a dense gradient, by a kernel where there is one."""
    found = row_kernels(table, index)
    if found is None:
        return ops.take(table, index, axis=0)
    rows = found.gather_rows(table, ops.reshape(index, (-1,)))
    return ops.reshape(rows, (*ops.shape(index), table.shape[1]))


def elements(table: Any, index: Tensor, sparse: bool = False) -> Tensor:
    """Elements of a table read as one flat array, shape `index.shape`.

    A sparse gradient needs a table of one column.
    """
    if sparse and table.shape[1] == 1 and sparse_gradient.possible(table):
        return ops.squeeze(sparse_gradient.rows(table, index), -1)
    return ops.squeeze(_taken(ops.reshape(table, (-1, 1)), index), -1)
