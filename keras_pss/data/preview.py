"""The first rows of a log as a schema reads them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from keras_pss.data.readers.log_reader import LogReader
from keras_pss.features import Schema

if TYPE_CHECKING:
    import polars as pl

    from keras_pss.data.readers.block import Reject


@dataclass(frozen=True)
class Preview:
    """The first rows of a log as a schema reads them.

    Attributes:
        rows: Valid rows, one column for each feature, as they are prepared.
        lines: Number of lines or records that were read for them.
        rejects: Number of those that were refused, by reason.
        first_reject: The first of them, or None.
    """

    rows: pl.DataFrame
    lines: int
    rejects: Counter[str]
    first_reject: Reject | None


def preview(file: str | Path, schema: Schema, rows: int = 3) -> Preview:
    """Reads the first rows of a log, a block at least.

    Args:
        file: The log.
        schema: What it holds.
        rows: Number of rows to return.

    Raises:
        ValueError: If the file lacks a column or is of another format.
    """
    import polars as pl

    reader = LogReader(file, schema, labelled=schema.label is not None)
    found: list[pl.DataFrame] = []
    lines = 0
    for block in reader:
        found.append(block.rows)
        lines += block.lines
        if sum(map(len, found)) >= rows:
            break
    first = pl.concat(found).head(rows) if found else pl.DataFrame()
    return Preview(first, lines, reader.rejects, reader.first_reject)
