"""The group of a record."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_pss.data.encoders.growing_codes import GrowingCodes
from keras_pss.data.encoders.vocabulary import Vocabulary
from keras_pss.data.readers.block import Int32Array
from keras_pss.data.storage.columns.record_column import RecordColumn
from keras_pss.data.storage.columns.staged_file import StagedFile

if TYPE_CHECKING:
    import polars as pl


class GroupColumn(RecordColumn):
    """Numbers of groups, 0, 1, 2, ... in the order of their first rows.

    Args:
        path: The new staging file, or None without one.
        groups: The groups in the order of their first rows, if they are
            known. Default: None.
    """

    kind = "group"
    name = "group"
    width = 1

    def __init__(self, path: Path | None, groups: Vocabulary | None = None):
        self.staged = StagedFile(path, "uint32")
        self._codes = GrowingCodes()
        self._groups = groups

    def block(self, rows: "pl.DataFrame") -> np.ndarray:
        if self._groups is not None:
            return (self._groups(rows["group"]) - 1).view(np.uint32)
        # One column is staged by one thread at a time, so that the codes
        # come in the order of the rows.
        return self._codes(rows["group"])

    def encode(self, values: np.ndarray) -> Int32Array:
        return values.view(np.int32)
