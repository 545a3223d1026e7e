"""One id of a record."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_pss.data.encoders.text_table import TextTable
from keras_pss.data.readers.block import Int32Array
from keras_pss.data.storage.columns.record_column import RecordColumn
from keras_pss.data.storage.columns.staged_file import StagedFile

if TYPE_CHECKING:
    import polars as pl


class IdColumn(RecordColumn):
    """Ids of a feature with one text a row.

    Args:
        name: Name of the feature.
        table: The table that encodes its texts.
        path: The new staging file, or None without one.
    """

    kind = "id"
    width = 1

    def __init__(self, name: str, table: TextTable, path: Path | None):
        self.name = name
        self.table = table
        self.staged = StagedFile(path, "uint32")

    def texts(self, rows: "pl.DataFrame") -> "pl.Series":
        """The texts of a block, String (n,)."""
        return rows[self.name]

    def block(self, rows: "pl.DataFrame") -> np.ndarray:
        return self.table.codes(self.texts(rows))

    def encode(self, values: np.ndarray) -> Int32Array:
        return self.table.ids(values)
