"""Rows of a log on disk between the passes of its preparation."""

from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_pss.data.readers.threads import WORKERS, ordered_map
from keras_pss.data.storage.columns.groups import GroupColumn
from keras_pss.data.storage.columns.log_columns import LogColumns
from keras_pss.data.storage.columns.staged_file import StagedFile
from keras_pss.data.storage.log_splits import split_codes
from keras_pss.data.storage.splits import RowNumbers
from keras_pss.features import Schema

if TYPE_CHECKING:
    import polars as pl

# Blocks are staged together, as each call of Polars has a cost of its own.
_TOGETHER_ROWS = 1 << 17
_TOGETHER_BYTES = 1 << 26


class LogStaging(LogColumns):
    """Appends blocks of values to column files, then gives their words.

    Disk: about the size of the records, and 8 bytes per row for the time.
    Memory: the distinct texts, and about 100 MB for the blocks that wait.

    Args:
        directory: An existing folder, in which a file per column is created.
        schema: The schema of the log.

    Attributes:
        num_rows: Number of rows.
        time: The times, int64 microseconds, if rows are split by them.
        split: `SPLIT_CODES` of the rows, if a column splits them.
    """

    def __init__(self, directory: Path, schema: Schema):
        self.num_rows = 0
        self._waiting: list[pl.DataFrame] = []
        names = count()
        # Names of features may be no names of files.
        paths = (directory / f"{number}.bin" for number in names)
        super().__init__(schema, paths)
        self.time: StagedFile | None = None
        self.split: StagedFile | None = None
        if splits_by_time(schema):
            self.time = StagedFile(next(paths), "int64")
        if schema.split.by == "column":
            self.split = StagedFile(next(paths), "uint8")

    def append(self, rows: "pl.DataFrame") -> None:
        """Adds the rows of a block of values."""
        self._waiting.append(rows)
        self.num_rows += len(rows)
        count = sum(map(len, self._waiting))
        size = sum(int(waits.estimated_size()) for waits in self._waiting)
        if count >= _TOGETHER_ROWS or size >= _TOGETHER_BYTES:
            self._stage()

    def _stage(self) -> None:
        """Stages the rows that wait."""
        import polars as pl

        if not self._waiting:
            return
        rows = pl.concat(self._waiting)
        self._waiting = []
        for _ in ordered_map(lambda c: c.stage(rows), self.columns, WORKERS):
            pass
        if self.time is not None:
            self.time.append(rows["time"].to_numpy())
        if self.split is not None:
            self.split.append(split_codes(self.schema.split, rows["split"]))

    def times(self) -> np.ndarray | None:
        """The times of all rows, if rows are split by them."""
        if self.time is None:
            return None
        return self.time.read(range(self.num_rows))

    def codes(self) -> np.ndarray:
        """`SPLIT_CODES` of all rows."""
        assert self.split is not None
        return self.split.read(range(self.num_rows))

    def groups(self) -> np.ndarray:
        """Numbers of the groups of all rows."""
        (column,) = (c for c in self.columns if isinstance(c, GroupColumn))
        return column.words(range(self.num_rows))

    def fit(
        self, train: RowNumbers, develop: Sequence[RowNumbers]
    ) -> Iterator[str]:
        """Gives ids to texts and fits the columns.

        Args:
            train: The training rows.
            develop: All rows except the test rows, in parts.

        Yields:
            The name of each table and column that is done.
        """
        for name, table in self.tables.items():
            table.count(
                block
                for column in self.sharing(table)
                for rows in develop
                for block in column.staged.blocks(rows)
            )
            yield name
        for column in self.columns:
            column.fit(train, develop)
            yield column.name

    def close(self) -> None:
        """Ends writing. Required before reading; may be called again."""
        self._stage()

    def remove(self) -> None:
        """Deletes the files."""
        self._waiting = []
        for file in self._files():
            file.remove()

    def _files(self) -> Iterator[StagedFile]:
        yield from (column.staged for column in self.columns)
        yield from (f for f in (self.time, self.split) if f is not None)


def splits_by_time(schema: Schema) -> bool:
    """Whether the split of a schema reads the times of rows."""
    return schema.timestamp is not None and schema.split.by in _BY_TIME


_BY_TIME = ("time", "group")
