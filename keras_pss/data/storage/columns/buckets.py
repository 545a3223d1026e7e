"""The bucket of a number in a record."""

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

Float32Array = npt.NDArray[np.float32]


class BucketColumn(RecordColumn):
    """Ids of the quantile buckets of a number.

    Id 0 is a missing value, and id 1 + k a number with k borders at or below
    it. The borders are quantiles of the training rows; comparisons are in
    float32.

    Memory: 4 bytes per row in `fit`, which sorts one column at a time.

    Args:
        feature: The feature.
        path: The new staging file, or None without one.
    """

    kind = "id"
    width = 1

    def __init__(self, feature: Dense, path: Path | None):
        assert feature.num_buckets is not None
        self.name = feature.name
        self._feature = feature
        self.num_buckets = feature.num_buckets
        self.borders = np.zeros(0, np.float32)
        self.counts = np.zeros(feature.num_buckets + 1, np.int64)
        self.staged = StagedFile(path, "float32")

    def block(self, rows: "pl.DataFrame") -> np.ndarray:
        import polars as pl

        numbers = rows[self.name].cast(pl.Float64).to_numpy()  # null is NaN
        low, high = self._feature.minimum, self._feature.maximum
        if low is not None or high is not None:
            numbers = np.clip(numbers, low, high)
        return as_float32(numbers)

    def fit(self, train: RowNumbers, develop: Sequence[RowNumbers]) -> None:
        self.borders = borders(self.staged.read(train), self.num_buckets)
        for rows in develop:
            for block in self.staged.blocks(rows):
                self.count(self.encode(block))

    def count(self, ids: Int32Array) -> None:
        """Counts ids of rows that are not for testing."""
        self.counts += np.bincount(ids, minlength=len(self.counts))

    def encode(self, values: np.ndarray) -> Int32Array:
        return bucket_ids(values, self.borders)

    def statistics(self) -> dict[str, Any]:
        return {"borders": self.borders.tolist()}


def borders(numbers: Float32Array, num_buckets: int) -> Float32Array:
    """Quantiles k / num_buckets, k = 1 ... num_buckets - 1, of numbers.

    NaN does not count; without numbers, all borders are 0. Each border is one
    of the numbers, so equal numbers may give equal borders and empty buckets.
    """
    numbers = np.sort(numbers[~np.isnan(numbers)])
    if not len(numbers):
        return np.zeros(num_buckets - 1, np.float32)
    at = np.arange(1, num_buckets) * len(numbers) // num_buckets
    return numbers[at] + np.float32(0)  # -0 is 0, whichever came first


def counted_borders(
    numbers: Float32Array, counts: npt.NDArray[np.int64], num_buckets: int
) -> Float32Array:
    """`borders` of numbers that are given with their counts.

    Args:
        numbers: Distinct numbers in ascending order, (n,), without NaN.
        counts: The count of each, (n,).
        num_buckets: Number of buckets.
    """
    if not len(numbers):
        return borders(numbers, num_buckets)
    behind = np.cumsum(counts)
    at = np.arange(1, num_buckets) * behind[-1] // num_buckets
    found = numbers[np.searchsorted(behind, at, side="right")]
    return found + np.float32(0)


def bucket_ids(numbers: Float32Array, borders: Float32Array) -> Int32Array:
    """Ids int32 (n,): 0 for NaN, else 1 + the number of borders <= x."""
    ids = 1 + np.searchsorted(borders, numbers, side="right")
    return np.where(np.isnan(numbers), 0, ids).astype(np.int32)
