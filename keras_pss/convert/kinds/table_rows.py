"""An uncompressed table of a trained model, read in slices."""

from typing import Any

import numpy as np

from keras_pss.ops.fitting.variables import rows_between


class TableRows:
    """Rows of a variable, which are copied only where they are read.

    Args:
        variable: Keras variable of shape `(rows, width)`, or of several
            stacked tables.
        rows: Integer, the rows of the table. Defaults to None, all.
        first: Integer, the variable's row that is the table's first.
        name: Name of the table among several; empty for the only one.
    """

    def __init__(
        self,
        variable: Any,
        rows: int | None = None,
        first: int = 0,
        name: str = "",
    ) -> None:
        self._variable = variable
        self._first = first
        self.name = name
        rows = int(variable.shape[0]) if rows is None else rows
        self.shape = (rows, int(variable.shape[1]))

    @property
    def size(self) -> int:
        """Number of parameters."""
        return self.shape[0] * self.shape[1]

    def __getitem__(self, rows: slice) -> np.ndarray:
        """Floats of a range of rows."""
        begin, end, step = rows.indices(self.shape[0])
        first = self._first
        found = rows_between(self._variable, first + begin, first + end)
        return found[::step]
