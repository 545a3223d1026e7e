"""Lookups in float tables: whole rows, or single elements.

Packed tables are read in packing.py only. Blocks of rows are written here too.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from keras import backend, ops

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
        return ops.take(table, index, axis=0)
    rows = found.gather_rows(table, ops.reshape(index, (-1,)))
    return ops.reshape(rows, (*ops.shape(index), table.shape[1]))


def elements(table: Any, index: Tensor, sparse: bool = False) -> Tensor:
    """Elements of the flattened table, of shape `index.shape`.

    A sparse gradient requires a table with one column.
    """
    if sparse and table.shape[1] == 1 and sparse_gradient.possible(table):
        return ops.squeeze(sparse_gradient.rows(table, index), -1)
    return ops.squeeze(_taken(ops.reshape(table, (-1, 1)), index), -1)


def write_rows(table: Any, begin: int, block: np.ndarray) -> None:
    """`table[begin : begin + len(block)] = block`, without a second table.

    Args:
        table: Variable of shape `(rows, width)`.
        begin: Integer, the first row to write.
        block: Floats of shape `(n, width)`.
    """
    if backend.backend() == "jax":
        place = np.int32(begin)
        table.assign(_jax_writer()(table.value, block, place))
        return
    rows = ops.convert_to_tensor(block, table.dtype)
    if backend.backend() == "tensorflow":
        import tensorflow as tf

        # `table.value[begin:end].assign` would read the whole table first.
        # A variable of several replicas has one for each.
        for each in getattr(table.value, "values", [table.value]):
            tf.raw_ops.ResourceStridedSliceAssign(
                ref=each.handle,
                begin=[begin, 0],
                end=[begin + len(block), table.shape[1]],
                strides=[1, 1],
                value=rows,
            )
    else:
        table.value.detach()[begin : begin + len(block)] = rows


@cache
def _jax_writer() -> Callable[..., Any]:
    """Writes a block in place: the old table is donated."""
    import jax

    def write(table: Any, block: Any, begin: Any) -> Any:
        block = block.astype(table.dtype)
        return jax.lax.dynamic_update_slice(table, block, (begin, 0))

    return jax.jit(write, donate_argnums=0)
