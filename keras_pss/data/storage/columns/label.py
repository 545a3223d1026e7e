"""The label of a record."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_pss.data.readers.block import Int32Array
from keras_pss.data.storage.columns.record_column import RecordColumn
from keras_pss.data.storage.columns.staged_file import StagedFile

if TYPE_CHECKING:
    import polars as pl


class LabelColumn(RecordColumn):
    """Labels 0 and 1.

    Args:
        path: The new staging file, or None without one.
    """

    kind = "label"
    name = "label"
    width = 1

    def __init__(self, path: Path | None):
        self.staged = StagedFile(path, "int8")

    def block(self, rows: "pl.DataFrame") -> np.ndarray:
        return rows["label"].to_numpy()

    def encode(self, values: np.ndarray) -> Int32Array:
        return values.astype(np.int32)
