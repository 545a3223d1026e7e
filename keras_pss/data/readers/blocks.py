"""Blocks of rows on their way from a file to valid values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from keras_pss.data.readers.block import Reject
from keras_pss.data.readers.source import MAX_RAW

if TYPE_CHECKING:
    import polars as pl

Int64Array = npt.NDArray[np.int64]


@dataclass
class Values:
    """Consecutive valid rows of one file, and the rejected ones among them.

    Attributes:
        rows: A Polars DataFrame. Columns are named after features, except
            `"label"` Int8, `"time"` Int64 (microseconds since 1970),
            `"group"`, `"split"` and `"key:<column>"`, all String.
            Single-valued features are String; `Dense` ones Int64 or Float64
            with null where the value is missing, or Array(Float64, size);
            lists are List(String), and their weights
            `"<name>:weights"` List(Float64) of the same lengths.
        rejects: The rows that are left out.
        lines: Number of lines, or of records in files without lines, that
            this block consumed.
    """

    rows: pl.DataFrame
    rejects: list[Reject] = field(default_factory=list)
    lines: int = 0

    def __len__(self) -> int:
        return self.rows.height


@dataclass
class Raw:
    """Rows as they were read, before any cast.

    Attributes:
        rows: A Polars DataFrame of the columns that are needed. Text is
            String or Binary, and null where it is missing.
        lines: Number of lines or records consumed.
        source: Gives the bytes of the row at an index, for rejects.
        numbers: Int64 (n,), the line of each row, counted from 0 in this
            block. None if each line is a row.
        broken: The rows that have no values at all, as `Reject` without a
            file whose line counts from 1 in this block.
        text: The text that the rows are fields of, without quotes or other
            signs of its format than separators, or None.
    """

    rows: pl.DataFrame
    lines: int
    source: Callable[[int], bytes]
    numbers: Int64Array | None = None
    broken: list[Reject] = field(default_factory=list)
    text: bytes | None = None

    def reject(self, row: int, reason: str, column: str) -> Reject:
        """The row at an index as a reject."""
        number = row if self.numbers is None else int(self.numbers[row])
        return rejected(number, reason, self.source(row), column)


def rejected(
    number: int,
    reason: str,
    data: bytes,
    column: str = "",
    detail: str = "",
) -> Reject:
    """A reject of the line `number`, counted from 0 in its block."""
    return Reject("", number + 1, reason, column, data[:MAX_RAW], detail)
