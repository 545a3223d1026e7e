"""Ids of a prepared click log, for benchmarks of a single table."""

from pathlib import Path

import numpy as np

ODD = 7_368_787  # an odd number that has no factor in common with the rows


def of_batch(folder: Path, examples: int, rows: int) -> np.ndarray:
    """Ids of the first examples of a prepared log, int32 (examples, columns).

    All categorical columns share one table, each with ids of its own, which are
    scattered over the table. (A column's ids are ordered by frequency.)

    Args:
        folder: A folder written by `keras-pss prepare`.
        examples: Number of examples.
        rows: Number of rows of the table, which has no factor in common with
            `ODD`.
    """
    from keras_pss.data import load

    log = load(folder)
    columns, first = [], 0
    for feature in log.schema.single:
        ids = log.column("train", feature.name)[:examples].astype(np.int64)
        columns.append(ids + first)
        first += int(log.column("train", feature.name).max()) + 1
    if len(columns[0]) < examples or first > rows:
        raise ValueError(
            f"A batch needs {examples} training rows with fewer than {rows} "
            f"ids. Received: {folder} with {len(columns[0])} rows and {first} "
            "ids"
        )
    return (np.stack(columns, 1) * ODD % rows).astype(np.int32)
