"""Reads the files of any log in blocks of valid values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

from keras_pss.data.readers.block import BrokenRowError, Reject
from keras_pss.data.readers.blocks import Raw, Values
from keras_pss.data.readers.formats.columnar import Columnar
from keras_pss.data.readers.formats.delimited import Delimited
from keras_pss.data.readers.formats.kinds import check_kind, kind_of
from keras_pss.data.readers.formats.ndjson import NDJSON
from keras_pss.data.readers.formats.tfrecord import TFRecord
from keras_pss.data.readers.source import Source, Sources
from keras_pss.data.readers.tfds.reader import TFDSReader
from keras_pss.data.readers.tfds.split_source import TFDSSplit, log_sources
from keras_pss.data.readers.threads import WORKERS, ordered_map, prefetch
from keras_pss.data.readers.values.caster import Caster
from keras_pss.features import Schema

BLOCK_BYTES = 1 << 23
BLOCK_ROWS = 50_000


class LogReader:
    """Iterates over the rows of any log in blocks of valid values, in order.

    Rows that the schema does not allow are left out. They are listed in
    `block.rejects` with file, line, reason and column, and counted in
    `rejects`; the first one is `first_reject`. A truncated archive yields its
    readable rows and one reject with the line that was reached.

    Args:
        sources: A path or a list of paths: text (also as `.gz`, `.xz` or
            `.zst`), Parquet, Arrow IPC or TFRecord; or names of datasets of
            TensorFlow Datasets such as `"tfds:movielens/1m-ratings[train]"`.
        schema: A `Schema`.
        strict: Whether to raise at the first rejected row. Default: False.
        labelled: Whether to read what only training and evaluation need: the
            label, the group and the split. Default: True.
        block_bytes: Size of a block in bytes of text. Default: 8 MiB.
        block_rows: Number of rows of a block of other files. Default: 50,000.
        workers: Number of threads that parse, beside those of Polars.

    Attributes:
        sources: The files with their size, SHA-256, lines and rows, as far as
            they were read.
        cast: Makes valid values of the raw rows of a block.

    Raises:
        BrokenRowError: While iterating, if `strict` and a row is rejected.
        ValueError, FileNotFoundError: See `as_sources`, `open_dataset`. While
            iterating, if a file lacks a column or is another kind of file.

    Example:

    ```python
    from keras_pss.data.readers.log_reader import LogReader
    from keras_pss.features import Categorical, Label, Schema

    schema = Schema([Categorical("city")], label=Label("clicked"))
    reader = LogReader("clicks.csv.gz", schema)
    rows = sum(len(block) for block in reader)
    reader.rejects  # Counter({'label is missing': 2})
    ```
    """

    def __init__(
        self,
        sources: Sources,
        schema: Schema,
        *,
        strict: bool = False,
        labelled: bool = True,
        block_bytes: int = BLOCK_BYTES,
        block_rows: int = BLOCK_ROWS,
        workers: int = WORKERS,
    ):
        self.sources = log_sources(sources)
        self.schema = schema
        self.strict = strict
        self.labelled = labelled
        self.block_bytes = block_bytes
        self.block_rows = block_rows
        self.workers = workers
        self.rejects: Counter[str] = Counter()
        self.first_reject: Reject | None = None
        self.cast = Caster(schema, labelled)

    @property
    def bytes_total(self) -> int:
        """Size of all files in bytes."""
        return sum(source.size for source in self.sources)

    @property
    def bytes_done(self) -> int:
        """Number of bytes read so far, slightly ahead of the yielded blocks."""
        return sum(source.bytes_read for source in self.sources)

    def __iter__(self) -> Iterator[Values]:
        self.sources = [replace(source) for source in self.sources]
        self.rejects, self.first_reject = Counter(), None
        raw = prefetch(self._raw(), depth=2 * self.workers)
        blocks = ordered_map(self._values, raw, self.workers)
        try:
            for source, block in blocks:
                block.rejects = [
                    reject._replace(
                        file=str(source.path), line=reject.line + source.lines
                    )
                    for reject in block.rejects
                ]
                source.lines += block.lines
                source.rows += len(block)
                if block.rejects and self.strict:
                    raise BrokenRowError(block.rejects[0])
                if block.rejects and self.first_reject is None:
                    self.first_reject = block.rejects[0]
                self.rejects.update(r.reason for r in block.rejects)
                yield block
        finally:
            blocks.close()
            raw.close()

    def _raw(self) -> Iterator[tuple[Source, Callable[[], Raw]]]:
        for source in self.sources:
            for read in self.blocks(source):
                yield source, read

    def blocks(self, source: Source) -> Iterator[Callable[[], Raw]]:
        """Functions that each parse one block of a source, in order.

        They can be pickled: another process may call one, and `cast` makes
        values of what it gives.
        """
        schema, cast = self.schema, self.cast
        if isinstance(source, TFDSSplit):
            return TFDSReader(
                schema, cast.columns, cast.names, self.block_rows
            ).blocks(source)
        kind = kind_of(source.path, schema.format)
        check_kind(source.path, kind, schema.format)
        if kind == "csv":
            label = schema.label
            optional = None if self.labelled or label is None else label.column
            return Delimited(
                schema.format,
                cast.names,
                optional,
                self.block_bytes,
                cast.integers,
            ).blocks(source)
        if kind == "ndjson":
            return NDJSON(cast.columns, self.block_bytes).blocks(source)
        if kind == "tfrecord":
            return TFRecord(schema, cast.columns, self.block_rows).blocks(
                source
            )
        return Columnar(
            kind, schema, cast.columns, cast.names, self.block_rows
        ).blocks(source)

    def _values(
        self, item: tuple[Source, Callable[[], Raw]]
    ) -> tuple[Source, Values]:
        source, read = item
        return source, self.cast(read())
