"""Rows of tables of any kind as NumPy arrays, and rows into variables.

A large variable is neither copied to be read nor built as one array.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras import backend, ops

from keras_pss.ops.fitting.trained_table import TrainedTable

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
    return found.astype(np.float32)


def _is_torch() -> bool:
    return bool(backend.backend() == "torch")


def _from_torch(rows: Any) -> np.ndarray:
    return np.asarray(rows.detach().cpu().float().numpy())


@contextmanager
def filling(variable: Any) -> Iterator[Write]:
    """A function that writes rows into a variable, from a given row on.

    All rows must be written, on JAX before the variable changes.
    """
    value = variable.value
    if backend.backend() == "tensorflow":
        import tensorflow as tf

        if isinstance(value, tf.Variable):

            def assign(begin: int, rows: np.ndarray) -> None:
                part = value[begin : begin + len(rows)]
                part.assign(tf.cast(tf.convert_to_tensor(rows), value.dtype))

            yield assign
            return
    if backend.backend() == "torch":
        data = value.detach()

        def copy(begin: int, rows: np.ndarray) -> None:
            part = ops.convert_to_tensor(rows)
            data[begin : begin + len(rows)].copy_(part)

        yield copy
        return
    whole = np.empty(tuple(variable.shape), _dtype(variable))

    def keep(begin: int, rows: np.ndarray) -> None:
        whole[begin : begin + len(rows)] = rows

    yield keep
    variable.assign(whole)


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
            for block in table.blocks():
                rows = block.rows if rounded is None else rounded(block.rows)
                write(first + int(block.ids[0]), rows)
            first += table.rows


def parts(rows: int, step: int) -> Sequence[tuple[int, int]]:
    """Ranges of at most `step` of `rows` rows."""
    return [(b, min(b + step, rows)) for b in range(0, rows, step)]
