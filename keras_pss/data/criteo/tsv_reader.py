"""Reads and parses blocks of Criteo TSV files in background threads."""

from collections import Counter
from collections.abc import Iterator

from keras_pss.data.criteo.parse import parse_block
from keras_pss.data.readers.block import (
    BAD_ARCHIVE,
    Block,
    BrokenRowError,
    Reject,
)
from keras_pss.data.readers.source import (
    Piece,
    Source,
    Sources,
    as_sources,
    whole_lines,
)
from keras_pss.data.readers.threads import WORKERS, ordered_map, prefetch

# The arrays of a block fit into a core's caches and are small enough that
# glibc keeps their memory. With blocks of 512 KiB, threads spent a third of
# their time on page faults in freed memory.
BLOCK_BYTES = 1 << 17


class TsvReader:
    """Iterates over the rows of TSV files in blocks, in order.

    Broken rows are left out of the blocks' arrays. They are listed in
    `block.rejects` with file, line and reason, and counted in `rejects`; the
    first one is `first_reject`. A truncated archive yields its readable rows
    and one reject with the line that was reached. Memory: a few blocks, and
    at most about 100 MB for an archive of one repeated byte.

    Args:
        sources: A path or a list of paths: plain, `.gz`, `.xz` or `.zst`.
        strict: Whether to raise at the first broken row. Default: False.
        labelled: Whether the files have labels. False for files of 39
            columns, whose labels are read as 0. Default: True.
        block_bytes: Size of a block in bytes of text. Default: 131,072.
        workers: Number of parser threads.

    Raises:
        BrokenRowError: While iterating, if `strict` and a row is broken.
        ValueError, FileNotFoundError: See `source.as_sources`.

    Example:

    >>> reader = TsvReader("train.tsv.gz")
    >>> rows = sum(len(block) for block in reader)
    >>> reader.rejects
    Counter({'wrong column count': 2})
    """

    def __init__(
        self,
        sources: Sources,
        *,
        strict: bool = False,
        labelled: bool = True,
        block_bytes: int = BLOCK_BYTES,
        workers: int = WORKERS,
    ):
        self.sources = as_sources(sources)
        self.strict = strict
        self.labelled = labelled
        self.block_bytes = block_bytes
        self.workers = workers
        self.rejects: Counter[str] = Counter()
        self.first_reject: Reject | None = None

    @property
    def bytes_total(self) -> int:
        """Size of all files in bytes."""
        return sum(source.size for source in self.sources)

    @property
    def bytes_done(self) -> int:
        """Number of bytes read so far, slightly ahead of the yielded blocks."""
        return sum(source.bytes_read for source in self.sources)

    def __iter__(self) -> Iterator[Block]:
        self.sources = [Source(source.path) for source in self.sources]
        self.rejects, self.first_reject = Counter(), None
        pieces = prefetch(self._pieces(), depth=2 * self.workers)
        blocks = ordered_map(self._parse, pieces, self.workers)
        try:
            for source, block in blocks:
                block.rejects = [
                    reject._replace(line=reject.line + source.lines)
                    for reject in block.rejects
                ]
                source.lines += block.num_lines
                source.rows += len(block)
                if block.rejects and self.strict:
                    raise BrokenRowError(block.rejects[0])
                if block.rejects and self.first_reject is None:
                    self.first_reject = block.rejects[0]
                self.rejects.update(r.reason for r in block.rejects)
                yield block
        finally:
            blocks.close()
            pieces.close()

    def _pieces(self) -> Iterator[tuple[Source, Piece]]:
        for source in self.sources:
            for piece in whole_lines(source.chunks(), self.block_bytes):
                yield source, piece

    def _parse(self, item: tuple[Source, Piece]) -> tuple[Source, Block]:
        source, (data, reason) = item
        file = str(source.path)
        if not reason:
            return source, parse_block(data, file, 1, self.labelled)
        block = parse_block(b"", file)
        block.rejects = [Reject(file, 1, reason, "", data)]
        # The line at which an archive ends early is not counted as read.
        block.num_lines = int(reason != BAD_ARCHIVE)
        return source, block
