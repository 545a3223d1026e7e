"""Encodes rows that were not prepared, as the prepared ones were encoded."""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from keras_pss.data.encoders.vocabulary import Vocabulary
from keras_pss.data.readers.block import Int32Array
from keras_pss.data.storage.columns.buckets import bucket_ids
from keras_pss.data.storage.columns.lists import as_float32, elements, padded
from keras_pss.data.storage.log_encoding import LogEncoding
from keras_pss.features import Dense

if TYPE_CHECKING:
    import polars as pl

Float32Array = npt.NDArray[np.float32]


class RowEncoder:
    """Maps valid values of rows to the features of a model.

    Args:
        encoding: A prepared log, or the encoder of a run.
    """

    def __init__(self, encoding: LogEncoding):
        self._encoding = encoding
        self._schema = encoding.schema
        self._vocabularies = {
            name: Vocabulary(encoding.vocabulary(name), np.zeros(0, np.int64))
            for name, features in encoding.schema.tables.items()
            if not isinstance(features[0], Dense) and features[0].ids != "hash"
        }

    def __call__(self, rows: "pl.DataFrame") -> dict[str, np.ndarray]:
        """Encodes values, such as those of a `LogReader`'s blocks.

        Args:
            rows: Values of n rows; see `readers.blocks.Values`.

        Returns:
            Arrays as in the elements of `dataset`, except that the numbers of
            `"dense"` are not transformed yet.
        """
        features: dict[str, np.ndarray] = {}
        if self._schema.dense:
            dense = [self._numbers(f, rows) for f in self._schema.dense]
            features["dense"] = np.concatenate(dense, axis=1)
        if self._schema.single:
            each = [self._ids(f, rows[f.name]) for f in self._schema.single]
            features["categorical"] = np.stack(each, axis=1)
        for feature in self._schema.multi:
            lists, width = rows[feature.name], feature.max_length
            ids = self._ids(feature, elements(lists))
            features[feature.name] = padded(lists, ids, width, -1)
            if feature.weights is not None:
                lists = rows[f"{feature.name}:weights"]
                weights = as_float32(elements(lists).to_numpy())
                name = f"{feature.name}_weights"
                features[name] = padded(lists, weights, width, 0)
        return features

    def _ids(self, feature: Any, values: "pl.Series") -> Int32Array:
        if isinstance(feature, Dense):
            borders = self._encoding.statistics[feature.name]["borders"]
            numbers = as_float32(_clipped(feature, _floats(values)))
            return bucket_ids(numbers, np.array(borders, np.float32))
        if feature.ids == "hash":
            return self._encoding.hashed(feature, values)
        return self._vocabularies[feature.table](values)

    def _numbers(self, feature: Dense, rows: "pl.DataFrame") -> Float32Array:
        """Filled and clipped numbers, (n, size)."""
        numbers = _floats(rows[feature.name]).reshape(-1, feature.size)
        missing = feature.missing
        if missing != "mean":
            numbers = np.where(np.isnan(numbers), float(missing), numbers)
        filled: Float32Array = as_float32(_clipped(feature, numbers))
        if missing == "mean":
            mean = np.array(self._encoding.statistics[feature.name]["missing"])
            filled = np.where(np.isnan(filled), as_float32(mean), filled)
        return filled


def _floats(values: "pl.Series") -> npt.NDArray[np.float64]:
    """Numbers as float64, NaN where they are missing."""
    import polars as pl

    if values.dtype.is_numeric():
        values = values.cast(pl.Float64)
    return values.to_numpy()


def _clipped(
    feature: Dense, numbers: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    if feature.minimum is None and feature.maximum is None:
        return numbers
    return np.clip(numbers, feature.minimum, feature.maximum)
