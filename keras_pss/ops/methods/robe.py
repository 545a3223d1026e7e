"""ROBE's tables: which elements of the circular memory make up a row.

    E[i][c Z + t] = g(e, i, c Z + t) M[(h(e, i, c) + t) mod m],   t < Z

A block is Z consecutive elements of the memory. For Z <= d a row consists of
ceil(d / Z) blocks, the last one truncated; for Z > d (a multiple of d) a block
holds the rows of Z / d consecutive ids. `fold` is Z = m: the rows of m / d
consecutive ids fill the memory once, starting at a hash of the block's number.

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

from keras_pss.native import tracing
from keras_pss.native.dispatch import (
    check_kernels,
    compiled_by_xla,
    packed_kernels,
    robe_kernels,
)
from keras_pss.native.packed_table import PackedTable
from keras_pss.ops import hashing
from keras_pss.ops.hash_families import pss1

Tensor = Any


@dataclass(frozen=True)
class Tables:
    """Tables of equal width that share one memory.

    Attributes:
        memory_size: m, the number of elements of the memory; at least
            `output_dim`.
        output_dim: d, the length of a row.
        block_size: Z, at most `memory_size`; equal to `memory_size` for the
            fold mapping.
        table: The table number; with several tables, a sequence of one for
            each column of the ids.
        seed, family: Seed and family of the hash.
        sign: Whether an independent hash gives each element a sign.
        scales: Factors of the rows, one for each table; empty for ones.
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
        """Keys of `pss1`: for the start of each block, then for the signs.

        int32 `(tables, blocks + words of signs, 3)`.
        """
        tables = [self.table] if isinstance(self.table, int) else self.table
        blocks = max(1, -(-self.output_dim // self.block_size))
        words = -(-self.output_dim // 32) if self.sign else 0
        keys = [
            [pss1.key(self.seed, t, c) for c in range(blocks)]
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
    """Rows of in-range ids, floats of shape `ids.shape + (output_dim,)`.

    Args:
        tables: The tables and their memory layout.
        ids: int32 or int64, `(n,)`; with several tables `(..., F)`.
        memory: The memory, if kernels may read it and return a dense
            gradient, or a `PackedTable`; otherwise None.
        gather: Function that reads the memory at given positions.
    """
    found = _kernels(tables, ids, memory)
    if found is not None:
        flat = _looked_up(found, tables, ops.reshape(ids, (-1,)), memory)
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
    """The kernels, if they support these tables and are faster; or None."""
    if memory is None or tables.family != "pss1":
        return None
    # With one hash per element, XLA is up to 1.9 times as fast.
    single = min(tables.block_size, tables.output_dim) == 1
    if single and compiled_by_xla():
        return None
    if isinstance(memory, PackedTable):
        return packed_kernels([memory], ids)
    return robe_kernels(memory, ids)


def _looked_up(
    found: Any, tables: Tables, ids: Tensor, memory: Any, *bags: Tensor | None
) -> Tensor:
    """Rows, or sums of bags with row splits and weights, by the kernels."""
    where = ids, tables.keys, tables.scales, *bags
    sizes = {
        "output_dim": tables.output_dim,
        "block_size": tables.block_size,
    }
    if isinstance(memory, PackedTable):
        size = tables.memory_size
        return found.packed_robe_lookup(
            memory, *where, memory_size=size, **sizes
        )
    return found.robe_lookup(ops.reshape(memory, (-1,)), *where, **sizes)


def sums_at_once(tables: Tables, ids: Tensor, memory: Any) -> bool:
    """Whether one kernel can check, look up and sum the ids of bags."""
    return (
        tables.family == "pss1"
        and backend.standardize_dtype(memory.dtype) == "float32"
        and _kernels(tables, ids, memory) is not None
        # Without the check, out-of-range ids must turn their bags to NaN.
        and check_kernels() is not None
    )


def sums(
    tables: Tables,
    ids: Tensor,
    memory: Any,
    splits: Tensor,
    weights: Tensor | None,
) -> Tensor:
    """Sums of the rows of bags of ids of one table, `(bags, output_dim)`."""
    if weights is not None:
        weights = ops.cast(weights, "float32")
    found = _kernels(tables, ids, memory)
    return _looked_up(found, tables, ids, memory, splits, weights)


def positions(tables: Tables, ids: Tensor) -> Tensor:
    """Positions in the memory, int32, shape `ids.shape + (output_dim,)`."""
    memory_size, output_dim = tables.memory_size, tables.output_dim
    if tables.block_size <= output_dim:
        blocks = -(-output_dim // tables.block_size)
        start = hashing.starts(ids, memory_size, chunks=blocks, **tables.hash)
        # (..., blocks) -> (..., blocks, Z) -> (..., d)
        at = _wrapped(
            ops.expand_dims(start, -1),
            np.arange(tables.block_size),
            memory_size,
        )
        shape = (*ops.shape(ids), blocks * tables.block_size)
        return ops.reshape(at, shape)[..., :output_dim]
    rows_per_block = tables.block_size // output_dim
    block = ids // rows_per_block
    row = ops.cast(ids - block * rows_per_block, "int32")
    start = hashing.starts(block, memory_size, **tables.hash)  # (..., 1)
    start = _wrapped(start, ops.expand_dims(row, -1) * output_dim, memory_size)
    return _wrapped(start, np.arange(output_dim), memory_size)


def _wrapped(start: Tensor, step: Any, memory_size: int) -> Tensor:
    """(start + step) mod m for 0 <= start, step < m, without overflow."""
    if isinstance(step, np.ndarray):
        step = ops.convert_to_tensor(step.astype("int32"))
    # start + step can exceed 2^31 - 1; start - m + step is always below m.
    at = start - memory_size + step
    if backend.backend() != "tensorflow" or tracing.converting():
        return ops.where(at < 0, at + memory_size, at)
    # The sign's bits select m: faster in a graph than `where`.
    return at + ops.bitwise_and(ops.right_shift(at, 31), memory_size)
