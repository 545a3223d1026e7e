"""Rows of a log on disk between the passes of its preparation."""

from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_pss.data.encoders.counted_texts import CountedTexts
from keras_pss.data.encoders.hashed_texts import HashedTexts
from keras_pss.data.encoders.text_table import TextTable
from keras_pss.data.readers.threads import WORKERS, ordered_map
from keras_pss.data.storage.columns.buckets import BucketColumn
from keras_pss.data.storage.columns.dense import DenseColumn
from keras_pss.data.storage.columns.groups import GroupColumn
from keras_pss.data.storage.columns.ids import IdColumn
from keras_pss.data.storage.columns.label import LabelColumn
from keras_pss.data.storage.columns.lists import ListColumn, WeightsColumn
from keras_pss.data.storage.columns.record_column import RecordColumn
from keras_pss.data.storage.columns.staged_file import StagedFile
from keras_pss.data.storage.log_layout import LogLayout
from keras_pss.data.storage.splits import RowNumbers
from keras_pss.features import Dense, Schema

if TYPE_CHECKING:
    import polars as pl

# Blocks are staged together, as each call of Polars has a cost of its own.
_TOGETHER_ROWS = 1 << 17
_TOGETHER_BYTES = 1 << 26

# What the column of a split by a column is staged as.
SPLIT_CODES = {"train": 0, "validation": 1, "test": 2}


class LogStaging:
    """Appends blocks of values to column files, then gives their words.

    Disk: about the size of the records, and 8 bytes per row for the time.
    Memory: the distinct texts, and about 100 MB for the blocks that wait.

    Args:
        directory: An existing folder, in which a file per column is created.
        schema: The schema of the log.

    Attributes:
        schema: The schema.
        num_rows: Number of rows.
        tables: Tables of the texts by their names.
        columns: Columns of the records, in order.
        time: The times, int64 microseconds, if rows are split by them.
        split: `SPLIT_CODES` of the rows, if a column splits them.
    """

    def __init__(self, directory: Path, schema: Schema):
        self.num_rows = 0
        self._waiting: list[pl.DataFrame] = []
        self.schema = schema
        names = count()
        # Names of features may be no names of files.
        self._paths = (directory / f"{number}.bin" for number in names)
        self.tables = _tables(schema)
        self.columns = list(self._columns())
        self.time: StagedFile | None = None
        self.split: StagedFile | None = None
        if schema.timestamp is not None and schema.split.by in _BY_TIME:
            self.time = StagedFile(next(self._paths), "int64")
        if schema.split.by == "column":
            self.split = StagedFile(next(self._paths), "uint8")

    def _columns(self) -> Iterator[RecordColumn]:
        schema, paths = self.schema, self._paths
        if schema.label is not None:
            yield LabelColumn(next(paths))
        for number in schema.dense:
            yield DenseColumn(number, next(paths))
        for one in schema.single:
            if isinstance(one, Dense):
                yield BucketColumn(one, next(paths))
            else:
                yield IdColumn(one.name, self.tables[one.table], next(paths))
        for many in schema.multi:
            name, width = many.name, many.max_length
            table = self.tables[many.table]
            yield ListColumn(name, width, table, next(paths))
            if many.weights is not None:
                yield WeightsColumn(name, width, next(paths))
        if schema.group is not None:
            yield GroupColumn(next(paths))

    @property
    def layout(self) -> LogLayout:
        """The layout of the records of the rows staged so far."""
        return LogLayout.joined(
            (column.name, column.kind, column.width, column.dtype)
            for column in self.columns
        )

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
            self.split.append(self._split_codes(rows["split"]))

    def _split_codes(self, texts: "pl.Series") -> np.ndarray:
        codes = np.zeros(len(texts), np.uint8)
        for name, values in (self.schema.split.values or {}).items():
            codes[texts.is_in(list(values)).to_numpy()] = SPLIT_CODES[name]
        return codes

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
        sharing: dict[TextTable, list[RecordColumn]] = {}
        for column in self.columns:
            if isinstance(column, IdColumn | ListColumn):
                sharing.setdefault(column.table, []).append(column)
        for name, table in self.tables.items():
            table.count(
                block
                for column in sharing[table]
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


_BY_TIME = ("time", "group")


def _tables(schema: Schema) -> dict[str, TextTable]:
    tables: dict[str, TextTable] = {}
    for name, (first, *_) in schema.tables.items():
        if isinstance(first, Dense):
            continue
        if first.ids == "hash":
            tables[name] = HashedTexts(first.buckets)
        else:
            tables[name] = CountedTexts(first.min_count, first.max_values)
    return tables
