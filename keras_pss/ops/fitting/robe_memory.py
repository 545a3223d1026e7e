"""The memory of ROBE that is nearest to trained tables.

Each number of a table reads one parameter, so the least squares have a closed
form, with signs and scales as well as without: a weighted mean.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from keras import ops

from keras_pss.ops import hashing
from keras_pss.ops.fitting import single_reads
from keras_pss.ops.fitting.trained_table import TrainedTable
from keras_pss.ops.methods import robe


def memory(
    tables: robe.Tables, trained: Sequence[TrainedTable], columns: Sequence[int]
) -> np.ndarray:
    """The memory, float64 `(memory_size, 1)`.

    Args:
        tables: How the tables read the memory.
        trained: The tables.
        columns: For each of them its place in `tables`.
    """
    reads = _reads(tables, trained, columns)
    return single_reads.solved(reads, tables.memory_size)[:, None]


def _reads(
    tables: robe.Tables, trained: Sequence[TrainedTable], columns: Sequence[int]
) -> Iterator[single_reads.Reads]:
    for column, table in zip(columns, trained, strict=True):
        own = one_table(tables, column)
        for block in table.blocks():
            ids = ops.convert_to_tensor(block.ids.astype(np.int32))
            yield single_reads.Reads(
                ops.convert_to_numpy(robe.positions(own, ids)),
                block.rows,
                block.weights[:, None],
                _factors(own, ids),
            )


def one_table(tables: robe.Tables, column: int) -> robe.Tables:
    """One of several tables in the same memory."""
    if isinstance(tables.table, int):
        return tables
    scales = tables.scales and (tables.scales[column],)
    return replace(tables, table=tables.table[column], scales=scales)


def _factors(tables: robe.Tables, ids: np.ndarray) -> np.ndarray | None:
    """Factors of the parameters that ids read, `(n, d)` or a number."""
    found = None
    if tables.sign:
        signs = hashing.signs(ids, tables.output_dim, **tables.hash)
        found = ops.convert_to_numpy(signs)
    if tables.scales:
        scale = np.array(tables.scales)
        found = scale if found is None else found * scale
    return found
