"""One id of a record."""

from pathlib import Path
from typing import TYPE_CHECKING

from keras_pss.data.encoders.text_table import TextTable
from keras_pss.data.readers.block import Int32Array
from keras_pss.data.storage.columns.record_column import RecordColumn
from keras_pss.data.storage.columns.staged_file import StagedFile
from keras_pss.data.storage.splits import RowNumbers

if TYPE_CHECKING:
    import polars as pl


class IdColumn(RecordColumn):
    """Ids of a feature with one text a row.

    Args:
        name: Name of the feature.
        table: The table that encodes its texts.
        path: The new staging file.
    """

    kind = "id"
    width = 1

    def __init__(self, name: str, table: TextTable, path: Path):
        self.name = name
        self.table = table
        self.staged = StagedFile(path, "uint32")

    def stage(self, rows: "pl.DataFrame") -> None:
        self.staged.append(self.table.codes(rows[self.name]))

    def words(self, rows: RowNumbers) -> Int32Array:
        return self.table.ids(self.staged.read(rows))
