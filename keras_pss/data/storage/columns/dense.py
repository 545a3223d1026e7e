"""Numbers of a record."""

from collections.abc import Iterable, Iterator, Sequence
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
Sums = tuple[Any, Any]


class DenseColumn(RecordColumn):
    """Numbers of a feature, filled and clipped, but not transformed yet.

    Integers are int32, or float32 if one of them needs more bits.

    Args:
        feature: The feature.
        path: The new staging file, or None without one.
    """

    kind = "dense"

    def __init__(self, feature: Dense, path: Path | None):
        self.name = feature.name
        self.width = feature.size
        self._feature = feature
        self.fill: Float64Array | None = None
        self.moments: tuple[Float64Array, Float64Array] | None = None
        dtype = "int32" if feature.dtype == "integer" else "float32"
        width = None if feature.size == 1 else feature.size
        self.staged = StagedFile(path, dtype, width)

    @property
    def dtype(self) -> str:
        return self.staged.dtype.name

    @property
    def needs_fill(self) -> bool:
        """Whether the mean stands for missing numbers."""
        return self._feature.missing == "mean"

    @property
    def needs_moments(self) -> bool:
        """Whether models read the mean and the deviation."""
        return self._feature.transform == "standard"

    def block(self, rows: "pl.DataFrame") -> np.ndarray:
        values = rows[self.name]
        if self.dtype == "int32":
            numbers = self._integers(values)
            if numbers is not None:
                return numbers
            self.staged.widen("float32")
        return self._floats(values)

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
        def totals() -> Iterator[Sums]:
            return map(self.totals, self.staged.blocks(train))

        if self.needs_fill:
            self.fill = mean(totals(), self.width)
        if self.needs_moments:
            center = mean(totals(), self.width)
            squares = (
                self.squares(block, center)
                for block in self.staged.blocks(train)
            )
            self.moments = center, np.sqrt(mean(squares, self.width))

    def totals(self, block: np.ndarray) -> Sums:
        """Sums and numbers of values of a block; NaN does not count."""
        numbers = self._filled(block).reshape(-1, self.width)
        count = len(numbers) - np.isnan(numbers).sum(0)
        return np.nansum(numbers, 0, dtype=np.float64), count

    def squares(self, block: np.ndarray, center: Float64Array) -> Sums:
        """As `totals`, of the squared distances to `center`, (width,)."""
        numbers = self._filled(block).reshape(-1, self.width)
        count = len(numbers) - np.isnan(numbers).sum(0)
        return np.nansum(np.square(numbers - center), 0), count

    def _filled(self, numbers: np.ndarray) -> np.ndarray:
        if self.fill is None:
            return numbers
        fill = as_float32(self.fill)
        if self.width == 1:
            fill = fill[0]
        return np.where(np.isnan(numbers), fill, numbers)

    def encode(self, values: np.ndarray) -> Int32Array:
        return self._filled(values).view(np.int32)

    def statistics(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if self.fill is not None:
            found["missing"] = self.fill.tolist()
        if self.moments is not None:
            center, deviation = self.moments
            found["mean"] = center.tolist()
            found["deviation"] = deviation.tolist()
        return found


def mean(sums: Iterable[Sums], width: int) -> Float64Array:
    """The mean (width,) of blocks' sums, 0 where there are no numbers.

    The order of the blocks matters to the last bits.
    """
    total, count = np.zeros(width), np.zeros(width)
    for added, more in sums:
        total += added
        count += more
    return total / np.maximum(count, 1)


def _as_int64(number: float | str) -> int:
    """A whole number; too large ones become the largest of 64 bits."""
    return max(-(2**63), min(int(number), 2**63 - 1))
