"""Lookups in tables: whole rows, or single elements.

packing.py defines how packed tables are read; here kernels do it where there
are any.
"""

from typing import Any

from keras import ops

from keras_pss.native.dispatch import row_kernels, unpack_kernels
from keras_pss.native.packed_table import PackedTable
from keras_pss.ops import sparse_gradient
from keras_pss.ops.packing import Held, Packing
from keras_pss.ops.take import take

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


def packed_table(how: Packing, held: Held, width: int) -> PackedTable | None:
    """A packed table of integers as kernels read it; None for floats.

    Args:
        how: Its format.
        held: Its variables or arrays by suffix.
        width: Columns of the table before it was packed.
    """
    layout = how.layout(held, width)
    if layout is None:
        return None
    return PackedTable(held["table"], held["scale"], layout)


def packed_rows(how: Packing, held: Held, width: int, index: Tensor) -> Tensor:
    """Float rows of a packed table, of shape `index.shape + (width,)`.

    Args:
        how, held, width: See `packed_table`.
        index: Integers of any shape, in range.
    """
    rows = _unpacked(packed_table(how, held, width), width, index)
    return how.rows(held, width, index) if rows is None else rows


def packed_elements(
    how: Packing, held: Held, width: int, index: Tensor
) -> Tensor:
    """Float elements of the flattened packed table, of shape `index.shape`.

    Args: See `packed_rows`.
    """
    found = _unpacked(packed_table(how, held, width), 1, index)
    if found is None:
        return how.elements(held, width, index)
    return ops.squeeze(found, -1)


def _unpacked(
    table: PackedTable | None, width: int, index: Tensor
) -> Tensor | None:
    """Rows of `width` numbers by a kernel, or None if there is none."""
    if table is None:
        return None
    index = ops.convert_to_tensor(index)
    found = unpack_kernels(table, index)
    if found is None:
        return None
    rows = found.unpack_rows(table, ops.reshape(index, (-1,)), width)
    return ops.reshape(rows, (*ops.shape(index), width))
