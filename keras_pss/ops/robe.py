"""ROBE's addresses: which elements of the circular memory make up a row.

    E[i][c Z + t] = g(e, i, c Z + t) M[(h(e, i, c) + t) mod m],   t < Z

One chunk is Z consecutive elements of the memory. For Z <= d a row is cut
into ceil(d / Z) chunks; for Z > d (a multiple of d) a chunk holds the rows of
Z / d consecutive ids; `fold` is Z = m: the rows of m / d consecutive ids fill
the memory once, turned by a hash of their number.

References: Desai et al., "Random Offset Block Embedding (ROBE)", section 3;
Desai and Shrivastava, "The trade-offs of model size in large recommendation
models: 10000x compressed Criteo-TB DLRM model (100 GB parameters to mere
10 MB)", algorithm 1.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_pss.ops import hashing

Tensor = Any


def positions(
    ids: Tensor,
    *,
    memory_size: int,
    output_dim: int,
    block_size: int,
    table: int | Sequence[int] = 0,
    seed: int = 0,
    family: str = "pss1",
) -> Tensor:
    """Positions in the memory, int32, shape `ids.shape + (output_dim,)`.

    Args:
        ids: Valid ids; with several tables, one column a table.
        memory_size: m, at least `output_dim` and `min(block_size, m)`.
        output_dim: d.
        block_size: Z; `memory_size` itself is the fold mapping.
        table: The tables' numbers, one for each column of the ids.
        seed, family: Of the hash.
    """
    where: dict[str, Any] = {"seed": seed, "table": table, "family": family}
    if block_size <= output_dim:
        chunks = -(-output_dim // block_size)
        start = hashing.starts(ids, memory_size, chunks=chunks, **where)
        # (..., chunks) -> (..., chunks, Z) -> (..., d)
        at = _turned(
            ops.expand_dims(start, -1), np.arange(block_size), memory_size
        )
        shape = (*ops.shape(ids), chunks * block_size)
        return ops.reshape(at, shape)[..., :output_dim]
    ids_a_chunk = block_size // output_dim
    chunk = ids // ids_a_chunk
    row = ops.cast(ids - chunk * ids_a_chunk, "int32")
    start = hashing.starts(chunk, memory_size, **where)  # (..., 1)
    start = _turned(start, ops.expand_dims(row, -1) * output_dim, memory_size)
    return _turned(start, np.arange(output_dim), memory_size)


def _turned(start: Tensor, step: Any, memory_size: int) -> Tensor:
    """(start + step) mod m for 0 <= start, step < m, without a sum over m."""
    if isinstance(step, np.ndarray):
        step = ops.convert_to_tensor(step.astype("int32"))
    # start + step - m is never above m, where start + step may pass 2^31.
    at = start - memory_size + step
    return ops.where(at < 0, at + memory_size, at)
