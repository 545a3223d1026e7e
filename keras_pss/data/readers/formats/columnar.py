"""Raw columns of Parquet and Arrow IPC files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import polars as pl
from polars.exceptions import ComputeError, PolarsError

from keras_pss.data.readers.blocks import Raw
from keras_pss.data.readers.formats.lines import broken_piece, text_types
from keras_pss.data.readers.formats.types import check_types, typed_rows
from keras_pss.data.readers.reasons import BAD_ARCHIVE
from keras_pss.data.readers.source import Source, checksum
from keras_pss.data.readers.values.columns import Column
from keras_pss.features import Schema

_SCANS: dict[str, Any] = {"parquet": pl.scan_parquet, "ipc": pl.scan_ipc}


class Columnar:
    """Reads Parquet or Arrow IPC files in blocks of rows.

    Args:
        kind: `"parquet"` or `"ipc"`.
        schema: The schema.
        columns: The columns of values.
        names: Names of the columns that are read.
        block_rows: Number of rows of a block.
    """

    def __init__(
        self,
        kind: str,
        schema: Schema,
        columns: Sequence[Column],
        names: Sequence[str],
        block_rows: int,
    ):
        self.scan = _SCANS[kind]
        self.schema = schema
        self.columns = columns
        self.names = list(names)
        self.block_rows = block_rows

    def blocks(self, source: Source) -> Iterator[Callable[[], Raw]]:
        """Functions that each give one block of a file, in order.

        Raises:
            ValueError: If the file lacks a column or one has another type.
        """
        try:
            frame = self.scan(source.path)
            found = frame.collect_schema()
            total = frame.select(pl.len()).collect().item()
        except (PolarsError, OSError) as error:
            yield self._broken(source, error)
            return
        check_types(source.path, found, self.columns, self.schema)
        done = 0
        try:
            for rows in self._batches(frame.select(self.names)):
                done += rows.height
                source.bytes_read = source.size * done // max(1, total)
                yield partial(typed_rows, rows)
        except ComputeError as error:
            yield self._broken(source, error)
        source.sha256 = checksum(source.path)
        source.bytes_read = source.size

    def _batches(self, frame: pl.LazyFrame) -> Iterator[pl.DataFrame]:
        batches = frame.collect_batches(
            chunk_size=self.block_rows, maintain_order=True
        )
        for batch in batches:
            # The size of a batch is a wish to Polars.
            yield from batch.iter_slices(self.block_rows)

    def _broken(self, source: Source, error: Exception) -> Callable[[], Raw]:
        source.complete = False
        source.sha256 = checksum(source.path)
        source.bytes_read = source.size
        data = str(error).encode()
        types = text_types(self.columns)
        return partial(broken_piece, types, data, BAD_ARCHIVE)
