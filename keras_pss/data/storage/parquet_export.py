"""Splits of a prepared log as Parquet files, for other programs."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_pss.data.storage.log_layout import LayoutColumn
from keras_pss.data.storage.prepared_folder import PreparedFolder

if TYPE_CHECKING:
    import polars as pl

_BLOCK_ROWS = 1 << 17


def write(folder: PreparedFolder) -> None:
    """Writes `train.parquet` and so on into the folder.

    The columns have the names of the features: dense features as they are in
    the records, ids, lists of ids without padding, and lists of weights named
    `<feature>_weights`; besides, `label` and `group`, if there are any.
    """
    for split in folder.splits:
        _write(folder, split, folder.directory / f"{split}.parquet")


def _write(folder: PreparedFolder, split: str, path: Path) -> None:
    from polars.io.plugins import register_io_source

    def frames(
        columns: Any, predicate: Any, rows: Any, size: Any
    ) -> Iterator["pl.DataFrame"]:
        for shard in folder.shards(split):
            held = np.memmap(shard, "<i4", "r").reshape(-1, folder.layout.words)
            for start in range(0, len(held), _BLOCK_ROWS):
                yield _frame(folder, held[start : start + _BLOCK_ROWS])

    empty = np.zeros((0, folder.layout.words), np.int32)
    schema = _frame(folder, empty).schema
    register_io_source(frames, schema=schema).sink_parquet(path)


def _frame(folder: PreparedFolder, records: np.ndarray) -> "pl.DataFrame":
    import polars as pl

    layout = folder.layout
    held = {c.name: _words(c, records) >= 0 for c in layout.of("ids")}
    found = {}
    for column in layout.columns:
        values = _words(column, records).view(column.dtype)
        if column.kind in ("ids", "weights"):
            mask = held[column.name]
            name = column.name + (
                "_weights" if column.kind == "weights" else ""
            )
            found[name] = _lists(values, mask)
        elif column.width == 1:
            found[column.name] = pl.Series(values[:, 0])
        else:
            found[column.name] = pl.Series(
                values, dtype=pl.Array(pl.Float32, column.width)
            )
    return pl.DataFrame(found)


def _words(column: LayoutColumn, records: np.ndarray) -> np.ndarray:
    at = slice(column.offset, column.offset + column.width)
    return np.ascontiguousarray(records[:, at])


def _lists(values: np.ndarray, mask: np.ndarray) -> "pl.Series":
    """Lists of the values (n, width) where the mask is True."""
    import polars as pl

    # A list is filled from its start, so its elements are its first ones.
    wide = pl.Series(values).arr.to_list() if len(values) else None
    if wide is None:
        inner = pl.Int32 if values.dtype == np.int32 else pl.Float32
        return pl.Series([], dtype=pl.List(inner))
    rows = pl.DataFrame({"list": wide, "length": mask.sum(1)})
    return rows.select(pl.col("list").list.head(pl.col("length")))["list"]
