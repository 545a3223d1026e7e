"""Several ROBE tables of one width in one memory, read by one lookup."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from keras_pss.layers.base.checks import (
    LARGEST_DIM,
    boolean,
    non_negative_int,
    one_of,
    positive_int,
    shown,
)
from keras_pss.layers.base.tables import Table
from keras_pss.layers.fused.table_group import TableGroup
from keras_pss.layers.initial_values import draws, table_scale
from keras_pss.ops import hashing
from keras_pss.ops.methods import robe

Tensor = Any


class ROBEGroup(TableGroup):
    """ROBE tables that share one memory and one fused lookup.

    The rows are those of one `ROBEEmbedding` for each table in a
    `SharedMemory`.

    Args:
        input_dims: Rows of each table; None for an open vocabulary.
        output_dim: Integer d, the columns of all tables.
        memory_size: Integer m, the number of parameters of all tables
            together.
        table_numbers: Numbers of the tables, which the hash depends on.
        block_size, sign, mapping, hash, seed: As in `ROBEEmbedding`.
        columns: As in `TableGroup`.
        **kwargs: Further arguments of `TableLayer`.

    Input shape: `(..., F)`, valid ids. Output shape: `(..., F, d)`.

    Memory: `memory_size` parameters.
    """

    def __init__(
        self,
        input_dims: Sequence[int | None],
        output_dim: int,
        memory_size: int,
        table_numbers: Sequence[int],
        block_size: int | None = None,
        sign: bool = False,
        mapping: str = "block",
        hash: str = "pss1",
        seed: int = 0,
        columns: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(input_dims, output_dim, columns, **kwargs)
        if mapping == "fold":
            memory_size -= memory_size % output_dim
        self.memory_size = positive_int("memory_size", memory_size, 2**31 - 1)
        self.table_numbers = tuple(table_numbers)
        self.block_size = checked_block_size(
            block_size, mapping, output_dim, memory_size
        )
        self.sign = boolean("sign", sign)
        self.hash = one_of("hash", hash, hashing.FAMILIES)
        self.seed = non_negative_int("seed", seed)
        # Tables with different initial scales share one memory. It is drawn
        # with the largest scale, and rows of the other tables are scaled down.
        each = table_scale.TableScale.several(
            self.embeddings_initializer, self.input_dims, output_dim, self.name
        )
        self._std = max(scale.std for scale in each)
        by_rows = self._std > 0 and any(s.moments.by_rows for s in each)
        scales = [scale.std / self._std if by_rows else 1.0 for scale in each]
        self._scales = tuple(scales) if min(scales) < 1 else ()
        if self._scales or sign:
            for scale in each:
                scale.check_centered()
        self._tables = robe.Tables(
            memory_size=self.memory_size,
            output_dim=output_dim,
            block_size=self.block_size,
            table=tuple(self.table_numbers[c] for c in self.columns),
            seed=self.seed,
            family=self.hash,
            sign=sign,
            scales=tuple(self._scales[c] for c in self.columns)
            if self._scales
            else (),
        )

    def tables(self) -> dict[str, Table]:
        if self._scales:
            fill = draws.scaled(self.embeddings_initializer, self._std)
        else:
            fill = table_scale.entries(
                self.embeddings_initializer,
                self.input_dims[0],
                self.output_dim,
                self.name,
            )
        return {"memory": Table(self.memory_size, 1, fill)}

    def lookup_flops(self) -> int:
        return self.lookup_numbers() * (self.sign + bool(self._scales))

    def call(self, ids: Tensor) -> Tensor:
        return robe.rows(
            self._tables,
            ids,
            self.dense_table("memory"),
            partial(self.gather_elements, "memory"),
        )


MAPPINGS = ("block", "fold")


def checked_block_size(
    block_size: int | None, mapping: str, output_dim: int, memory_size: int
) -> int:
    """Checks the block size Z, or computes the default for a mapping.

    Raises:
        ValueError: If Z does not match `output_dim` and `memory_size`.
    """
    one_of("mapping", mapping, MAPPINGS)
    if memory_size < output_dim:
        raise ValueError(
            "`memory_size` must be at least `output_dim`, or a row would use "
            f"a parameter twice. Received: memory_size={memory_size}, "
            f"output_dim={output_dim}"
        )
    if mapping == "fold":
        if block_size is not None or memory_size % output_dim:
            raise ValueError(
                "mapping='fold' takes no `block_size` and requires a "
                "`memory_size` that is a multiple of `output_dim`, such as "
                f"{max(1, memory_size // output_dim) * output_dim}. Received: "
                f"block_size={shown(block_size)}, "
                f"memory_size={memory_size}, output_dim={output_dim}"
            )
        return memory_size
    if block_size is None:
        block_size = -(-output_dim // 4)
    positive_int("block_size", block_size, LARGEST_DIM)
    if block_size > memory_size:
        raise ValueError(
            "`block_size` must not exceed `memory_size`. Received: "
            f"block_size={block_size}, memory_size={memory_size}"
        )
    if block_size > output_dim and block_size % output_dim:
        raise ValueError(
            "If `block_size` exceeds `output_dim`, it must be a multiple, such "
            f"as {block_size // output_dim * output_dim}. Received: "
            f"block_size={block_size}, output_dim={output_dim}"
        )
    return block_size
