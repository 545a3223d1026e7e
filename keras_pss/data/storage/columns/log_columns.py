"""The columns of a log's records and the tables of its texts."""

from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

from keras_pss.data.encoders.counted_texts import CountedTexts
from keras_pss.data.encoders.hashed_texts import HashedTexts
from keras_pss.data.encoders.text_table import TextTable
from keras_pss.data.encoders.vocabulary import Vocabulary
from keras_pss.data.storage.columns.buckets import BucketColumn
from keras_pss.data.storage.columns.dense import DenseColumn
from keras_pss.data.storage.columns.groups import GroupColumn
from keras_pss.data.storage.columns.ids import IdColumn
from keras_pss.data.storage.columns.label import LabelColumn
from keras_pss.data.storage.columns.lists import ListColumn, WeightsColumn
from keras_pss.data.storage.columns.record_column import RecordColumn
from keras_pss.data.storage.log_layout import LogLayout
from keras_pss.features import Dense, Schema


class LogColumns:
    """What turns blocks of values into the words of records.

    Args:
        schema: The schema of the log.
        paths: New staging files, one for each column. Default: no files.
        tables: Tables of texts that are known already, by name. Default:
            empty ones.
        groups: The groups in the order of their first rows, if they are
            known. Default: None.

    Attributes:
        schema: The schema.
        tables: Tables of the texts by their names.
        columns: Columns of the records, in order.
    """

    def __init__(
        self,
        schema: Schema,
        paths: Iterator[Path | None] | None = None,
        tables: dict[str, TextTable] | None = None,
        groups: Vocabulary | None = None,
    ):
        self.schema = schema
        self.tables = new_tables(schema) | (tables or {})
        self._groups = groups
        self.columns = list(self._columns(paths or repeat(None)))

    def _columns(self, paths: Iterator[Path | None]) -> Iterator[RecordColumn]:
        schema = self.schema
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
            yield GroupColumn(next(paths), self._groups)

    @property
    def layout(self) -> LogLayout:
        """The layout of the records of the rows staged so far."""
        return LogLayout.joined(
            (column.name, column.kind, column.width, column.dtype)
            for column in self.columns
        )

    @property
    def dense(self) -> list[DenseColumn]:
        """The columns of numbers."""
        return [c for c in self.columns if isinstance(c, DenseColumn)]

    @property
    def buckets(self) -> list[BucketColumn]:
        """The columns of numbers in buckets."""
        return [c for c in self.columns if isinstance(c, BucketColumn)]

    @property
    def counted(self) -> dict[str, CountedTexts]:
        """The tables whose ids descend by their counts."""
        return {
            name: table
            for name, table in self.tables.items()
            if isinstance(table, CountedTexts)
        }

    def sharing(self, table: TextTable) -> list[IdColumn | ListColumn]:
        """The columns whose texts a table encodes."""
        return [
            column
            for column in self.columns
            if isinstance(column, IdColumn | ListColumn)
            and column.table is table
        ]


def new_tables(schema: Schema) -> dict[str, TextTable]:
    """The tables of a schema's texts, before they know any."""
    tables: dict[str, TextTable] = {}
    for name, (first, *_) in schema.tables.items():
        if isinstance(first, Dense):
            continue
        if first.ids == "hash":
            tables[name] = HashedTexts(first.buckets)
        else:
            tables[name] = CountedTexts(first.min_count, first.max_values)
    return tables
