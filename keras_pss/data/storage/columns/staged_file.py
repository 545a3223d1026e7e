"""One column of a log on disk between the passes of a preparation."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from keras_pss.data.storage.splits import RowNumbers
from keras_pss.data.storage.staging import blocks_of

_BUFFER = 1 << 18
_BLOCK_ROWS = 1 << 17


class StagedFile:
    """Appends arrays to a file, then reads rows back.

    Args:
        path: A new file.
        dtype: NumPy dtype of a value.
        width: Number of values of a row, which is then read as an array
            (n, width), or None for one value and (n,). Default: None.
    """

    def __init__(self, path: Path, dtype: str, width: int | None = None):
        self.dtype = np.dtype(dtype)
        self._path = path
        self._shape = (-1,) if width is None else (-1, width)
        self._file = path.open("wb", buffering=_BUFFER)
        self._rows: np.ndarray | None = None

    def append(self, values: np.ndarray) -> None:
        """Adds rows, which are cast to the dtype."""
        values = np.ascontiguousarray(values, self.dtype)
        self._file.write(values.reshape(-1).view(np.uint8).data)

    def widen(self, dtype: str) -> None:
        """Casts all rows, those to come as well, to a dtype of equal size."""
        self._file.flush()
        held = np.memmap(self._path, self.dtype, "r+") if self.size else None
        self.dtype = np.dtype(dtype)
        if held is not None:
            for start in range(0, len(held), _BLOCK_ROWS):
                block = held[start : start + _BLOCK_ROWS]
                block[:] = block.astype(self.dtype).view(block.dtype)
            held.flush()

    @property
    def size(self) -> int:
        """Number of bytes."""
        return self._file.tell() if self._rows is None else self._rows.nbytes

    def close(self) -> None:
        """Ends writing. Required before reading; may be called again."""
        if self._file.closed:
            return
        self._file.close()
        # An empty file cannot be mapped.
        if self._path.stat().st_size:
            mapped = np.asarray(np.memmap(self._path, self.dtype, "r"))
        else:
            mapped = np.zeros(0, self.dtype)
        self._rows = mapped.reshape(self._shape)

    def remove(self) -> None:
        """Deletes the file."""
        self.close()
        self._rows = None
        self._path.unlink(missing_ok=True)

    def read(self, rows: RowNumbers) -> np.ndarray:
        """Values of some rows."""
        assert self._rows is not None, "close() comes first"
        if isinstance(rows, range):
            return self._rows[rows.start : rows.stop]
        return self._rows[rows]

    def blocks(self, rows: RowNumbers) -> Iterator[np.ndarray]:
        """Values of some rows, a block at a time."""
        for block in blocks_of(rows, _BLOCK_ROWS):
            yield self.read(block)
