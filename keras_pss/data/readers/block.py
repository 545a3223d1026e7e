"""Parsed blocks of rows, and the rows that were rejected."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from keras_pss.data.readers import reasons

Int32Array = npt.NDArray[np.int32]


UInt32Array = npt.NDArray[np.uint32]


# Reasons for which a row is rejected; they are counted under these words.
WRONG_COLUMNS = "wrong column count"


BAD_LABEL = "label is not 0 or 1"


BAD_INTEGER = "not an integer"


OUT_OF_RANGE = "integer out of range"


BAD_HEX = "not 1 to 8 hex digits"


TOO_LONG = "line too long"


BAD_ARCHIVE = "archive truncated or corrupt, the rest of it is missing"


FIXES = {
    WRONG_COLUMNS: "write a label, 13 integers and 26 hex values, separated by "
    "tabs",
    BAD_LABEL: "write 0 or 1",
    BAD_INTEGER: "write an optional minus and decimal digits, or leave the "
    "field empty",
    OUT_OF_RANGE: "integers must lie in [-2147483648, 2147483647]",
    BAD_HEX: "categories are 32-bit values in hexadecimal without a prefix",
    TOO_LONG: "the file is probably no tab separated text",
    BAD_ARCHIVE: "download or compress the file again",
}
# The reasons of other logs come with their own.
FIXES = reasons.FIXES | FIXES


class Reject(NamedTuple):
    """One broken row."""

    file: str
    line: int  # from 1
    reason: str  # a key of FIXES
    column: str  # the leftmost broken column, "" for the whole row
    raw: bytes  # the row without its newline

    def __str__(self) -> str:
        where = f" (column {self.column})" if self.column else ""
        if self.reason == WRONG_COLUMNS:
            columns = self.raw.count(b"\t") + 1
            # A row of this many is wrong only where no label is expected.
            rule = "40 with the label" if columns != 40 else "39, no label"
            where = f" (expected {rule}, found {columns})"
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


@dataclass
class Block:
    """Consecutive good rows of one source, and the broken ones among them.

    `labels` int32 (n,), `integers` int32 (n, 13) with missing and negative
    values as 0, `categories` uint32 (n, 26) with missing values as 0.
    """

    labels: Int32Array
    integers: Int32Array
    categories: UInt32Array
    num_lines: int = 0
    rejects: list[Reject] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.labels)
