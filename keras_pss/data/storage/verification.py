"""Compares all that a prepared log holds with its metadata."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_pss.data.encoders import vocabulary_file
from keras_pss.data.readers.block import Int32Array
from keras_pss.data.storage import log_metadata
from keras_pss.data.storage.log_layout import LayoutColumn
from keras_pss.data.storage.shard_checks import AGAIN
from keras_pss.features import Dense

if TYPE_CHECKING:
    from keras_pss.data.storage.prepared_folder import PreparedFolder

_BLOCK_BYTES = 1 << 22  # of a shard that are read at a time

# Smallest value, and what all values lie below.
_LIMITS: dict[str, tuple[int, int | None]] = {
    "label": (0, 2),
    "id": (0, None),
    "ids": (-1, None),
}


def verify(folder: "PreparedFolder") -> None:
    """Reads every file of a folder.

    Raises:
        ValueError: A shard or the vocabulary has changed, or does not agree
            with the metadata.
    """
    held = folder.metadata["vocabulary"]
    if held is not None:
        path = folder.directory / vocabulary_file.NAME
        _check_digest(path, vocabulary_file.checksum(path), held["sha256"])
    _verify_counts(folder)
    for part in folder.metadata["splits"].values():
        for shard in part["shards"]:
            _verify_shard(folder, shard)


def _verify_counts(folder: "PreparedFolder") -> None:
    """Raises unless the counts of each table add up to its rows."""
    develop = folder.rows("train") + folder.rows("validation")
    multi = {feature.name for feature in folder.schema.multi}
    for table, sharing in folder.schema.tables.items():
        if not isinstance(sharing[0], Dense) and sharing[0].ids == "hash":
            continue
        total = int(folder.counts(sharing[0].name).sum())
        least = develop * sum(f.name not in multi for f in sharing)
        lists = any(feature.name in multi for feature in sharing)
        if total < least or (total > least and not lists):
            raise ValueError(
                f"The counts of the table {table!r} in {folder.directory} must "
                f"add up to {least} values. Received: {total}. {AGAIN}"
            )


def _verify_shard(folder: "PreparedFolder", shard: dict[str, Any]) -> None:
    path = folder.directory / shard["name"]
    digest = hashlib.sha256()
    size = folder.layout.record_bytes
    clicks, fits = 0, True
    with open(path, "rb") as file:
        while data := file.read(max(1, _BLOCK_BYTES // size) * size):
            digest.update(data)
            rows = np.frombuffer(data, "<i4").reshape(-1, size // 4)
            fits &= all(_fits(folder, c, rows) for c in folder.layout.columns)
            if shard["clicks"] is not None:
                clicks += int(rows[:, 0].sum(dtype=np.int64))
    _check_digest(path, digest.hexdigest(), shard["sha256"])
    if clicks != (shard["clicks"] or 0) or not fits:
        raise ValueError(
            f"{path} must hold {shard['clicks']} clicks, ids below the rows of "
            f"their tables in {log_metadata.NAME} and finite numbers. "
            f"Received: {clicks} clicks, values that do "
            f"{'' if fits else 'not '}fit. {AGAIN}"
        )


def _fits(
    folder: "PreparedFolder", column: LayoutColumn, rows: Int32Array
) -> bool:
    """Whether the words of a column are possible."""
    words = rows[:, column.offset : column.offset + column.width]
    if column.dtype == "float32":
        return bool(np.isfinite(words.copy().view(np.float32)).all())
    if column.kind == "dense":
        return True
    low, high = _LIMITS.get(column.kind, (0, None))
    if column.kind in ("id", "ids"):
        feature: Any = folder.schema[column.name]
        high = folder.tables[feature.table]
    return bool(words.min() >= low) and (
        high is None or bool(words.max() < high)
    )


def _check_digest(path: Path, found: str, wanted: str) -> None:
    if found != wanted:
        raise ValueError(
            f"{path} must have sha256 {wanted}. Received: {found}. {AGAIN}"
        )
