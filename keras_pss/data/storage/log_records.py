"""Shards of records with the layout of a schema."""

import hashlib
from collections.abc import Sequence
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
        The shard's entry in the metadata: `name`, `rows`, `clicks` (None
        without a label) and `sha256`.
    """
    places = [
        (column, slice(place.offset, place.offset + place.width))
        for column, place in zip(columns, layout.columns, strict=True)
    ]

    def encode(part: RowNumbers) -> Int32Array:
        records = np.empty((len(part), layout.words), DTYPE)
        for column, place in places:
            words = column.words(part)
            records[:, place] = words.reshape(len(part), -1)
        return records

    labelled = bool(layout.of("label"))
    digest = hashlib.sha256()
    clicks = 0
    with open(path, "wb", buffering=0) as file:
        blocks = blocks_of(rows, max(1, _BLOCK_WORDS // layout.words))
        for records in ordered_map(encode, blocks, workers):
            clicks += int(records[:, 0].sum()) if labelled else 0
            digest.update(records.data)
            write_all(file, records.data)
    return {
        "name": path.name,
        "rows": len(rows),
        "clicks": clicks if labelled else None,
        "sha256": digest.hexdigest(),
    }


def write_all(file: Any, data: memoryview) -> None:
    """Writes all bytes; a raw file may accept only some at a time."""
    view = data.cast("B")
    while view:
        view = view[file.write(view) :]
