"""The one place where weights are read: rows of a table, packed or not."""

from typing import Any

import numpy as np
from keras import ops

from keras_pss.native.dispatch import row_kernels
from keras_pss.ops import sparse_gradient

Tensor = Any

INT8_GROUP = 64


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


def int8_group(width: int) -> int:
    """Rows that share an int8 scale, so that a scale serves 64 numbers."""
    return max(1, INT8_GROUP // width)


def pack_int8(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Quantises a table to int8, one scale for each group of rows.

    Args:
        table: float32 array of shape `(rows, width)`.

    Returns:
        `(values, scales)`: int8 `(rows, width)` and float32
        `(ceil(rows / group), )`, with `table ≈ values * scales[row // group]`
        to half a scale.
    """
    count, width = table.shape
    group = int8_group(width)
    scales = np.ones(-(-count // group), np.float32)
    values = np.empty(table.shape, np.int8)
    step = group * max(1, (1 << 20) // (group * width))
    for begin in range(0, count, step):
        part = table[begin : begin + step]
        starts = np.arange(0, len(part), group)
        peak = np.maximum.reduceat(np.abs(part).max(axis=1), starts)
        scale = np.where(peak > 0, peak / 127, 1).astype(np.float32)
        scales[begin // group :][: len(scale)] = scale
        repeated = np.repeat(scale, group)[: len(part), None]
        values[begin : begin + step] = np.rint(part / repeated)
    return values, scales


def rows_int8(values: Any, scales: Any, index: Tensor) -> Tensor:
    """Rows of a packed table; only what is looked up is unpacked."""
    group = int8_group(values.shape[1])
    scale = ops.take(scales, index // group, axis=0)
    packed = ops.take(values, index, axis=0)
    return ops.cast(packed, scale.dtype) * ops.expand_dims(scale, -1)


def all_int8(values: Any, scales: Any) -> Tensor:
    """The whole of a packed table, for one that every lookup reads whole."""
    count, width = values.shape
    scale = ops.repeat(scales, int8_group(width))[:count]
    return ops.cast(values, scale.dtype) * ops.expand_dims(scale, -1)


def elements_int8(values: Any, scales: Any, index: Tensor) -> Tensor:
    """Elements of a packed table read as one flat array."""
    width = values.shape[1]
    scale = ops.take(scales, index // (int8_group(width) * width), axis=0)
    packed = ops.take(ops.reshape(values, (-1,)), index, axis=0)
    return ops.cast(packed, scale.dtype) * scale
