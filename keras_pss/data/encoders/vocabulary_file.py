"""The `vocabulary.parquet` of a prepared folder: the texts of all tables."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_pss.data.encoders.vocabulary import Vocabulary
from keras_pss.data.storage.shard_checks import AGAIN

NAME = "vocabulary.parquet"


def write(
    directory: Path, vocabularies: Mapping[str, Vocabulary]
) -> dict[str, Any]:
    """Writes columns table, value and count, in the order of the ids.

    Returns:
        The entry in the metadata: `rows`, `bytes` and `sha256`.
    """
    import polars as pl

    empty = pl.DataFrame(
        schema={"table": pl.String, "value": pl.String, "count": pl.Int64}
    )
    parts = [
        pl.DataFrame({"value": kept.values, "count": kept.counts[1:]}).select(
            pl.lit(name).alias("table"),
            pl.col("value").cast(pl.String),
            pl.col("count").cast(pl.Int64),
        )
        for name, kept in vocabularies.items()
    ]
    path = directory / NAME
    rows = pl.concat([empty, *parts])
    rows.write_parquet(path, compression="zstd", statistics=False)
    return {
        "rows": len(rows),
        "bytes": path.stat().st_size,
        "sha256": checksum(path),
    }


def checksum(path: Path) -> str:
    """SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read(
    directory: Path, table: str, start: int, rows: int, oov: int
) -> Vocabulary:
    """Reads the texts of one table.

    Args:
        directory: The prepared folder.
        table: Name of the table.
        start: Number of rows of the tables before it.
        rows: Number of its rows.
        oov: Count of the id 0.

    Raises:
        ValueError: The file is damaged or does not agree with the arguments.
    """
    import polars as pl

    path = directory / NAME
    try:
        found = pl.scan_parquet(path, glob=False).slice(start, rows).collect()
        held = found.schema
    except (OSError, pl.exceptions.PolarsError) as error:
        raise ValueError(
            f"{path} must be written by `prepare`. {AGAIN} "
            f"Received: {type(error).__name__}: {str(error)[:200]}"
        ) from error
    wanted = {"table": pl.String, "value": pl.String, "count": pl.Int64}
    if (
        dict(held) != wanted
        or len(found) != rows
        or sum(found.null_count().row(0))
        or not (found["table"] == table).all()
    ):
        raise ValueError(
            f"{path} must hold {rows} texts of the table {table!r} after "
            f"{start} others. {AGAIN} Received: {len(found)} rows of "
            f"{str(dict(held))[:200]}"
        )
    counts = np.concatenate([[oov], found["count"].to_numpy()])
    return Vocabulary(found["value"], counts.astype(np.int64))
