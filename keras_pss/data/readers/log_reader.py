"""Reads the files of any log in blocks of valid values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from keras_pss.data.readers.block import BrokenRowError, Reject
from keras_pss.data.readers.blocks import Raw, Values
from keras_pss.data.readers.delimited import Delimited
from keras_pss.data.readers.source import Source, Sources, as_sources
from keras_pss.data.readers.threads import WORKERS, ordered_map, prefetch
from keras_pss.data.readers.values import Caster
from keras_pss.features import Schema

BLOCK_BYTES = 1 << 22


class LogReader:
    def __init__(
        self,
        sources: Sources,
        schema: Schema,
        *,
        strict: bool = False,
        labelled: bool = True,
        block_bytes: int = BLOCK_BYTES,
        workers: int = WORKERS,
    ):
        self.sources = as_sources(sources)
        self.schema = schema
        self.strict = strict
        self.labelled = labelled
        self.block_bytes = block_bytes
        self.workers = workers
        self.rejects: Counter[str] = Counter()
        self.first_reject: Reject | None = None
        self._cast = Caster(schema, labelled)

    def __iter__(self) -> Iterator[Values]:
        self.sources = [Source(source.path) for source in self.sources]
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
        label = self.schema.label
        optional = None if self.labelled or label is None else label.column
        for source in self.sources:
            reader = Delimited(
                self.schema.format, self._cast.names, optional, self.block_bytes
            )
            for read in reader.blocks(source):
                yield source, read

    def _values(
        self, item: tuple[Source, Callable[[], Raw]]
    ) -> tuple[Source, Values]:
        source, read = item
        return source, self._cast(read())
