"""Parsed rows on disk between the passes of a preparation.

Each categorical column has its own file, because counting and encoding read
one column at a time from start to end.
"""

from pathlib import Path
from typing import BinaryIO

import numpy as np

from keras_pss.data.criteo import schema
from keras_pss.data.readers.block import Block, Int32Array, UInt32Array
from keras_pss.data.storage.splits import RowNumbers

_HEAD = 1 + schema.NUM_INTEGERS  # label and integers share a file
_BUFFER = 1 << 18


class Staging:
    """Appends blocks to column files, then reads columns back.

    Disk: 160 bytes per row. Memory: a few MB while writing, and pages of the
    operating system's cache while reading.

    Args:
        directory: An existing folder, in which 27 files are created.
    """

    def __init__(self, directory: Path):
        self.num_rows = 0
        names = ["head", *schema.CATEGORIES]
        self._paths = [directory / name for name in names]
        self._files: list[BinaryIO] = [
            path.open("wb", buffering=_BUFFER) for path in self._paths
        ]

    def append(self, block: Block) -> None:
        """Adds the rows of a block."""
        head = np.empty((len(block), _HEAD), np.int32)
        head[:, 0] = block.labels
        head[:, 1:] = block.integers
        self._files[0].write(head.data)
        columns = np.ascontiguousarray(block.categories.T)
        for file, column in zip(self._files[1:], columns, strict=True):
            file.write(column.data)
        self.num_rows += len(block)

    def close(self) -> None:
        """Ends writing. Required before reading; may be called again."""
        for file in self._files:
            file.close()

    def remove(self) -> None:
        """Deletes the files."""
        self.close()
        for path in self._paths:
            path.unlink(missing_ok=True)

    def head(self, rows: RowNumbers) -> Int32Array:
        """Label and integers, int32 (rows, 14)."""
        shape = (self.num_rows, _HEAD)
        return _take(np.memmap(self._paths[0], np.int32, "r", 0, shape), rows)

    def column(self, column: int, rows: RowNumbers) -> UInt32Array:
        """Raw values of one categorical column, uint32 (rows,)."""
        return _take(np.memmap(self._paths[1 + column], np.uint32, "r"), rows)


def _take(array: np.ndarray, rows: RowNumbers) -> np.ndarray:
    if isinstance(rows, range):
        return np.asarray(array[rows.start : rows.stop])
    return np.asarray(array[rows])
