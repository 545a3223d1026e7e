"""ROBE's tables: which elements of the circular memory make up a row.

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

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from keras import backend, ops

from keras_pss.native.dispatch import (
    check_kernels,
    compiled_by_xla,
    robe_kernels,
)
from keras_pss.ops import hashing, pss1

Tensor = Any


@dataclass(frozen=True)
class Tables:
    """Tables of one width in one memory.

    Attributes:
        memory_size: m, at least `output_dim` and `min(block_size, m)`.
        output_dim: d.
        block_size: Z; `memory_size` itself is the fold mapping.
        table: The table's number; with several tables, one for each column
            of the ids.
        seed, family: Of the hash.
        sign: Whether an independent hash turns the sign of each element.
        scales: A factor of the rows of each table; empty for 1.
    """

    memory_size: int
    output_dim: int
    block_size: int
    table: int | Sequence[int] = 0
    seed: int = 0
    family: str = "pss1"
    sign: bool = False
    scales: tuple[float, ...] = ()

    @property
    def hash(self) -> dict[str, Any]:
        return {"table": self.table, "seed": self.seed, "family": self.family}

    @cached_property
    def keys(self) -> np.ndarray:
        """Keys of `pss1`: of the starts of each chunk, then of the signs.

        int32 `(tables, chunks + words of signs, 3)`.
        """
        tables = [self.table] if isinstance(self.table, int) else self.table
        chunks = max(1, -(-self.output_dim // self.block_size))
        words = -(-self.output_dim // 32) if self.sign else 0
        keys = [
            [pss1.key(self.seed, t, c) for c in range(chunks)]
            + [pss1.key(self.seed, t, 0, 1 + w) for w in range(words)]
            for t in tables
        ]
        return np.array(keys, np.uint32).view(np.int32)


def rows(
    tables: Tables,
    ids: Tensor,
    memory: Any,
    gather: Callable[[Tensor], Tensor],
) -> Tensor:
    """Rows of valid ids, floats `ids.shape + (output_dim,)`.

    Args:
        tables: Where they lie.
        ids: int32 or int64, `(n,)`; with several tables `(..., F)`.
        memory: The memory, where kernels may read it and give it a dense
            gradient; else None.
        gather: Reads elements of the memory at given positions.
    """
    found = _kernels(tables, ids, memory)
    if found is not None:
        flat = found.robe_lookup(
            ops.reshape(memory, (-1,)),
            ops.reshape(ids, (-1,)),
            tables.keys,
            tables.scales,
            output_dim=tables.output_dim,
            block_size=tables.block_size,
        )
        return ops.reshape(flat, (*ops.shape(ids), tables.output_dim))
    values = gather(positions(tables, ids))
    if tables.sign:
        signs = hashing.signs(ids, tables.output_dim, **tables.hash)
        values = values * ops.cast(signs, values.dtype)
    if tables.scales:
        scales = np.array(tables.scales, np.float32)
        if not isinstance(tables.table, int):
            scales = scales[:, None]
        values = values * ops.cast(scales, values.dtype)
    return values


def _kernels(tables: Tables, ids: Tensor, memory: Any) -> Any:
    """The kernels, where they are there for these tables, and faster."""
    if memory is None or tables.family != "pss1":
        return None
    # A hash for each number: XLA is up to 1.9 times as fast.
    single = min(tables.block_size, tables.output_dim) == 1
    if single and compiled_by_xla():
        return None
    return robe_kernels(memory, ids)


def sums_at_once(tables: Tables, ids: Tensor, memory: Any) -> bool:
    """Whether a kernel checks, looks up and sums the ids of bags here."""
    return (
        tables.family == "pss1"
        and backend.standardize_dtype(memory.dtype) == "float32"
        and robe_kernels(memory, ids) is not None
        # Where ids without a row cannot raise, their bags must be told.
        and check_kernels() is not None
    )


def sums(
    tables: Tables,
    ids: Tensor,
    memory: Any,
    splits: Tensor,
    weights: Tensor | None,
) -> Tensor:
    """Sums of the rows of bags of one table's ids, `(bags, output_dim)`."""
    if weights is not None:
        weights = ops.cast(weights, "float32")
    return robe_kernels(memory, ids).robe_lookup(
        ops.reshape(memory, (-1,)),
        ids,
        tables.keys,
        tables.scales,
        splits,
        weights,
        output_dim=tables.output_dim,
        block_size=tables.block_size,
    )


def positions(tables: Tables, ids: Tensor) -> Tensor:
    """Positions in the memory, int32, shape `ids.shape + (output_dim,)`."""
    memory_size, output_dim = tables.memory_size, tables.output_dim
    if tables.block_size <= output_dim:
        chunks = -(-output_dim // tables.block_size)
        start = hashing.starts(ids, memory_size, chunks=chunks, **tables.hash)
        # (..., chunks) -> (..., chunks, Z) -> (..., d)
        at = _turned(
            ops.expand_dims(start, -1),
            np.arange(tables.block_size),
            memory_size,
        )
        shape = (*ops.shape(ids), chunks * tables.block_size)
        return ops.reshape(at, shape)[..., :output_dim]
    ids_a_chunk = tables.block_size // output_dim
    chunk = ids // ids_a_chunk
    row = ops.cast(ids - chunk * ids_a_chunk, "int32")
    start = hashing.starts(chunk, memory_size, **tables.hash)  # (..., 1)
    start = _turned(start, ops.expand_dims(row, -1) * output_dim, memory_size)
    return _turned(start, np.arange(output_dim), memory_size)


def _turned(start: Tensor, step: Any, memory_size: int) -> Tensor:
    """(start + step) mod m for 0 <= start, step < m, without a sum over m."""
    if isinstance(step, np.ndarray):
        step = ops.convert_to_tensor(step.astype("int32"))
    # start + step - m is never above m, where start + step may pass 2^31.
    at = start - memory_size + step
    return ops.where(at < 0, at + memory_size, at)
