"""Numbers of a record."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from keras_pss.data.readers.block import Int32Array
from keras_pss.data.storage.columns.lists import as_float32
from keras_pss.data.storage.columns.record_column import RecordColumn
from keras_pss.data.storage.columns.staged_file import StagedFile
from keras_pss.data.storage.splits import RowNumbers
from keras_pss.features import Dense

if TYPE_CHECKING:
    import polars as pl

Float64Array = npt.NDArray[np.float64]


class DenseColumn(RecordColumn):
    """Numbers of a feature, filled and clipped, but not transformed yet.

    Integers are int32, or float32 if one of them needs more bits.

    Args:
        feature: The feature.
        path: The new staging file.
    """

    kind = "dense"

    def __init__(self, feature: Dense, path: Path):
        self.name = feature.name
        self.width = feature.size
        self._feature = feature
        self._fill: Float64Array | None = None
        self._moments: tuple[Float64Array, Float64Array] | None = None
        dtype = "int32" if feature.dtype == "integer" else "float32"
        width = None if feature.size == 1 else feature.size
        self.staged = StagedFile(path, dtype, width)

    @property
    def dtype(self) -> str:
        return self.staged.dtype.name

    def stage(self, rows: "pl.DataFrame") -> None:
        values = rows[self.name]
        if self.dtype == "int32":
            numbers = self._integers(values)
            if numbers is not None:
                self.staged.append(numbers)
                return
            self.staged.widen("float32")
        self.staged.append(self._floats(values))

    def _integers(self, values: "pl.Series") -> Int32Array | None:
        """The numbers, or None if one of them needs more than 32 bits."""
        import polars as pl

        low, high = self._feature.minimum, self._feature.maximum
        filled = values.fill_null(_as_int64(self._feature.missing))
        if low is not None or high is not None:
            filled = filled.clip(
                None if low is None else _as_int64(low),
                None if high is None else _as_int64(high),
            )
        narrow = filled.cast(pl.Int32, strict=False)
        return None if narrow.null_count() else narrow.to_numpy()

    def _floats(self, values: "pl.Series") -> npt.NDArray[np.float32]:
        """The numbers; those that the mean will fill are NaN."""
        import polars as pl

        if self.width == 1:
            values = values.cast(pl.Float64)
        numbers = values.to_numpy()  # null becomes NaN
        if self._feature.missing != "mean":
            missing = float(self._feature.missing)
            numbers = np.where(np.isnan(numbers), missing, numbers)
        low, high = self._feature.minimum, self._feature.maximum
        if low is not None or high is not None:
            numbers = np.clip(numbers, low, high)
        return as_float32(numbers)

    def fit(self, train: RowNumbers, develop: Sequence[RowNumbers]) -> None:
        if self._feature.missing == "mean":
            self._fill, _ = self._measure(train)
        if self._feature.transform == "standard":
            self._moments = self._measure(train)

    def _measure(self, rows: RowNumbers) -> tuple[Float64Array, Float64Array]:
        """Mean and standard deviation of the numbers, each (width,).

        NaN does not count. Without numbers, the mean is 0.
        """
        total, count = np.zeros(self.width), np.zeros(self.width)
        for block in self.staged.blocks(rows):
            numbers = self._filled(block).reshape(-1, self.width)
            total += np.nansum(numbers, 0, dtype=np.float64)
            count += len(numbers) - np.isnan(numbers).sum(0)
        mean = total / np.maximum(count, 1)
        squares = np.zeros(self.width)
        for block in self.staged.blocks(rows):
            numbers = self._filled(block).reshape(-1, self.width)
            squares += np.nansum(np.square(numbers - mean), 0)
        return mean, np.sqrt(squares / np.maximum(count, 1))

    def _filled(self, numbers: np.ndarray) -> np.ndarray:
        if self._fill is None:
            return numbers
        fill = as_float32(self._fill)
        if self.width == 1:
            fill = fill[0]
        return np.where(np.isnan(numbers), fill, numbers)

    def words(self, rows: RowNumbers) -> Int32Array:
        return self._filled(self.staged.read(rows)).view(np.int32)

    def statistics(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if self._fill is not None:
            found["missing"] = self._fill.tolist()
        if self._moments is not None:
            mean, deviation = self._moments
            found["mean"] = mean.tolist()
            found["deviation"] = deviation.tolist()
        return found


def _as_int64(number: float | str) -> int:
    """A whole number; too large ones become the largest of 64 bits."""
    return max(-(2**63), min(int(number), 2**63 - 1))
