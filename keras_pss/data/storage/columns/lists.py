"""A list of ids of a record, and the list of their weights."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_pss.data.encoders.text_table import PADDING, TextTable
from keras_pss.data.readers.block import Int32Array
from keras_pss.data.storage.columns.record_column import RecordColumn
from keras_pss.data.storage.columns.staged_file import StagedFile

if TYPE_CHECKING:
    import polars as pl


class ListColumn(RecordColumn):
    """Ids of a feature with a list of texts a row, padded with -1.

    Args:
        name: Name of the feature.
        width: Maximum length of a list.
        table: The table that encodes its texts.
        path: The new staging file, or None without one.
    """

    kind = "ids"

    def __init__(
        self, name: str, width: int, table: TextTable, path: Path | None
    ):
        self.name = name
        self.width = width
        self.table = table
        self.staged = StagedFile(path, "uint32", width)

    def texts(self, rows: "pl.DataFrame") -> "pl.Series":
        """The texts of all lists of a block, String (elements,)."""
        return elements(rows[self.name])

    def block(self, rows: "pl.DataFrame") -> np.ndarray:
        codes = self.table.codes(self.texts(rows))
        return padded(rows[self.name], codes, self.width, PADDING)

    def encode(self, values: np.ndarray) -> Int32Array:
        return self.table.ids(values)


class WeightsColumn(RecordColumn):
    """Weights of the elements of lists, padded with 0.

    Args:
        name: Name of the feature.
        width: Maximum length of a list.
        path: The new staging file, or None without one.
    """

    kind = "weights"

    def __init__(self, name: str, width: int, path: Path | None):
        self.name = name
        self.width = width
        self.staged = StagedFile(path, "float32", width)

    @property
    def dtype(self) -> str:
        return "float32"

    def block(self, rows: "pl.DataFrame") -> np.ndarray:
        lists = rows[f"{self.name}:weights"]
        weights = as_float32(elements(lists).to_numpy())
        return padded(lists, weights, self.width, 0)

    def encode(self, values: np.ndarray) -> Int32Array:
        return values.view(np.int32)


def elements(lists: "pl.Series") -> "pl.Series":
    """The elements of all lists in order; empty lists have none."""
    # An empty list is a null in some versions of Polars; nulls do not occur
    # otherwise.
    return lists.explode().drop_nulls()


def padded(
    lists: "pl.Series", values: np.ndarray, width: int, padding: int
) -> np.ndarray:
    """Arranges the elements of lists as an array (n, width)."""
    lengths = lists.list.len().to_numpy()
    array = np.full((len(lengths), width), padding, values.dtype)
    array[np.arange(width) < lengths[:, None]] = values
    return array


def as_float32(values: np.ndarray) -> np.ndarray:
    """Rounds numbers to float32; too large ones become the largest."""
    largest = np.finfo(np.float32).max
    return np.clip(values, -largest, largest).astype(np.float32)
