"""Rows of tables of any kind as NumPy arrays, and rows into variables.

A large variable is neither copied to be read nor built as one array.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras import backend, ops

from keras_pss.ops.fitting.trained_table import TrainedTable

# Bytes to which TensorFlow aligns its buffers.
_ALIGNED = 64
Write = Callable[[int, np.ndarray], None]


class RowRange:
    """Some consecutive rows of a table.

    Args:
        table: The table.
        first: Integer, its first row here.
        rows: Integer, the number of rows.
    """

    def __init__(self, table: Any, first: int, rows: int) -> None:
        self._table = table
        self._first = first
        self.shape = (rows, *(shape_of(table) or ())[1:])

    def __getitem__(self, part: slice) -> np.ndarray:
        first = self._first
        begin, end, _ = part.indices(self.shape[0])
        return rows_between(self._table, first + begin, first + end)


def shape_of(table: Any) -> tuple[int, ...] | None:
    """The shape of an array, variable, tensor or slice; None without one."""
    shape = getattr(table, "shape", None)
    if shape is None and hasattr(table, "get_shape"):  # of safetensors
        shape = table.get_shape()
    try:
        return None if shape is None else tuple(int(n) for n in shape)
    except (TypeError, ValueError):
        return None


def rows_between(table: Any, begin: int, end: int) -> np.ndarray:
    """Rows `[begin, end)` of a table as floats of at least 32 bits."""
    if isinstance(table, keras.Variable):
        table = table.value
    if backend.backend() == "jax":
        import jax

        if isinstance(table, jax.Array):
            # A slice would be compiled for each range; this is a view.
            table = np.asarray(table)
    if backend.backend() == "tensorflow":
        import tensorflow as tf

        if isinstance(table, tf.Variable):
            # A slice would read the whole variable, which is a copy of it
            # after any scattered update.
            rows = tf.gather(table, tf.range(begin, end))
            return as_floats(rows.numpy())
    return as_floats(table[begin:end])


def as_floats(rows: Any) -> np.ndarray:
    """An array of float32, or of float64 if it was."""
    if hasattr(rows, "detach"):
        rows = ops.convert_to_numpy(rows) if _is_torch() else _from_torch(rows)
    found = np.asarray(rows)
    if found.dtype in (np.float32, np.float64):
        return found
    if found.dtype.kind in "cSU":
        raise ValueError(
            "A table must have real numbers. "
            f"Received: numbers of dtype {found.dtype}"
        )
    return found.astype(np.float32)


def _is_torch() -> bool:
    return bool(backend.backend() == "torch")


def _from_torch(rows: Any) -> np.ndarray:
    return np.asarray(rows.detach().cpu().float().numpy())


@contextmanager
def filling(variable: Any) -> Iterator[Write]:
    """A function that writes rows into a variable, from a given row on.

    All rows must be written. On TensorFlow and JAX the variable changes only
    then: updates of parts would make every later read of a TensorFlow variable
    a copy of it.
    """
    if backend.backend() == "torch":
        data = variable.value.detach()

        def copy(begin: int, rows: np.ndarray) -> None:
            data[begin : begin + len(rows)].copy_(ops.convert_to_tensor(rows))

        yield copy
        return
    whole = _aligned_zeros(tuple(variable.shape), _dtype(variable))

    def keep(begin: int, rows: np.ndarray) -> None:
        whole[begin : begin + len(rows)] = rows

    yield keep
    variable.assign(_tensor(whole))


def zeros(shape: Sequence[int], dtype: Any) -> Any:
    """Zeros that take no memory on TensorFlow and PyTorch until written."""
    wanted = backend.standardize_dtype(dtype)
    if wanted != "float32" or backend.backend() != "tensorflow":
        return ops.zeros(shape, wanted)
    return _tensor(_aligned_zeros(tuple(shape), np.dtype(np.float32)))


def _aligned_zeros(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Zeros at an address that TensorFlow takes over without a copy."""
    size = math.prod(shape) * dtype.itemsize
    raw = np.zeros(size + _ALIGNED, np.uint8)
    first = -raw.ctypes.data % _ALIGNED
    return raw[first : first + size].view(dtype).reshape(shape)


def _tensor(whole: np.ndarray) -> Any:
    """An array that nobody else uses, as a tensor in the same memory."""
    if backend.backend() == "tensorflow" and whole.dtype == np.float32:
        import tensorflow as tf

        if tf.executing_eagerly() and whole.size:
            return tf.experimental.dlpack.from_dlpack(whole.__dlpack__())
    return whole


def _dtype(variable: Any) -> Any:
    """NumPy's dtype for a variable; float32 where it has none."""
    try:
        return np.dtype(backend.standardize_dtype(variable.dtype))
    except TypeError:
        return np.dtype(np.float32)


def copy_rows(
    variable: Any,
    tables: Sequence[TrainedTable],
    rounded: Callable[[np.ndarray], np.ndarray] | None = None,
) -> None:
    """Writes tables below each other into a variable.

    Args:
        variable: Variable of as many rows as all tables.
        tables: Tables of its width.
        rounded: Function of a block of rows that returns what is written.
    """
    first = 0
    with filling(variable) as write:
        for table in tables:
            report = table.start_pass and table.start_pass(table.rows)
            for begin in range(0, table.rows, table.step):
                rows = table.read(begin, min(begin + table.step, table.rows))
                write(first + begin, rows if rounded is None else rounded(rows))
                if report:
                    report(begin + len(rows))
            first += table.rows
