"""Clicks of each id of a prepared log, in one pass over its records."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

LABELLED_ROWS = 4_000_000
_BLOCK_ROWS = 1 << 16


def label_counts(
    folder: Any, most_rows: int
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """See `PreparedFolder.label_counts`."""
    label = folder.layout.find("label", "label").offset
    columns = {
        name: [_columns(folder.layout, feature.name) for feature in features]
        for name, features in folder.schema.tables.items()
        if name in folder.counted_tables()
    }
    found = {
        name: (
            np.zeros(folder.tables[name], np.int32),
            np.zeros(folder.tables[name], np.int32),
        )
        for name in columns
    }
    for records in _blocks(folder, most_rows):
        clicked = records[:, label] == 1
        for name, places in columns.items():
            for place in places:
                ids = records[:, place]
                _add(found[name][0], ids)
                _add(found[name][1], ids[clicked])
    return found


def _add(counts: np.ndarray, ids: np.ndarray) -> None:
    """Counts ids; padding is none, and neither are those of damaged rows."""
    valid = (ids >= 0) & (ids < len(counts))
    np.add.at(counts, ids[valid], 1)


def _columns(layout: Any, name: str) -> slice:
    """The words of a record that hold the ids of a feature."""
    for kind in ("id", "ids"):
        for column in layout.of(kind):
            if column.name == name:
                return slice(column.offset, column.offset + column.width)
    raise ValueError(f"`name` must be a feature with ids. Received: {name!r}")


def _blocks(folder: Any, most_rows: int) -> Iterator[np.ndarray]:
    """Training records, int32 (rows, words), evenly from all shards."""
    words = folder.layout.words
    shards = folder.shards("train")
    share = min(1.0, most_rows / max(1, folder.rows("train")))
    for path in shards:
        records = np.memmap(path, "<i4", "r").reshape(-1, words)
        stop = math.ceil(len(records) * share)
        for begin in range(0, stop, _BLOCK_ROWS):
            yield np.asarray(records[begin : min(begin + _BLOCK_ROWS, stop)])
