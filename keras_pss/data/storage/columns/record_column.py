"""Base class of the columns of a record."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_pss.data.readers.block import Int32Array
from keras_pss.data.storage.columns.staged_file import StagedFile
from keras_pss.data.storage.splits import RowNumbers

if TYPE_CHECKING:
    import polars as pl


class RecordColumn(ABC):
    """Stages one column of a log and writes it as words of records.

    Columns are staged block by block, in the order of the rows; several
    columns may be staged at once. Then `fit` is called, and then `words`, by
    several threads. Where the rows of a log are on several machines, each
    calls `block` and `encode` alone, and what `fit` learns is set from what
    all machines have counted.

    Attributes:
        name: Name of the feature, or `"label"` or `"group"`.
        kind: A kind of `log_layout.KINDS`.
        width: Number of words.
        staged: The staged rows.
    """

    kind: str
    name: str
    width: int
    staged: StagedFile

    @property
    def dtype(self) -> str:
        """`"int32"` or `"float32"`: what a word holds."""
        return "int32"

    @abstractmethod
    def block(self, rows: "pl.DataFrame") -> np.ndarray:
        """The values of a block that are staged, (n,) or (n, width)."""

    def stage(self, rows: "pl.DataFrame") -> None:
        """Adds the rows of a block."""
        self.staged.append(self.block(rows))

    def fit(  # noqa: B027, most columns learn nothing
        self, train: RowNumbers, develop: Sequence[RowNumbers]
    ) -> None:
        """Learns from the rows what `words` needs.

        Args:
            train: The training rows.
            develop: All rows except the test rows, in parts.
        """

    @abstractmethod
    def encode(self, values: np.ndarray) -> Int32Array:
        """Words of staged values, int32 (n, width), or (n,) of width 1."""

    def words(self, rows: RowNumbers) -> Int32Array:
        """Words of some rows, int32 (n, width), or (n,) of width 1."""
        return self.encode(self.staged.read(rows))

    def statistics(self) -> dict[str, Any]:
        """What `fit` has learned, as JSON values."""
        return {}
