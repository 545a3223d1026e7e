"""Shards of records with the layout of a schema."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_pss.data.readers.block import Int32Array
from keras_pss.data.readers.threads import ordered_map
from keras_pss.data.storage.columns.record_column import RecordColumn
from keras_pss.data.storage.log_layout import LogLayout
from keras_pss.data.storage.splits import RowNumbers, blocks_of

DTYPE = np.dtype("<i4")

_BLOCK_WORDS = 1 << 18  # the arrays of a block fit into the caches


def write_shard(
    path: Path,
    layout: LogLayout,
    columns: Sequence[RecordColumn],
    rows: RowNumbers,
    workers: int,
) -> dict[str, Any]:
    """Writes the records of some staged rows.

    Args:
        path: The new file.
        layout: The layout of the records.
        columns: The staged and fitted columns, in the layout's order.
        rows: Numbers of the rows to write.
        workers: Number of threads that encode.

    Returns:
        The shard's entry in the metadata; see `write_records`.
    """

    def encode(part: RowNumbers) -> Int32Array:
        words = (column.words(part) for column in columns)
        return joined(layout, words, len(part))

    blocks = blocks_of(rows, max(1, _BLOCK_WORDS // layout.words))
    with open(path, "wb", buffering=0) as file:
        records = ordered_map(encode, blocks, workers)
        return write_records(file, path.name, layout, records)


def joined(
    layout: LogLayout, words: Iterable[Int32Array], rows: int
) -> Int32Array:
    """Records (rows, layout.words) of the words of all columns, in order."""
    records = np.empty((rows, layout.words), DTYPE)
    for place, values in zip(layout.columns, words, strict=True):
        to = slice(place.offset, place.offset + place.width)
        records[:, to] = values.reshape(rows, -1)
    return records


def write_records(
    file: Any, name: str, layout: LogLayout, blocks: Iterable[Int32Array]
) -> dict[str, Any]:
    """Writes the records of a shard.

    Args:
        file: A file that is open for writing.
        name: Name of the shard.
        layout: The layout of the records.
        blocks: Records in order, each int32 (n, layout.words).

    Returns:
        The shard's entry in the metadata: `name`, `rows`, `clicks` (None
        without a label) and `sha256`.
    """
    labelled = bool(layout.of("label"))
    digest = hashlib.sha256()
    rows, clicks = 0, 0
    for records in blocks:
        rows += len(records)
        clicks += int(records[:, 0].sum()) if labelled else 0
        digest.update(records.data)
        write_all(file, records.data)
    return {
        "name": name,
        "rows": rows,
        "clicks": clicks if labelled else None,
        "sha256": digest.hexdigest(),
    }


def write_all(file: Any, data: memoryview) -> None:
    """Writes all bytes; a raw file may accept only some at a time."""
    view = data.cast("B")
    while view:
        view = view[file.write(view) :]
