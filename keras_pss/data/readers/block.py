"""Rows that were rejected, and the integers that blocks of rows become."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from keras_pss.data.readers.reasons import FIXES

Int32Array = npt.NDArray[np.int32]
UInt32Array = npt.NDArray[np.uint32]


class Reject(NamedTuple):
    """One broken row."""

    file: str
    line: int  # from 1
    reason: str  # a key of FIXES
    column: str  # the leftmost broken column, "" for the whole row
    raw: bytes  # the row without its newline
    detail: str = ""  # what a message adds to the reason

    def __str__(self) -> str:
        where = f"column {self.column}" if self.column else self.detail
        where = f" ({where})" if where else ""
        return f"{self.file}:{self.line}: {self.reason}{where}"


class BrokenRowError(ValueError):
    """The first broken row under `strict=True`.

    Args:
        reject: The row.
    """

    def __init__(self, reject: Reject):
        self.reject = reject
        super().__init__(
            f"{reject}: {FIXES[reject.reason]}, or read with strict=False "
            f"to set such rows aside. Received: {reject.raw[:200]!r}"
        )
