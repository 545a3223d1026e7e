"""The label of a record."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_pss.data.readers.block import Int32Array
from keras_pss.data.storage.columns.record_column import RecordColumn
from keras_pss.data.storage.columns.staged_file import StagedFile
from keras_pss.data.storage.splits import RowNumbers

if TYPE_CHECKING:
    import polars as pl


class LabelColumn(RecordColumn):
    """Labels 0 and 1.

    Args:
        path: The new staging file.
    """

    kind = "label"
    name = "label"
    width = 1

    def __init__(self, path: Path):
        self.staged = StagedFile(path, "int8")

    def stage(self, rows: "pl.DataFrame") -> None:
        self.staged.append(rows["label"].to_numpy())

    def words(self, rows: RowNumbers) -> Int32Array:
        return self.staged.read(rows).astype(np.int32)
