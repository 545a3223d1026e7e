"""One column of a log on disk between the passes of a preparation."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from keras_pss.data.storage.splits import RowNumbers, blocks_of

BLOCK_ROWS = 1 << 17
_MOST_SPARSE = 16  # rows read in vain for each row that is wanted


class StagedFile:
    """Appends arrays to a file, and reads rows back.

    The file is open only in between, as a log may have thousands of columns.

    Args:
        path: A new file, or None where the rows are kept elsewhere.
        dtype: NumPy dtype of a value.
        width: Number of values of a row, which is then read as an array
            (n, width), or None for one value and (n,). Default: None.
    """

    def __init__(self, path: Path | None, dtype: str, width: int | None = None):
        self.dtype = np.dtype(dtype)
        self._held = path
        self._shape = () if width is None else (width,)
        if path is not None:
            path.touch(exist_ok=False)

    @property
    def _path(self) -> Path:
        assert self._held is not None
        return self._held

    def append(self, values: np.ndarray) -> None:
        """Adds rows, which are cast to the dtype."""
        values = np.ascontiguousarray(values, self.dtype)
        with open(self._path, "ab") as file:
            file.write(values.reshape(-1).view(np.uint8).data)

    def widen(self, dtype: str) -> None:
        """Casts all rows, those to come as well, to a dtype of equal size."""
        before, self.dtype = self.dtype, np.dtype(dtype)
        if self._held is None or not self._path.stat().st_size:
            return  # An empty file cannot be mapped.
        held = np.memmap(self._path, before, "r+")
        for start in range(0, len(held), BLOCK_ROWS):
            block = held[start : start + BLOCK_ROWS]
            block[:] = block.astype(self.dtype).view(before)

    def remove(self) -> None:
        """Deletes the file."""
        if self._held is not None:
            self._path.unlink(missing_ok=True)

    def read(self, rows: RowNumbers) -> np.ndarray:
        """Values of some rows, whose numbers ascend."""
        if not len(rows):
            return np.empty((0, *self._shape), self.dtype)
        first, stop = int(rows[0]), int(rows[-1]) + 1
        if isinstance(rows, range):
            return self._span(first, stop)
        if stop - first <= _MOST_SPARSE * len(rows):
            return self._span(first, stop)[rows - first]
        # Not kept: mapped pages would count as memory of the process.
        mapped = np.memmap(self._path, self.dtype, "r")
        return np.asarray(mapped.reshape(-1, *self._shape)[rows])

    def _span(self, start: int, stop: int) -> np.ndarray:
        values = np.empty((stop - start, *self._shape), self.dtype)
        view = values.reshape(-1).view(np.uint8).data
        with open(self._path, "rb", buffering=0) as file:
            file.seek(start * values[0].nbytes)
            while view:
                count = file.readinto(view)
                if not count:
                    raise EOFError(
                        f"{self._path} has no rows {start} to {stop}"
                    )
                view = view[count:]
        return values

    def blocks(self, rows: RowNumbers) -> Iterator[np.ndarray]:
        """Values of some rows, a block at a time."""
        for block in blocks_of(rows, BLOCK_ROWS):
            yield self.read(block)
