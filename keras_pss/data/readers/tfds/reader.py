"""Raw columns of datasets of TFDS."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import polars as pl

from keras_pss.data.readers.blocks import Raw
from keras_pss.data.readers.formats.types import check_types, typed_rows
from keras_pss.data.readers.tfds.columns import (
    check_flat,
    column_types,
    frames,
)
from keras_pss.data.readers.tfds.split_source import TFDSSplit
from keras_pss.data.readers.values.columns import Column
from keras_pss.features import Schema


class TFDSReader:
    """Reads splits of datasets of TFDS in blocks of rows.

    Args:
        schema: The schema. Only `missing` and `strip` of its format matter.
        columns: The columns of values.
        names: Names of the columns that are read.
        block_rows: Number of rows of a block.
    """

    def __init__(
        self,
        schema: Schema,
        columns: Sequence[Column],
        names: Sequence[str],
        block_rows: int,
    ):
        self.schema = schema
        self.columns = columns
        self.names = list(names)
        self.block_rows = block_rows

    def blocks(self, source: TFDSSplit) -> Iterator[Callable[[], Raw]]:
        """Functions that each give one block of a split, in order.

        Raises:
            ValueError: If the dataset lacks a column, or one has another
                type.
        """
        check_flat(source, self.names)
        types = column_types(source)
        known = pl.Schema({n: dtype for n, dtype in types.items() if dtype})
        check_types(source.path, known, self.columns, self.schema)
        done = 0
        for rows in frames(source, self.names, self.block_rows):
            done += rows.height
            source.bytes_read = source.size * done // max(1, source.num_rows)
            yield partial(typed_rows, rows)
        source.sha256 = source.checksum()
        source.bytes_read = source.size
