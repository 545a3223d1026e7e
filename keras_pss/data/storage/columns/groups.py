"""The group of a record."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_pss.data.encoders.growing_codes import GrowingCodes
from keras_pss.data.readers.block import Int32Array
from keras_pss.data.storage.columns.record_column import RecordColumn
from keras_pss.data.storage.columns.staged_file import StagedFile
from keras_pss.data.storage.splits import RowNumbers

if TYPE_CHECKING:
    import polars as pl


class GroupColumn(RecordColumn):
    """Numbers of groups, 0, 1, 2, ... in the order of their first rows.

    Args:
        path: The new staging file.
    """

    kind = "group"
    name = "group"
    width = 1

    def __init__(self, path: Path):
        self.staged = StagedFile(path, "uint32")
        self._codes = GrowingCodes()

    def stage(self, rows: "pl.DataFrame") -> None:
        # One column is staged by one thread at a time, so that the codes
        # come in the order of the rows.
        self.staged.append(self._codes(rows["group"]))

    def words(self, rows: RowNumbers) -> Int32Array:
        return self.staged.read(rows).view(np.int32)
