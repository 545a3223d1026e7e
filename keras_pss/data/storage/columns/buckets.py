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
        path: The new staging file.
    """

    kind = "id"
    width = 1

    def __init__(self, feature: Dense, path: Path):
        assert feature.num_buckets is not None
        self.name = feature.name
        self._feature = feature
        self._num_buckets = feature.num_buckets
        self._borders = np.zeros(0, np.float32)
        self.counts = np.zeros(feature.num_buckets + 1, np.int64)
        self.staged = StagedFile(path, "float32")

    def stage(self, rows: "pl.DataFrame") -> None:
        import polars as pl

        numbers = rows[self.name].cast(pl.Float64).to_numpy()  # null is NaN
        low, high = self._feature.minimum, self._feature.maximum
        if low is not None or high is not None:
            numbers = np.clip(numbers, low, high)
        self.staged.append(as_float32(numbers))

    def fit(self, train: RowNumbers, develop: Sequence[RowNumbers]) -> None:
        self._borders = borders(self.staged.read(train), self._num_buckets)
        for rows in develop:
            for block in self.staged.blocks(rows):
                ids = bucket_ids(block, self._borders)
                self.counts += np.bincount(ids, minlength=len(self.counts))

    def words(self, rows: RowNumbers) -> Int32Array:
        return bucket_ids(self.staged.read(rows), self._borders)

    def statistics(self) -> dict[str, Any]:
        return {"borders": self._borders.tolist()}


def borders(numbers: Float32Array, num_buckets: int) -> Float32Array:
    """Quantiles k / num_buckets, k = 1 ... num_buckets - 1, of numbers.

    NaN does not count; without numbers, all borders are 0. Each border is one
    of the numbers, so equal numbers may give equal borders and empty buckets.
    """
    numbers = np.sort(numbers[~np.isnan(numbers)])
    if not len(numbers):
        return np.zeros(num_buckets - 1, np.float32)
    at = np.arange(1, num_buckets) * len(numbers) // num_buckets
    return numbers[at]


def bucket_ids(numbers: Float32Array, borders: Float32Array) -> Int32Array:
    """Ids int32 (n,): 0 for NaN, else 1 + the number of borders <= x."""
    ids = 1 + np.searchsorted(borders, numbers, side="right")
    return np.where(np.isnan(numbers), 0, ids).astype(np.int32)
