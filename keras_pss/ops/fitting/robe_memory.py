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

Pairs = Sequence[tuple[robe.Tables, TrainedTable]]


def memory(size: int, pairs: Pairs) -> np.ndarray:
    """The memory, float64 `(size, 1)`.

    Args:
        size: Integer, the number of its elements.
        pairs: How each table reads the memory, and the table.
    """
    return single_reads.solved(_reads(pairs), size)[:, None]


def _reads(pairs: Pairs) -> Iterator[single_reads.Reads]:
    for own, table in pairs:
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
